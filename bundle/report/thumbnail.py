"""Small pictures for the page."""

from __future__ import annotations

import io

from PIL import Image

__all__ = ["small_jpeg"]

_THUMBNAIL_SIDE = 512
_THUMBNAIL_QUALITIES = (85, 75, 65, 50)
_THUMBNAIL_BYTES = 26_000
"""The largest close-up. In base64 and with its contours it stays below 40 kB, so that hundreds fit on one page."""


def small_jpeg(picture: Image.Image) -> bytes:
    """The picture as a JPEG of at most 26 kB: the best quality that fits, then fewer pixels."""
    picture = picture.convert("RGB")
    side = _THUMBNAIL_SIDE
    while True:
        reduced = picture.copy()
        reduced.thumbnail((side, side))
        for quality in _THUMBNAIL_QUALITIES:
            file = io.BytesIO()
            reduced.save(file, "JPEG", quality=quality, optimize=True)
            if file.tell() <= _THUMBNAIL_BYTES:
                return file.getvalue()
        side = side * 3 // 4
