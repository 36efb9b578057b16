"""PNG files: lossless, readable by Pillow with its checks on, and refused for what is no picture."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bundle.io.png import write_png


@pytest.mark.parametrize("shape", [(1, 1), (37, 53), (53, 37, 3), (1, 300, 3), (300, 1)])
def test_pillow_reads_the_very_pixels(tmp_path: Path, shape: tuple[int, ...]) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    write_png(pixels, tmp_path / "a.png")
    with Image.open(tmp_path / "a.png") as picture:
        picture.verify()
    with Image.open(tmp_path / "a.png") as picture:
        assert picture.mode == ("RGB" if len(shape) == 3 else "L")
        assert picture.info == {}
        np.testing.assert_array_equal(np.asarray(picture), pixels)


def test_rows_need_not_be_contiguous(tmp_path: Path) -> None:
    pixels = np.random.default_rng(1).integers(0, 256, (40, 30, 3), dtype=np.uint8)
    write_png(pixels.transpose(1, 0, 2)[::2], tmp_path / "a.png")
    with Image.open(tmp_path / "a.png") as picture:
        np.testing.assert_array_equal(np.asarray(picture), pixels.transpose(1, 0, 2)[::2])


def test_it_compresses_about_as_pillow_does(tmp_path: Path) -> None:
    ramp = np.add.outer(np.arange(300), np.arange(400)) // 3 % 256
    pixels = (ramp + np.random.default_rng(2).integers(0, 4, ramp.shape)).astype(np.uint8)
    write_png(pixels, tmp_path / "a.png")
    Image.fromarray(pixels).save(tmp_path / "pillow.png", compress_level=1)
    assert (tmp_path / "a.png").stat().st_size < 1.3 * (tmp_path / "pillow.png").stat().st_size


@pytest.mark.parametrize(
    "pixels",
    [np.zeros((4, 4), np.float32), np.zeros((4, 4, 4), np.uint8), np.zeros((0, 4), np.uint8), np.zeros(4, np.uint8)],
)
def test_anything_else_is_refused(tmp_path: Path, pixels: np.ndarray) -> None:
    with pytest.raises(ValueError, match="a PNG is written of"):
        write_png(pixels, tmp_path / "a.png")
    assert not (tmp_path / "a.png").exists()
