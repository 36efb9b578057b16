"""Of a TIFF's pages the photograph is read, with its samples as they were meant, or it is said why not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from PIL import Image

from tests.support.patterns import HEIGHT, WIDTH, colour_pattern, expect, grey_pattern, load, refusal


def wide() -> np.ndarray:
    return colour_pattern().astype(np.uint16) * np.uint16(257)


@pytest.mark.parametrize("byteorder", ["<", ">"])
@pytest.mark.parametrize("compression", [None, "zlib"])
def test_planes_of_16_bits(tmp_path: Path, byteorder: Any, compression: Any) -> None:
    planes = np.moveaxis(wide(), -1, 0)
    options: dict[str, Any] = {"byteorder": byteorder, "compression": compression, "photometric": "rgb"}
    tifffile.imwrite(tmp_path / "a.tif", planes, planarconfig="separate", **options)
    expect(tmp_path / "a.tif", colour_pattern(), tolerance=1e-4)


@pytest.mark.parametrize("bits", [8, 12, 16])
def test_white_is_zero(tmp_path: Path, bits: int) -> None:
    white = 2**bits - 1
    values = np.rint((255 - grey_pattern()) * (white / 255)).astype(np.uint8 if bits == 8 else np.uint16)
    values[0, 0] = white
    tifffile.imwrite(tmp_path / "a.tif", values, photometric="miniswhite")
    expected = grey_pattern().copy()
    expected[0, 0] = 0
    expect(tmp_path / "a.tif", expected, tolerance=0.05)


@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_colours_of_12_bits_in_16(tmp_path: Path, suffix: str) -> None:
    png = pytest.importorskip("png")
    values = np.rint(colour_pattern() * (4095 / 255)).astype(np.uint16)
    values[0, 0] = 4095
    if suffix == "tif":
        tifffile.imwrite(tmp_path / "a.tif", values, photometric="rgb")
    else:
        with (tmp_path / "a.png").open("wb") as file:
            png.Writer(WIDTH, HEIGHT, greyscale=False, bitdepth=16).write(file, values.reshape(HEIGHT, -1))
    expected = colour_pattern()
    expected[0, 0] = 255
    expect(tmp_path / f"a.{suffix}", expected, tolerance=0.05)


def pages(path: Path, *arrays: np.ndarray, **options: Any) -> Path:
    with tifffile.TiffWriter(path) as file:
        for index, array in enumerate(arrays):
            file.write(array, metadata=None, **{key: values[index] for key, values in options.items()})
    return path


def test_a_thumbnail_is_passed_over(tmp_path: Path) -> None:
    small = np.zeros((HEIGHT // 2, WIDTH // 2, 3), np.uint8)
    expect(pages(tmp_path / "a.tif", small, colour_pattern()), colour_pattern())
    expect(pages(tmp_path / "b.tif", colour_pattern(), small), colour_pattern())
    # A thumbnail of nearly the same size is known by its mark only.
    flagged = pages(tmp_path / "c.tif", np.zeros_like(colour_pattern()), colour_pattern(), subfiletype=[1, 0])
    expect(flagged, colour_pattern())
    expect(pages(tmp_path / "d.tif", small, wide()), colour_pattern(), tolerance=1e-4)
    alone = pages(tmp_path / "e.tif", colour_pattern(), subfiletype=[1])
    expect(alone, colour_pattern())
    assert "reduced" in refusal(pages(tmp_path / "f.tif", small, small, subfiletype=[1, 1]))


def test_pages_of_full_size_are_refused(tmp_path: Path) -> None:
    assert "2 pages" in refusal(pages(tmp_path / "a.tif", colour_pattern(), colour_pattern()))
    channels = [np.ascontiguousarray(colour_pattern()[..., channel]) for channel in range(3)]
    assert "three grey pages" in refusal(pages(tmp_path / "b.tif", *channels))
    Image.fromarray(grey_pattern()).save(tmp_path / "c.tif", save_all=True, append_images=[Image.new("L", (40, 24))])
    assert "2 pages" in refusal(tmp_path / "c.tif")


def test_truncated_planes(tmp_path: Path) -> None:
    planes = np.moveaxis(wide(), -1, 0)
    tifffile.imwrite(tmp_path / "a.tif", planes, planarconfig="separate", photometric="rgb", rowsperstrip=4)
    whole = (tmp_path / "a.tif").read_bytes()
    assert tuple(load(tmp_path / "a.tif").shape) == (3, WIDTH, HEIGHT)
    for length in (10, 100, len(whole) // 2, len(whole) - 2):
        (tmp_path / "a.tif").write_bytes(whole[:length])
        assert "copy it again" in refusal(tmp_path / "a.tif")


@pytest.mark.parametrize("sizes", [((WIDTH, HEIGHT), (20, 12)), ((20, 16), (WIDTH, HEIGHT))])
def test_several_jpegs_in_one_file(tmp_path: Path, sizes: Any) -> None:
    first, second = (Image.fromarray(colour_pattern()).resize(size) for size in sizes)
    first.save(tmp_path / "a.jpg", "MPO", save_all=True, append_images=[second], quality=98, subsampling=0)
    if sizes[0] == (WIDTH, HEIGHT):
        expect(tmp_path / "a.jpg", colour_pattern(), tolerance=12)
    else:
        assert "not the largest" in refusal(tmp_path / "a.jpg")
