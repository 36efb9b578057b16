"""TIFF files: which page is the photograph, and the samples of pages that Pillow narrows or mistakes."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import numpy as np
import tifffile

from bundle.data.limits import COPY_AGAIN, MAX_SIDE, SAVE_AS_PNG, check_size
from bundle.errors import UnreadablePhotographError

__all__ = ["TiffPage", "find_page", "tiff_samples"]

_MAX_PAGES = 1000
"""More pages are not looked at."""
_MAX_SAMPLES = 8
"""A pixel of more samples is no photograph's."""
_THUMBNAIL_SHARE = 0.3
"""A page of at most this share of the largest page's pixels is a thumbnail or a level of a pyramid."""
_UNPACKED = {1, 8, 32773, 32946}
"""Compressions that tifffile unpacks by itself: none, deflate (two numbers) and PackBits."""
_KINDS = {1: "u", 2: "i", 3: "f"}
_GREY, _COLOUR, _CMYK = {0, 1}, {2}, {5}


class TiffPage(NamedTuple):
    """The page that holds the photograph.

    Attributes:
        number: its place in the file, from 0.
        bits: of a sample.
        kind: of the samples, as NumPy abbreviates it: ``u`` unsigned, ``i`` signed, ``f`` float.
        is_white_zero: whether 0 is white, which Pillow heeds in pages of bytes and forgets in others.
        is_packed: whether it is compressed.
        in_planes: whether each colour is stored for itself.
        is_premultiplied: whether its colours are multiplied by transparency.
        by_tifffile: whether ``tiff_samples`` reads it.
    """

    number: int
    bits: int
    kind: str
    is_white_zero: bool
    is_packed: bool
    in_planes: bool
    is_premultiplied: bool
    by_tifffile: bool

    @property
    def is_bytes(self) -> bool:
        """Whether the samples are unsigned and of at most 8 bits, which Pillow reads as they are."""
        return self.kind == "u" and self.bits <= 8


def find_page(path: Path) -> TiffPage:
    """Look for the page that holds the photograph.

    Raises:
        UnreadablePhotographError: there are several, or none.
    """
    with _opened(path) as file:
        number, page = _photograph_page(path, file)
        _check_page(path, page)
        kind, bits = _KINDS.get(int(page.sampleformat), ""), int(page.bitspersample)
        return TiffPage(
            number,
            bits,
            kind,
            is_white_zero=page.photometric == tifffile.PHOTOMETRIC.MINISWHITE,
            is_packed=int(page.compression) != 1,
            in_planes=page.samplesperpixel > 1 and page.planarconfig == tifffile.PLANARCONFIG.SEPARATE,
            is_premultiplied=tifffile.EXTRASAMPLE.ASSOCALPHA in page.extrasamples,
            by_tifffile=int(page.compression) in _UNPACKED
            and bits in ((16, 32, 64) if kind == "f" else (8, 16, 32, 64))
            and page.predictor in (1, 2)
            and page.fillorder == 1,
        )


@contextmanager
def _opened(path: Path) -> Iterator[tifffile.TiffFile]:
    """The file, without tifffile's lines in the log: what is the matter is said once, and by the name of the file."""

    def silence(record: logging.LogRecord) -> bool:
        return False

    logger = logging.getLogger("tifffile")
    logger.addFilter(silence)
    try:
        with tifffile.TiffFile(path, _multifile=False) as file:
            yield file
    finally:
        logger.removeFilter(silence)


def _photograph_page(path: Path, file: tifffile.TiffFile) -> tuple[int, tifffile.TiffPage]:
    pages = [(index, page.aspage()) for index, page in enumerate(islice(file.pages, _MAX_PAGES))]
    if not pages:
        raise UnreadablePhotographError(path, f"the file is truncated: {COPY_AGAIN}")
    # Bit 0 marks a reduced copy of another page, bit 2 a mask of transparency.
    full = [(index, page) for index, page in pages if not page.subfiletype & 0b101]
    if not full and len(pages) == 1 and not pages[0][1].subifds:
        full = pages
    if not full:
        raise UnreadablePhotographError(
            path, f"the TIFF holds only reduced copies of a picture that it hides elsewhere: {SAVE_AS_PNG}"
        )
    index, largest = max(full, key=lambda found: _pixels(found[1]))
    rivals = [page for _, page in full if _pixels(page) > _THUMBNAIL_SHARE * _pixels(largest)]
    if len(rivals) == 1:
        return index, largest
    if len(rivals) == 3 and all(page.samplesperpixel == 1 and page.shape == largest.shape for page in rivals):
        raise UnreadablePhotographError(
            path, f"the TIFF holds three grey pages, perhaps red, green and blue: merge them, and {SAVE_AS_PNG}"
        )
    raise UnreadablePhotographError(
        path, f"the TIFF holds {len(rivals)} pages of full size: save the one to be segmented as a file of its own"
    )


