"""Pictures opened and decoded by Pillow, whatever their format."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from monai.utils import optional_import
from PIL import ImageOps, features
from PIL.AvifImagePlugin import AvifImageFile
from PIL.BmpImagePlugin import BmpImageFile
from PIL.GifImagePlugin import GifImageFile
from PIL.ImageFile import ImageFile
from PIL.Jpeg2KImagePlugin import Jpeg2KImageFile
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile
from PIL.PpmImagePlugin import PpmImageFile
from PIL.TiffImagePlugin import TiffImageFile
from PIL.WebPImagePlugin import WebPImageFile

from bundle.data.limits import SAVE_AS_PNG, check_size
from bundle.data.tiff import find_page
from bundle.errors import UnreadablePhotographError

__all__ = ["PNG_SIGNATURE", "TIFF_SIGNATURES", "opened_picture", "turn_upright"]

PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
TIFF_SIGNATURES = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_CODE_STREAM = b"\xff\x4f\xff\x51"
"""How JPEG 2000's own data start, with a file format around them or without."""
# The plugins are called directly: Image.open has a limit of its own, which is global, and opens further formats.
_PLUGINS: tuple[tuple[bytes, type[ImageFile]], ...] = (
    (PNG_SIGNATURE, PngImageFile),
    (b"\xff\xd8\xff", JpegImageFile),
    *((signature, TiffImageFile) for signature in TIFF_SIGNATURES),
    (b"BM", BmpImageFile),
    (b"GIF8", GifImageFile),
    (b"\0\0\0\x0cjP  \r\n\x87\n", Jpeg2KImageFile),
    (_CODE_STREAM, Jpeg2KImageFile),
    *((b"P" + digit + space, PpmImageFile) for digit in (b"2", b"3", b"5", b"6") for space in (b"\n", b" ", b"\r\n")),
)
_HEIF_BRANDS = (b"heic", b"heix", b"hevc", b"heim", b"heis", b"mif1", b"msf1")


def _plugin(path: Path) -> type[ImageFile]:
    """What opens a file, by its content."""
    with path.open("rb") as file:
        head = file.read(16)
    known = next((plugin for signature, plugin in _PLUGINS if head.startswith(signature)), None)
    if known is not None:
        return known
    kind: Any = None
    name = package = ""
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        kind, name, package = WebPImageFile if features.check("webp") else None, "WebP", "--upgrade pillow"
    elif head[4:8] == b"ftyp" and head[8:12] in (b"avif", b"avis"):
        kind, name, package = AvifImageFile if features.check("avif") else None, "AVIF", "--upgrade pillow"
    elif head[4:8] == b"ftyp" and head[8:12] in _HEIF_BRANDS:
        kind, name, package = optional_import("pillow_heif.as_plugin", name="HeifImageFile")[0], "HEIC", "pillow-heif"
    if isinstance(kind, type):
        return kind
    if name:
        raise UnreadablePhotographError(path, f"{name} needs a decoder: pip install {package}, or {SAVE_AS_PNG}")
    raise UnreadablePhotographError(path, f"the content is of no format that is read: {SAVE_AS_PNG}")


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
        UnreadablePhotographError: it is of another format, too large or too small, or one of several pictures, or
            Pillow would narrow it.
    """
    plugin = _plugin(path)
    if plugin is TiffImageFile and page is None:
        page = find_page(path).number
    with plugin(path) as picture:
        if page:
            picture.seek(page)
        check_size(path, *picture.size)
        if plugin is PngImageFile:
            with plugin(path) as copy:
                copy.verify()
        _check_alone(path, picture)
        _check_depth(path, picture)
        if raw_mode:
            picture.tile = [tile._replace(args=_changed(tile.args, raw_mode)) for tile in picture.tile]
        picture.load()
        yield picture


def _changed(args: Any, raw_mode: Callable[[str], str]) -> Any:
    """A tile's arguments, of which the raw mode is the only or the first."""
    return raw_mode(args) if isinstance(args, str) else (raw_mode(args[0]), *args[1:])


def _check_alone(path: Path, picture: ImageFile) -> None:
    """Refuses an animation, and several JPEGs in a row (MPO) of which a later one is larger than the first."""
    if isinstance(picture, GifImageFile | WebPImageFile | AvifImageFile) and picture.n_frames > 1:
        raise UnreadablePhotographError(
            path, f"the file holds {picture.n_frames} pictures: save the one to be segmented as a file of its own"
        )
    if not isinstance(picture, JpegImageFile) or "mpoffset" not in picture.info:
        return
    entries = (picture._getmp() or {}).get(0xB002, [])
    with path.open("rb") as file:
        for entry in entries[1:]:
            file.seek(entry["DataOffset"] + picture.info["mpoffset"])
            with JpegImageFile(io.BytesIO(file.read(entry["Size"]))) as other:
                if other.width * other.height > picture.width * picture.height:
                    reason = f"the first of its {len(entries)} pictures is not the largest"
                    raise UnreadablePhotographError(path, f"{reason}: save the photograph as a file of its own")


def _check_depth(path: Path, picture: ImageFile) -> None:
    """Refuses colours of more than 8 bits in formats in which Pillow cannot be made to give them whole."""
    is_wide = False
    if isinstance(picture, PpmImageFile):
        (tile,) = picture.tile
        is_wide = isinstance(tile.args, tuple) and int(tile.args[-1]) > 255
    elif isinstance(picture, Jpeg2KImageFile):
        with path.open("rb") as file:
            head = file.read(1 << 16)
        # The code stream says the depth of its first component, less 1, in the low bits of this byte.
        is_wide = (head[head.find(_CODE_STREAM) + 42] & 0x7F) > 7
    if is_wide and picture.mode not in ("I", "I;16", "I;16B"):
        raise UnreadablePhotographError(path, f"its colours have more than 8 bits: {SAVE_AS_PNG}")


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
