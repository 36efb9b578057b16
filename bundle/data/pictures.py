"""PNG, JPEG, TIFF and BMP files as photographs."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from bundle.data.limits import SAVE_AS_PNG
from bundle.data.opened import opened_picture, turn_upright
from bundle.data.ranges import in_byte_range
from bundle.data.wide import byte_values, wide_samples
from bundle.errors import UnreadablePhotographError

__all__ = ["read_picture"]


def read_picture(path: Path) -> tuple[np.ndarray, str]:
    """A PNG, JPEG, TIFF or BMP as (W, H) or (W, H, 3) in 0 to 255, and the format's name."""
    wide = wide_samples(path)
    if wide is not None:
        return np.swapaxes(byte_values(path, wide), 0, 1), wide.stored_as
    with opened_picture(path) as picture:
        stored_as = str(picture.format)
        turn_upright(picture)
        if picture.mode.startswith("I;16") or picture.mode in ("I", "F"):
            values = in_byte_range(path, np.asarray(picture))
        elif picture.mode == "LAB":
            raise UnreadablePhotographError(path, f"its colours are stored as CIE Lab: {SAVE_AS_PNG}")
        else:
            # Plane by plane, as the search reads them; Pillow splits them faster than NumPy would later.
            colour = picture if picture.mode == "RGB" else picture.convert("RGB")
            values = np.moveaxis(np.stack([np.asarray(plane) for plane in colour.split()]), 0, -1)
    return np.swapaxes(values, 0, 1), stored_as
