"""PNG and TIFF files of which Pillow would keep 8 bits of a wider sample, or which it mistakes."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np

from bundle.data.limits import SAVE_AS_PNG
from bundle.data.opened import PNG_SIGNATURE, TIFF_SIGNATURES, opened_picture, turn_upright
from bundle.data.ranges import in_byte_range
from bundle.data.tiff import TiffPage, find_page, tiff_samples
from bundle.errors import UnreadablePhotographError

__all__ = ["Samples", "byte_values", "wide_samples"]

_OTHER_BYTE = {"B": "L", "L": "B", "N": "B" if sys.byteorder == "little" else "L"}
"""Pillow keeps one byte of a colour of 16 bits, by the raw mode's last letter; by this letter it keeps the other."""
_UNKNOWN_TO_PILLOW = b"MM\0+"
"""How a TIFF of 64-bit offsets and the higher byte first starts."""
_GREY_ALPHA = 4
"""PNG's colour type of grey with transparency."""
_COLOUR = (2, 6)
"""PNG's colour types of red, green and blue, without transparency and with it."""


class Samples(NamedTuple):
    """The samples of a picture, as stored.

    Attributes:
        values: (H, W), (H, W, 3) for red, green and blue, or (H, W, 4) for CMYK, in the orientation of display.
        is_white_zero: whether 0 is white.
        stored_as: the format's name.
    """

    values: np.ndarray
    is_white_zero: bool
    stored_as: str


def wide_samples(path: Path) -> Samples | None:
    """The samples of a PNG whose colours have 16 bits, or of a TIFF of other than bytes; None of any other picture.

    Raises:
        UnreadablePhotographError: they are stored in a way that is not read.
    """
    with path.open("rb") as file:
        head = file.read(26)
    if head.startswith(PNG_SIGNATURE):
        # Both stand in the first chunk, which PNG prescribes: the depth, then the colour type.
        if head[24:25] != b"\x10" or head[25] not in (_GREY_ALPHA, *_COLOUR):
            return None
        return Samples(_wide_png(path, head[25]), False, "PNG")
    if not head.startswith(TIFF_SIGNATURES):
        return None
    page = find_page(path)
    if page.is_bytes and not head.startswith(_UNKNOWN_TO_PILLOW):
        return None
    values = tiff_samples(path, page.number) if page.by_tifffile else _wide_tiff(path, page)
    return Samples(values, page.is_white_zero, "TIFF")


def byte_values(path: Path, samples: Samples) -> np.ndarray:
    """Samples in 0 to 255 (see ``in_byte_range``), (H, W) or (H, W, 3), and 255 as white."""
    values = in_byte_range(path, samples.values)
    if samples.is_white_zero:
        return 255 - values
    if values.shape[2:] == (4,):
        light = 255 - values
        return light[..., :3] * light[..., 3:] / 255
    return values


def _wide_png(path: Path, kind: int) -> np.ndarray:
    if kind in _COLOUR:
        return _both_bytes(path)[..., :3]
    # Grey and transparency of two bytes each fill what Pillow takes for the four bytes of a colour.
    values = _decoded(path, raw_mode=lambda mode: "RGBA").astype(np.uint16)
    return values[..., 0] * np.uint16(256) + values[..., 1]


def _wide_tiff(path: Path, page: TiffPage) -> np.ndarray:
    """A page that tifffile does not unpack; of what Pillow unpacks, only what it does not mistake."""
    reason = f"samples of {page.bits} bits, compressed or arranged in this way, are not read"
    refused = UnreadablePhotographError(path, f"{reason}: {SAVE_AS_PNG}")
    if page.in_planes or page.is_premultiplied:
        raise refused
    kind = (page.kind, page.bits, page.is_packed)
    try:
        if kind == ("f", 32, True):
            # Once unpacked, floats are in the machine's order of bytes, which Pillow forgets.
            values = _decoded(path, page.number, raw_mode=lambda mode: "F;32NF")
        elif kind in (("u", 16, True), ("u", 12, False)):
            values = _decoded(path, page.number)
            if values.dtype == np.uint8:
                values = _both_bytes(path, page.number) if page.bits == 16 else values[:0]
        else:
            raise refused
    except SyntaxError:
        # So Pillow says that it knows the format, but not this arrangement.
        raise refused from None
    if not values.size:
        raise refused
    return values if values.ndim == 2 or _is_cmyk(path, page) else values[..., :3]


def _is_cmyk(path: Path, page: TiffPage) -> bool:
    with opened_picture(path, page.number) as picture:
        return picture.mode == "CMYK"


def _both_bytes(path: Path, page: int | None = None) -> np.ndarray:
    """Colours of 16 bits, decoded twice: once for the upper and once for the lower byte."""
    upper = _decoded(path, page).astype(np.uint16)
    lower = _decoded(path, page, raw_mode=lambda mode: mode[:-1] + _OTHER_BYTE[mode[-1]])
    return upper * np.uint16(256) + lower


def _decoded(path: Path, page: int | None = None, raw_mode: Callable[[str], str] | None = None) -> np.ndarray:
    with opened_picture(path, page, raw_mode) as picture:
        turn_upright(picture)
        return np.array(picture)
