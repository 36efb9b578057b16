"""NIfTI files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nibabel
import numpy as np

from bundle.data.limits import check_bytes, check_kind, check_size, size_text
from bundle.data.ranges import in_byte_range
from bundle.errors import UnreadablePhotographError

__all__ = ["nifti_values", "read_nifti"]


def read_nifti(path: Path) -> np.ndarray:
    """A NIfTI image as (W, H) or (W, H, 3) in 0 to 255."""
    return in_byte_range(path, nifti_values(path))


def nifti_values(path: Path) -> np.ndarray:
    """A NIfTI image's values as stored, (W, H) or (W, H, 3)."""
    # Before nibabel reads the header, which may announce extensions of any length.
    check_bytes(path)
    image: Any = nibabel.load(path)
    shape = tuple(image.shape)
    size, rest = shape[:2], tuple(side for side in shape[2:] if side != 1)
    in_fields = image.get_data_dtype().names
    if len(size) < 2 or rest not in ((), (3,), (4,)) or (rest and in_fields):
        raise UnreadablePhotographError(
            path, f"a NIfTI array of {size_text(shape)} is no photograph: save one of width x height, or x 3 for colour"
        )
    check_size(path, *size)
    check_kind(path, np.dtype(np.uint8) if in_fields else image.get_data_dtype())
    values = np.asanyarray(image.dataobj).reshape(size + rest)
    if in_fields:
        values = np.stack([values[field] for field in in_fields], axis=-1)
    return values[..., :3] if values.ndim == 3 else values
