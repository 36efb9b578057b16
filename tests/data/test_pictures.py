"""Pictures of every format and mode come out as a viewer shows them, and damaged ones are refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.support.patterns import HEIGHT, WIDTH, colour_pattern, expect, grey_pattern, load, noise, refusal


@pytest.mark.parametrize("name", ["a.png", "a.tif", "a.tiff", "a.bmp", "A.PNG"])
def test_lossless_pictures(tmp_path: Path, name: str) -> None:
    Image.fromarray(colour_pattern()).save(tmp_path / name)
    image = expect(tmp_path / name, colour_pattern())
    assert image[:, 5, 3].tolist() == [250, 10, 20]
    assert image[:, 33, 3].tolist() == [10, 240, 30]
    assert image[:, 5, 18].tolist() == [20, 30, 230]


@pytest.mark.parametrize("compression", ["tiff_lzw", "tiff_adobe_deflate", "packbits"])
def test_compressed_tiff(tmp_path: Path, compression: str) -> None:
    Image.fromarray(colour_pattern()).save(tmp_path / "a.tif", compression=compression)
    expect(tmp_path / "a.tif", colour_pattern())


def test_jpeg(tmp_path: Path) -> None:
    Image.fromarray(colour_pattern()).save(tmp_path / "a.jpg", quality=98, subsampling=0)
    expect(tmp_path / "a.jpg", colour_pattern(), tolerance=12)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", ["jpg", "png", "tif"])
def test_exif_orientation(tmp_path: Path, orientation: int, suffix: str) -> None:
    shown = colour_pattern()
    # How the sensor saw what is shown, by the orientation's definition in EXIF.
    sensor = {
        1: shown,
        2: shown[:, ::-1],
        3: shown[::-1, ::-1],
        4: shown[::-1],
        5: shown.transpose(1, 0, 2),
        6: np.rot90(shown, 1),
        7: np.rot90(shown, 2).transpose(1, 0, 2),
        8: np.rot90(shown, -1),
    }[orientation]
    exif = Image.Exif()
    exif[0x0112] = orientation
    options: dict[str, Any] = {"quality": 98, "subsampling": 0} if suffix == "jpg" else {}
    Image.fromarray(np.ascontiguousarray(sensor)).save(tmp_path / f"a.{suffix}", exif=exif, **options)
    expect(tmp_path / f"a.{suffix}", shown, tolerance=12 if suffix == "jpg" else 0)


def test_damaged_exif_leaves_the_photograph_as_stored(tmp_path: Path) -> None:
    Image.fromarray(colour_pattern()).save(tmp_path / "a.png", exif=b"Exif\0\0nonsense")
    expect(tmp_path / "a.png", colour_pattern())


def test_alpha_is_dropped_and_not_composited(tmp_path: Path) -> None:
    alpha = np.zeros((HEIGHT, WIDTH, 1), np.uint8)
    Image.fromarray(np.concatenate([colour_pattern(), alpha], axis=-1)).save(tmp_path / "rgba.png")
    expect(tmp_path / "rgba.png", colour_pattern())
    Image.fromarray(np.concatenate([grey_pattern()[..., None], alpha], axis=-1)).save(tmp_path / "la.png")
    expect(tmp_path / "la.png", grey_pattern())


def test_palette_with_transparency(tmp_path: Path, recwarn: pytest.WarningsRecorder) -> None:
    picture = Image.fromarray(colour_pattern()).quantize(8)
    picture.save(tmp_path / "a.png", transparency=bytes(range(8)))
    with Image.open(tmp_path / "a.png") as stored:
        assert stored.mode == "P"
    expect(tmp_path / "a.png", colour_pattern())
    assert not [warning for warning in recwarn if "Palette images" in str(warning.message)]


def test_one_bit(tmp_path: Path) -> None:
    bits = grey_pattern() > 100
    Image.fromarray(bits).save(tmp_path / "a.png")
    expect(tmp_path / "a.png", bits * np.uint8(255))


@pytest.mark.parametrize("name", ["a.png", "a.tif"])
def test_grey_of_16_bits(tmp_path: Path, name: str) -> None:
    values = grey_pattern().astype(np.uint16) * 257
    values[0, 0] = 300
    Image.fromarray(values).save(tmp_path / name)
    expected = grey_pattern().astype(np.float32)
    expected[0, 0] = 300 / 257
    expect(tmp_path / name, expected, tolerance=1e-4)


def test_big_endian_tiff_of_16_bits(tmp_path: Path) -> None:
    values = (grey_pattern().astype(np.uint16) * 257).astype(">u2")
    Image.frombytes("I;16B", (WIDTH, HEIGHT), values.tobytes()).save(tmp_path / "a.tif")
    assert (tmp_path / "a.tif").read_bytes()[:2] == b"MM"
    expect(tmp_path / "a.tif", grey_pattern(), tolerance=1e-4)


def test_float_tiff(tmp_path: Path) -> None:
    Image.fromarray(grey_pattern().astype(np.float32) / 255).save(tmp_path / "a.tif")
    expect(tmp_path / "a.tif", grey_pattern(), tolerance=1e-3)


def test_cmyk_jpeg(tmp_path: Path) -> None:
    Image.fromarray(colour_pattern()).convert("CMYK").save(tmp_path / "a.jpg", quality=98, subsampling=0)
    expect(tmp_path / "a.jpg", colour_pattern(), tolerance=30)


def test_lab_is_refused(tmp_path: Path) -> None:
    Image.new("LAB", (WIDTH, HEIGHT)).save(tmp_path / "a.tif")
    assert "RGB PNG" in refusal(tmp_path / "a.tif")


def test_first_picture_of_an_animated_png(tmp_path: Path) -> None:
    other = Image.new("RGB", (WIDTH, HEIGHT))
    Image.fromarray(colour_pattern()).save(tmp_path / "a.png", save_all=True, append_images=[other])
    expect(tmp_path / "a.png", colour_pattern())


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("a.png", {}),
        ("a.jpg", {}),
        ("a.jpg", {"progressive": True}),
        ("a.tif", {}),
        ("a.tif", {"compression": "tiff_lzw"}),
        ("a.tif", {"compression": "tiff_adobe_deflate"}),
        ("a.bmp", {}),
    ],
)
def test_truncated(tmp_path: Path, name: str, options: dict[str, Any]) -> None:
    noise().save(tmp_path / name, **options)
    whole = (tmp_path / name).read_bytes()
    expect_readable = load(tmp_path / name)
    assert tuple(expect_readable.shape) == (3, WIDTH, HEIGHT)
    for length in [1, 5, 9, 20, 40, *(round(len(whole) * part) for part in (0.2, 0.5, 0.8, 0.95)), len(whole) - 8]:
        (tmp_path / name).write_bytes(whole[:length])
        assert "copy it again" in refusal(tmp_path / name) or length < 8


def test_png_with_a_changed_byte(tmp_path: Path) -> None:
    noise().save(tmp_path / "a.png")
    content = bytearray((tmp_path / "a.png").read_bytes())
    content[len(content) // 2] ^= 0x10
    (tmp_path / "a.png").write_bytes(content)
    assert "copy it again" in refusal(tmp_path / "a.png")
