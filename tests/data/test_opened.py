"""Formats of telephones and of the web, told by their content; what needs a decoder names it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, features

from tests.support.patterns import HEIGHT, WIDTH, colour_pattern, expect, grey_pattern, noise, refusal


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("a.webp", {"lossless": True}),
        ("a.jp2", {}),
        ("a.j2k", {"no_jp2": True}),
        ("a.ppm", {}),
        ("a.gif", {}),
        ("A.JPG", {"format": "JPEG2000"}),
        ("a.bin", {"format": "WEBP", "lossless": True}),
    ],
)
def test_lossless_formats_by_their_content(tmp_path: Path, name: str, options: dict[str, Any]) -> None:
    Image.fromarray(colour_pattern()).save(tmp_path / name, **options)
    expect(tmp_path / name, colour_pattern())


@pytest.mark.parametrize("suffix", ["jfif", "jpe", "mpo", "JPG"])
def test_jpeg_under_other_names(tmp_path: Path, suffix: str) -> None:
    Image.fromarray(colour_pattern()).save(tmp_path / f"a.{suffix}", "JPEG", quality=98, subsampling=0)
    expect(tmp_path / f"a.{suffix}", colour_pattern(), tolerance=12)


def test_portable_grey_of_16_bits(tmp_path: Path) -> None:
    values = (grey_pattern().astype(np.uint16) * np.uint16(257)).astype(">u2")
    (tmp_path / "a.pgm").write_bytes(f"P5\n{WIDTH} {HEIGHT}\n65535\n".encode() + values.tobytes())
    expect(tmp_path / "a.pgm", grey_pattern(), tolerance=1e-3)


@pytest.mark.skipif(not features.check("avif"), reason="this Pillow has no AVIF")
def test_avif(tmp_path: Path) -> None:
    Image.fromarray(colour_pattern()).save(tmp_path / "a.avif", quality=100, subsampling="4:4:4")
    expect(tmp_path / "a.avif", colour_pattern(), tolerance=4)


def test_heic(tmp_path: Path) -> None:
    heif = pytest.importorskip("pillow_heif")
    heif.from_pillow(Image.fromarray(colour_pattern())).save(tmp_path / "a.heic", quality=-1, chroma=444)
    expect(tmp_path / "a.heic", colour_pattern(), tolerance=4)


@pytest.mark.parametrize(
    ("brand", "word"), [(b"heic", "pillow-heif"), (b"mif1", "pillow-heif"), (b"qt  ", "no format")]
)
def test_what_needs_a_decoder_names_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, brand: bytes, word: str
) -> None:
    monkeypatch.setattr("bundle.data.opened.optional_import", lambda *arguments, **options: (object(), False))
    (tmp_path / "a.heic").write_bytes(b"\0\0\0\x18ftyp" + brand + b"\0" * 100)
    assert word in refusal(tmp_path / "a.heic")


@pytest.mark.parametrize("suffix", ["gif", "webp"])
def test_moving_pictures_are_refused(tmp_path: Path, suffix: str) -> None:
    Image.fromarray(colour_pattern()).save(tmp_path / f"a.{suffix}", save_all=True, append_images=[noise()])
    assert "2 pictures" in refusal(tmp_path / f"a.{suffix}")


@pytest.mark.parametrize("suffix", ["jp2", "webp", "gif", "ppm"])
def test_truncated(tmp_path: Path, suffix: str) -> None:
    noise().save(tmp_path / f"a.{suffix}")
    whole = (tmp_path / f"a.{suffix}").read_bytes()
    for part in (0.05, 0.5, 0.9):
        (tmp_path / f"a.{suffix}").write_bytes(whole[: round(len(whole) * part)])
        assert refusal(tmp_path / f"a.{suffix}")
