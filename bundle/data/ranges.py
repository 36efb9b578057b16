"""Values of any depth in the range of bytes, 0 to 255."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from bundle.data.limits import check_kind
from bundle.errors import UnreadablePhotographError

__all__ = ["DEPTHS", "in_byte_range", "usual_depth"]

DEPTHS = (8, 10, 12, 14, 16)
"""The depths, in bits, of cameras whose values are stored in wider integers."""


def usual_depth(top: float) -> int | None:
    """The smallest of ``DEPTHS`` that holds a maximum; None beyond all of them.

    Example:
        >>> usual_depth(255), usual_depth(4080), usual_depth(65535), usual_depth(65536)
        (8, 12, 16, None)
    """
    return next((depth for depth in DEPTHS if top < 2**depth), None)


def in_byte_range(path: Path, values: np.ndarray) -> np.ndarray:
    """Values of any real type in 0 to 255, as float32 unless they are bytes.

    Wider integers are scaled by the smallest of ``DEPTHS`` that holds their maximum, so that values of 8 or 12 bits in
    files of 16 are as bright as they were meant. Floats up to 1 count as fractions and floats up to 255 as they are.
    What is larger is scaled by its maximum.

    Args:
        path: the file, for the message.
        values: of any shape.

    Raises:
        UnreadablePhotographError: they are not real, not finite or below 0.
    """
    check_kind(path, values.dtype)
    if values.dtype == np.uint8:
        return values
    top = float(values.max())
    # The maximum of a wider type than float64 may be finite there alone.
    if not np.isfinite(top) or (values.dtype.kind == "f" and not np.isfinite(values).all()):
        raise UnreadablePhotographError(path, "it holds values that are not finite (NaN or infinity): replace them")
    if values.min() < 0:
        raise UnreadablePhotographError(path, "it holds values below 0: scale them to 0 to 255")
    if values.dtype.kind == "f":
        factor = 255.0 if top <= 1 else 1.0 if top <= 255 else 255 / top
    else:
        depth = usual_depth(top)
        factor = 255 / (2**depth - 1 if depth else top)
    # In float64, but without an array of it, which would be the largest of all.
    scaled = np.empty(values.shape, np.float32)
    return np.multiply(values, factor, out=scaled, dtype=np.float64, casting="unsafe")
