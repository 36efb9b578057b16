"""A photograph without colour is told from one with it."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bundle.data.colour import is_colourless
from tests.support.patterns import colour_pattern, grey_pattern, load


def test_grey_as_a_jpeg_in_colour_has_none() -> None:
    grey = np.random.default_rng(0).integers(0, 256, (200, 300), np.uint8)
    file = io.BytesIO()
    Image.fromarray(np.repeat(grey[..., None], 3, axis=-1)).save(file, "JPEG", quality=60)
    assert is_colourless(np.asarray(Image.open(file)))


def test_letters_in_colour_count_for_nothing() -> None:
    grey = np.repeat(np.random.default_rng(0).integers(0, 256, (512, 512, 1), np.uint8), 3, axis=-1)
    grey[:40, :40] = (200, 0, 0)
    assert is_colourless(grey)
    grey[:200, :200] = (200, 0, 0)
    assert not is_colourless(grey)


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_the_metadata_say_so(tmp_path: Path, dtype: type) -> None:
    Image.fromarray(colour_pattern()).save(tmp_path / "a.png")
    assert load(tmp_path / "a.png").meta["colourless"] is False
    Image.fromarray((grey_pattern() / (1 if dtype is np.uint8 else 255)).astype(dtype)).save(tmp_path / "b.tif")
    assert load(tmp_path / "b.tif").meta["colourless"] is True
