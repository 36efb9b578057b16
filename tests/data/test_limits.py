"""Photographs that are too large or too small are refused before they are decoded."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import pytest
from PIL import Image, ImageFile

from tests.support.patterns import colour_pattern, expect, load, refusal


def png_claiming(width: int, height: int) -> bytes:
    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    pixels = chunk(b"IDAT", zlib.compress(b"\0" * 100))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + pixels + chunk(b"IEND", b"")


def test_header_claiming_too_much(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ImageFile.ImageFile, "load", lambda self: pytest.fail("decoded"))
    before = Image.MAX_IMAGE_PIXELS
    (tmp_path / "a.png").write_bytes(png_claiming(30000, 30000))
    reason = refusal(tmp_path / "a.png")
    assert "30000 x 30000" in reason
    assert "25 megapixels" in reason
    assert before == Image.MAX_IMAGE_PIXELS


def test_limit_is_ours_and_not_pillows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, recwarn: pytest.WarningsRecorder
) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    Image.fromarray(colour_pattern()).save(tmp_path / "a.png")
    expect(tmp_path / "a.png", colour_pattern())
    assert not [warning for warning in recwarn if warning.category is Image.DecompressionBombWarning]


@pytest.mark.parametrize("size", [(1, 1), (15, 100), (100, 15)])
def test_too_small(tmp_path: Path, size: tuple[int, int]) -> None:
    Image.new("RGB", size).save(tmp_path / "a.png")
    assert f"{size[0]} x {size[1]}" in refusal(tmp_path / "a.png")


def test_smallest(tmp_path: Path) -> None:
    Image.new("RGB", (16, 16)).save(tmp_path / "a.png")
    assert tuple(load(tmp_path / "a.png").shape) == (3, 16, 16)
