"""A small pattern of which every turn and mirror image differs, and how the photograph reader's result is checked."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from monai.transforms import Compose, EnsureChannelFirstd, LoadImaged
from PIL import Image

from bundle.data.photograph_reader import PhotographReader
from bundle.errors import UnreadablePhotographError

WIDTH, HEIGHT = 40, 24
# An L off the centre, so that every turn and mirror image of it differs.
SPOTS = {(5, 3): (250, 10, 20), (33, 3): (10, 240, 30), (5, 18): (20, 30, 230)}


def colour_pattern() -> np.ndarray:
    """(H, W, 3) uint8: three marks of 4 x 4 pixels at (x, y) on a dark ground."""
    pattern = np.full((HEIGHT, WIDTH, 3), (60, 50, 40), np.uint8)
    for (x, y), colour in SPOTS.items():
        pattern[y : y + 4, x : x + 4] = colour
    return pattern


def grey_pattern() -> np.ndarray:
    """(H, W) uint8: the red channel of ``colour_pattern``."""
    return colour_pattern()[..., 0]


def noise() -> Image.Image:
    """A picture that does not compress, so that every cut falls into its pixels."""
    return Image.fromarray(np.random.default_rng(0).integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8))


def load(path: Path) -> Any:
    """(3, W, H), by the transforms that the configs use."""
    loading = Compose([LoadImaged(keys="image", reader=PhotographReader), EnsureChannelFirstd(keys="image")])
    return loading({"image": str(path)})["image"]


def refusal(path: Path) -> str:
    """The reason for which a photograph is unreadable; that it is readable fails the test."""
    with pytest.raises(UnreadablePhotographError) as caught:
        LoadImaged(keys="image", reader=PhotographReader)({"image": str(path)})
    assert caught.value.path == str(path)
    return caught.value.reason


def expect(path: Path, pattern: np.ndarray, tolerance: float = 0.0) -> Any:
    """Load a photograph that a viewer would show as ``pattern``, (H, W, 3) or (H, W)."""
    image = load(path)
    shown = pattern if pattern.ndim == 3 else np.repeat(pattern[..., None], 3, axis=-1)
    assert tuple(image.shape) == (3, shown.shape[1], shown.shape[0])
    assert image.dtype.is_floating_point
    assert 0 <= float(image.min()) <= float(image.max()) <= 255
    np.testing.assert_allclose(image.numpy(), shown.astype(np.float32).transpose(2, 1, 0), atol=tolerance)
    assert image.meta["filename_or_obj"] == str(path)
    assert tuple(image.meta["spatial_shape"]) == (shown.shape[1], shown.shape[0])
    return image
