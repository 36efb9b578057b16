"""Pictures opened and decoded by Pillow: PNG, JPEG, TIFF and BMP."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from PIL import ImageOps
from PIL.BmpImagePlugin import BmpImageFile
from PIL.ImageFile import ImageFile
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile
from PIL.TiffImagePlugin import TiffImageFile

from bundle.data.limits import SAVE_AS_PNG, check_size
from bundle.data.tiff import find_page
from bundle.errors import UnreadablePhotographError

__all__ = ["PNG_SIGNATURE", "TIFF_SIGNATURES", "opened_picture", "turn_upright"]

PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
TIFF_SIGNATURES = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
# The plugins are called directly: Image.open has a limit of its own, which is global, and opens further formats.
_PLUGINS: tuple[tuple[bytes, type[ImageFile]], ...] = (
    (PNG_SIGNATURE, PngImageFile),
    (b"\xff\xd8\xff", JpegImageFile),
    *((signature, TiffImageFile) for signature in TIFF_SIGNATURES),
    (b"BM", BmpImageFile),
)


@contextmanager
def opened_picture(
    path: Path, page: int | None = None, raw_mode: Callable[[str], str] | None = None
) -> Iterator[ImageFile]:
    """The decoded picture, its size checked before. PNG's checksums are checked too, which decoding ignores.

    Args:
        path: the file.
        page: of a TIFF; by default the photograph's.
        raw_mode: what becomes of the raw mode, by which Pillow knows how samples are stored (``RGB;16B``).

    Raises:
        UnreadablePhotographError: it is of another format, too large or too small, or one of several pictures.
    """
    with path.open("rb") as file:
        head = file.read(8)
    plugin = next((plugin for signature, plugin in _PLUGINS if head.startswith(signature)), None)
    if plugin is None:
        raise UnreadablePhotographError(
            path, f"the content is not that of a PNG, JPEG, TIFF, BMP, DICOM or NIfTI file: {SAVE_AS_PNG}"
        )
    if plugin is TiffImageFile and page is None:
        page = find_page(path).index
    with plugin(path) as picture:
        if page:
            picture.seek(page)
        check_size(path, *picture.size)
        if plugin is PngImageFile:
            with plugin(path) as copy:
                copy.verify()
        if isinstance(picture, JpegImageFile):
            _check_first(path, picture)
        if raw_mode:
            picture.tile = [tile._replace(args=_changed(tile.args, raw_mode)) for tile in picture.tile]
        picture.load()
        yield picture


def _changed(args: str | tuple, raw_mode: Callable[[str], str]) -> str | tuple:
    """A tile's arguments, of which the raw mode is the only or the first."""
    return raw_mode(args) if isinstance(args, str) else (raw_mode(args[0]), *args[1:])


def _check_first(path: Path, picture: JpegImageFile) -> None:
    """Refuses an MPO, which is several JPEGs in a row, of which a later one is larger than the first."""
    if "mpoffset" not in picture.info:
        return
    entries = (picture._getmp() or {}).get(0xB002, [])
    with path.open("rb") as file:
        for entry in entries[1:]:
            file.seek(entry["DataOffset"] + picture.info["mpoffset"])
            with JpegImageFile(io.BytesIO(file.read(entry["Size"]))) as other:
                if other.width * other.height > picture.width * picture.height:
                    reason = f"the first of its {len(entries)} pictures is not the largest"
                    raise UnreadablePhotographError(path, f"{reason}: save the photograph as a file of its own")


def turn_upright(picture: ImageFile) -> None:
    """Turn a picture as its EXIF says, and forget both EXIF and transparency, which have no part in what follows."""
    try:
        picture.getexif()
    except Exception:
        # Viewers show a photograph with damaged EXIF as stored, and the masks are compared with what they show.
        picture._exif = None
    else:
        picture.info.clear()  # Otherwise the EXIF is encoded again, which fails for some makers' notes.
        ImageOps.exif_transpose(picture, in_place=True)
    picture.info.clear()
