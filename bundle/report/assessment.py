"""What is said of a photograph: its contours measured, and whether a reader should look at it."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from monai.utils import convert_to_tensor
from numpy.typing import NDArray

from bundle.morphometry.cup_disc import Borders, Measurements
from bundle.morphometry.rims import Rims
from bundle.results import Row

__all__ = ["Assessment", "photograph_pixels"]


class Assessment(NamedTuple):
    """What is said of one photograph.

    Args:
        photograph: H x W x 3, uint8.
        label: H x W, uint8: 0 background, 1 disc rim, 2 cup.
        borders: of the label.
        row: of the report.
        measurements: of the label.
        rims: widths of the rim, and which eye it is.
    """

    photograph: NDArray[np.uint8]
    label: NDArray[np.uint8]
    borders: Borders
    row: Row
    measurements: Measurements
    rims: Rims


def photograph_pixels(photograph: torch.Tensor) -> NDArray[np.uint8]:
    """A photograph (3 x W x H, 0..255) as ``H x W x 3`` ``uint8``: files are row first, tensors column first."""
    planes = [plane.T for plane in convert_to_tensor(photograph, track_meta=False).cpu().numpy()]
    # Plane by plane, which saves the passes over the memory of a whole photograph in floats.
    return np.stack([plane if plane.dtype == np.uint8 else plane.round().astype(np.uint8) for plane in planes], axis=-1)
