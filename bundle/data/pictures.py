"""PNG, JPEG, TIFF and BMP files."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from PIL import ImageOps
from PIL.BmpImagePlugin import BmpImageFile
from PIL.ImageFile import ImageFile
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile
from PIL.TiffImagePlugin import TiffImageFile

from bundle.data.limits import SAVE_AS_PNG, check_size, in_byte_range
from bundle.errors import UnreadablePhotographError

__all__ = ["opened_picture", "read_picture"]

# The plugins are called directly: Image.open has a limit of its own, which is global, and opens further formats.
_PLUGINS: tuple[tuple[bytes, type[ImageFile]], ...] = (
    (b"\x89PNG\r\n\x1a\n", PngImageFile),
    (b"\xff\xd8\xff", JpegImageFile),
    (b"II*\0", TiffImageFile),
    (b"MM\0*", TiffImageFile),
    (b"II+\0", TiffImageFile),
    (b"MM\0+", TiffImageFile),
    (b"BM", BmpImageFile),
)


@contextmanager
def opened_picture(path: Path) -> Iterator[ImageFile]:
    """The decoded picture, its size checked before. PNG's checksums are checked too, which decoding ignores."""
    with path.open("rb") as file:
        head = file.read(8)
    plugin = next((plugin for signature, plugin in _PLUGINS if head.startswith(signature)), None)
    if plugin is None:
        raise UnreadablePhotographError(
            path, f"the content is not that of a PNG, JPEG, TIFF, BMP, DICOM or NIfTI file: {SAVE_AS_PNG}"
        )
    with plugin(path) as picture:
        check_size(path, *picture.size)
        if plugin is PngImageFile:
            with plugin(path) as copy:
                copy.verify()
        picture.load()
        yield picture


def read_picture(path: Path) -> tuple[np.ndarray, str]:
    """A PNG, JPEG, TIFF or BMP as (W, H) or (W, H, 3) in 0 to 255, and the format's name."""
    with opened_picture(path) as picture:
        stored_as = str(picture.format)
        try:
            picture.getexif()
        except Exception:
            # Viewers show a photograph with damaged EXIF as stored, and the masks are compared with what they show.
            picture._exif = None
        else:
            picture.info.clear()  # Otherwise the EXIF is encoded again, which fails for some makers' notes.
            ImageOps.exif_transpose(picture, in_place=True)
        picture.info.clear()  # Transparency has no part in the conversion.
        if picture.mode.startswith("I;16"):
            values = np.asarray(picture).astype(np.float32) / 257
        elif picture.mode in ("I", "F"):
            values = in_byte_range(path, np.asarray(picture))
        elif picture.mode == "LAB":
            raise UnreadablePhotographError(path, f"its colours are stored as CIE Lab: {SAVE_AS_PNG}")
        else:
            # Plane by plane, as the search reads them; Pillow splits them faster than NumPy would later.
            colour = picture if picture.mode == "RGB" else picture.convert("RGB")
            values = np.moveaxis(np.stack([np.asarray(plane) for plane in colour.split()]), 0, -1)
    return np.swapaxes(values, 0, 1), stored_as
