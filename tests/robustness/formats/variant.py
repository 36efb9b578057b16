"""One variant of a file format, and what becomes of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bundle.data.photograph_reader import PhotographReader
from bundle.errors import UnreadablePhotographError

__all__ = ["HEIGHT", "WIDTH", "Variant", "colour_levels", "known", "outcome", "shown_levels", "turned"]

WIDTH, HEIGHT = 50, 35


@dataclass(frozen=True)
class Variant:
    """A file, and how it is to be shown.

    Args:
        kind: the row of the table.
        name: what tells it from others of the kind.
        suffix: of the file.
        write: writes the file.
        shown: what another decoder, and the documented scaling, make of the file: (H, W) or (H, W, 3), 0 to 255.
        meant: what was written, where no loss is allowed.
        tolerance: levels by which results may differ.
    """

    kind: str
    name: str
    suffix: str
    write: Callable[[Path], None]
    shown: Callable[[Path], np.ndarray]
    meant: np.ndarray | None = None
    tolerance: float = 0.01


def colour_levels() -> np.ndarray:
    """(H, W, 3) float in [0, 1]: gradients and noise with 0 and 1 in it, brighter in red than in blue."""
    noise = np.random.default_rng(0).uniform(0, 0.3, (HEIGHT, WIDTH, 3))
    across, down = np.linspace(0, 0.7, WIDTH)[None, :, None], np.linspace(0.4, 1, HEIGHT)[:, None, None]
    levels: np.ndarray = (noise + across * down) * (1.0, 0.8, 0.6)
    levels[0, 0], levels[-1, -1] = 0, 1
    return levels


def shown_levels(values: np.ndarray) -> np.ndarray:
    """The documented scaling, written down a second time."""
    top = float(values.max())
    if values.dtype.kind == "f":
        return values.astype(np.float64) * (255.0 if top <= 1 else 1.0 if top <= 255 else 255 / top)
    white = next((2**bits - 1 for bits in (8, 10, 12, 14, 16) if top < 2**bits), top)
    return values.astype(np.float64) * (255 / white)


def known(path: Path, values: np.ndarray) -> np.ndarray:
    """What is shown whatever a decoder says, for what no other one reads."""
    return values


def turned(values: np.ndarray, orientation: int) -> np.ndarray:
    """Stored values as they are displayed, by EXIF's orientation."""
    flipped = {
        1: values,
        2: values[:, ::-1],
        3: values[::-1, ::-1],
        4: values[::-1],
        5: np.swapaxes(values, 0, 1),
        6: np.rot90(values, -1),
        7: np.swapaxes(np.rot90(values, 2), 0, 1),
        8: np.rot90(values, 1),
    }
    return flipped[orientation]


def outcome(variant: Variant, folder: Path) -> str:
    """``same``, ``refused: reason`` or ``different: by how much``."""
    path = folder / f"a{variant.suffix}"
    variant.write(path)
    try:
        values, _ = PhotographReader().get_data(str(path))
    except UnreadablePhotographError as error:
        return f"refused: {error.reason}"
    found = np.swapaxes(values.numpy(), 0, 1).astype(np.float64)
    wanted = [variant.shown(path)] + ([] if variant.meant is None else [variant.meant])
    for picture in wanted:
        colour = picture if picture.ndim == 3 else np.repeat(picture[..., None], 3, axis=-1)
        if colour.shape != found.shape:
            return f"different: {found.shape} and not {colour.shape}"
        off = float(np.abs(found - colour).max())
        if off > variant.tolerance:
            return f"different: by {off:.2f}"
    return "same"