def _pixels(page: tifffile.TiffPage) -> int:
    return int(page.imagewidth) * int(page.imagelength)


def _check_page(path: Path, page: tifffile.TiffPage) -> None:
    check_size(path, page.imagewidth, page.imagelength)
    if page.imagedepth != 1:
        raise UnreadablePhotographError(path, f"the TIFF page is a volume, no photograph: {SAVE_AS_PNG}")
    if page.samplesperpixel > _MAX_SAMPLES:
        raise UnreadablePhotographError(path, f"it is stored in {page.samplesperpixel} channels: {SAVE_AS_PNG}")
    is_ycbcr, sampling = page.photometric == tifffile.PHOTOMETRIC.YCBCR, page.tags.valueof(530, (1, 1))
    if is_ycbcr and int(page.compression) == 1 and tuple(sampling) != (1, 1):
        raise UnreadablePhotographError(path, f"its colours are stored less finely than its brightness: {SAVE_AS_PNG}")


def tiff_samples(path: Path, number: int) -> np.ndarray:
    """The samples of a page in any number of bits.

    Args:
        path: the file.
        number: of the page, one for which ``find_page`` says ``by_tifffile``.

    Returns:
        as stored, (H, W) if grey, (H, W, 3) if red, green and blue, (H, W, 4) if CMYK.

    Raises:
        UnreadablePhotographError: their colours are of another kind, or some of them are missing.
    """
    with _opened(path) as file:
        page = file.pages[number].aspage()
        photometric, alone = int(page.photometric), page.samplesperpixel - len(page.extrasamples)
        wanted = 1 if photometric in _GREY else 3 if photometric in _COLOUR else 4 if photometric in _CMYK else 0
        if not wanted or alone < wanted or page.dtype is None:
            raise UnreadablePhotographError(
                path, f"its {page.bitspersample}-bit colours are of no kind that is read: {SAVE_AS_PNG}"
            )
        _check_segments(path, page)
        values: np.ndarray = page.asarray()
        if page.samplesperpixel > 1 and page.planarconfig == tifffile.PLANARCONFIG.SEPARATE:
            values = np.moveaxis(values, 0, -1)
        values = values.reshape(page.imagelength, page.imagewidth, -1)
        if tifffile.EXTRASAMPLE.ASSOCALPHA in page.extrasamples:
            alpha = values[..., wanted + list(page.extrasamples).index(tifffile.EXTRASAMPLE.ASSOCALPHA)]
            if (alpha != alpha.max()).any():
                raise UnreadablePhotographError(path, f"its colours are multiplied by transparency: {SAVE_AS_PNG}")
        values = values[..., 0] if wanted == 1 else values[..., :wanted]
        return _turned(values, int(page.tags.valueof(274, 1)))


def _check_segments(path: Path, page: tifffile.TiffPage) -> None:
    """Refuses a page of which a strip or tile lies outside the file: tifffile would fill it up."""
    size = path.stat().st_size
    if page.is_tiled and max(page.tilewidth, page.tilelength) > 2 * MAX_SIDE:
        raise UnreadablePhotographError(path, f"the TIFF has tiles larger than itself: {SAVE_AS_PNG}")
    segments = list(zip(page.dataoffsets, page.databytecounts, strict=False))
    missing = len(segments) < int(np.prod(page.chunked))
    unpacked = int(page.compression) == 1 and sum(count for _, count in segments) * 8 < (
        _pixels(page) * page.samplesperpixel * page.bitspersample
    )
    if missing or unpacked or any(not 0 < offset < offset + count <= size for offset, count in segments):
        raise UnreadablePhotographError(path, f"the file is truncated: {COPY_AGAIN}")


def _turned(values: np.ndarray, orientation: int) -> np.ndarray:
    """As displayed; by the orientation's definition in EXIF, of which others than 2 to 8 say nothing."""
    if orientation in (5, 6, 7, 8):
        values = np.swapaxes(values, 0, 1)
    if orientation in (3, 4, 7, 8):
        values = values[::-1]
    if orientation in (2, 3, 6, 7):
        values = values[:, ::-1]
    return values
