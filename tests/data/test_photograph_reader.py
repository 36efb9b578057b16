"""One reader for all formats: it goes by the content, and says what is wrong with a file that it cannot take."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from monai.transforms import LoadImaged
from PIL import Image, ImageFile

from bundle.data.photograph_reader import PhotographReader
from bundle.errors import UnreadablePhotographError
from tests.support.dicom import write_dicom
from tests.support.patterns import HEIGHT, WIDTH, colour_pattern, expect, refusal


def test_reader_by_name_and_without_compose(tmp_path: Path) -> None:
    Image.fromarray(colour_pattern()).save(tmp_path / "a.png")
    data = LoadImaged(keys="image", reader="bundle.data.photograph_reader.PhotographReader")(
        {"image": tmp_path / "a.png"}
    )
    assert tuple(data["image"].shape) == (WIDTH, HEIGHT, 3)
    assert data["image"].meta["original_channel_dim"] == -1


def test_verify_suffix(tmp_path: Path) -> None:
    write_dicom(tmp_path / "scan")
    (tmp_path / "notes").write_text("x" * 200)
    reader = PhotographReader()
    assert reader.verify_suffix(["a.png", "b.NII.gz", "c.dcm", tmp_path / "scan"])
    assert not reader.verify_suffix(["a.png", "b.txt"])
    assert not reader.verify_suffix(tmp_path / "notes")


def test_content_counts_and_not_the_suffix(tmp_path: Path) -> None:
    Image.fromarray(colour_pattern()).save(tmp_path / "a.jpg", format="PNG")
    assert expect(tmp_path / "a.jpg", colour_pattern()).meta["format"] == "PNG"


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.tif", "a.bmp", "a.dcm", "a.nii", "a.nii.gz"])
def test_files_that_are_something_else(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    assert "does not exist" in refusal(path)
    path.write_bytes(b"")
    assert "empty" in refusal(path)
    path.write_text("patient,eye\n" * 100)
    assert refusal(path)
    path.unlink()
    path.mkdir()
    assert "not a file" in refusal(path)
    path.rmdir()
    path.symlink_to(path)
    assert "cannot be read" in refusal(path)
    path.unlink()
    os.mkfifo(path)
    assert "not a file" in refusal(path)


def test_several_files_at_once_are_refused(tmp_path: Path) -> None:
    Image.fromarray(colour_pattern()).save(tmp_path / "a.png")
    with pytest.raises(UnreadablePhotographError):
        LoadImaged(keys="image", reader=PhotographReader)({"image": [tmp_path / "a.png"] * 2})


def test_lack_of_memory_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(self: Any) -> None:
        raise MemoryError

    Image.fromarray(colour_pattern()).save(tmp_path / "a.png")
    monkeypatch.setattr(ImageFile.ImageFile, "load", fail)
    assert "memory" in refusal(tmp_path / "a.png")
