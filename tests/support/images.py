"""A photograph for tests that run whole commands."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import skimage.data
from numpy.typing import NDArray
from PIL import Image


def photograph(side: int = 400) -> NDArray[np.uint8]:
    """The real photograph that scikit-image ships, side x side x 3."""
    return np.asarray(Image.fromarray(skimage.data.retina()).resize((side, side)))


def save_png(pixels: NDArray[np.uint8], path: Path) -> Path:
    """Write a picture, and the folder that it lies in if need be."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)
    return path
