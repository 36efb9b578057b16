"""Which photographs are found in a folder, which labels go with them, and which folders are refused."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pydicom
import pytest
from pydicom.uid import (
    UID,
    ComprehensiveSRStorage,
    EncapsulatedPDFStorage,
    ExplicitVRLittleEndian,
    OphthalmicPhotography8BitImageStorage,
    SegmentationStorage,
)

from bundle.data.formats import PHOTOGRAPH_SUFFIXES
from bundle.data.listing import list_photographs
from bundle.errors import CallError
from tests.support.folders import touch


def found(root: Path, **options: Any) -> list[str]:
    """The relative paths that are listed."""
    return [Path(item["image"]).relative_to(root).as_posix() for item in list_photographs(root, **options)]


def call_error(*arguments: Any, **options: Any) -> str:
    with pytest.raises(CallError) as caught:
        list_photographs(*arguments, **options)
    return str(caught.value)


def test_every_suffix_in_either_case(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    suffixes = [*(suffix[1:] for suffix in PHOTOGRAPH_SUFFIXES), "PNG", "Nii.GZ", "JPG", "IMA", "Jfif"]
    touch(tmp_path, *(f"{index:02}.{suffix}" for index, suffix in enumerate(suffixes)))
    touch(tmp_path, "notes.txt", "report.csv", "report.html", "model.pt")
    assert found(tmp_path) == [f"{index:02}.{suffix}" for index, suffix in enumerate(suffixes)]
    assert [item["name"] for item in list_photographs(tmp_path)] == [f"{index:02}" for index in range(len(suffixes))]
    assert not caplog.records


def test_dicom_by_its_preamble(tmp_path: Path) -> None:
    for name in ("scan", "1.2.840.10008", "c.img", "d.dc3", "other.txt", "DICOMDIR"):
        (tmp_path / name).write_bytes(b"\0" * 128 + b"DICM" + b"\0" * 10)
    (tmp_path / "README").write_text("x" * 200)
    assert found(tmp_path) == ["1.2.840.10008", "c.img", "d.dc3", "other.txt", "scan"]


def test_what_is_passed_over_is_counted_and_named(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    touch(tmp_path, "a.png", "b.zip", "c/d.ZIP", "e.mp4", "README", "1.2.840", "DICOMDIR", "x.png.bak", "odd.a b")
    touch(tmp_path, ".hidden", "notes.txt", "label/a.zip")
    assert found(tmp_path) == ["a.png"]
    (record,) = caplog.records
    assert record.getMessage() == (
        f"8 files passed over in {tmp_path}: without suffix 3, .zip 2, .bak 1, .mp4 1, DICOMDIR 1"
    )
    touch(tmp_path, "alone/image/a.zip")
    assert "no photographs" in call_error(tmp_path / "alone")
    assert "1 file passed over" in caplog.records[-1].getMessage()


def test_image_folder_if_there_is_one(tmp_path: Path) -> None:
    touch(tmp_path, "a.png", "image/b.png", "image/deep/er/c.png", "label/b.png", "masks/d.png")
    assert found(tmp_path) == ["image/b.png", "image/deep/er/c.png"]


def test_everywhere_otherwise_in_order(tmp_path: Path) -> None:
    touch(tmp_path, "b/z.png", "b.png", "a/x.png", "B.png", "c/d/e.png")
    assert found(tmp_path) == sorted(["b/z.png", "b.png", "a/x.png", "B.png", "c/d/e.png"])


def test_hidden_and_label_folders_are_left_out(tmp_path: Path) -> None:
    touch(tmp_path, "a.png", ".b.png", "._a.png", ".cache/c.png", "label/a.png", "disc/a.png", "cup/a.png")
    touch(tmp_path, "site/image/d.png", "site/label/d.png", "site/disc/d.png")
    assert found(tmp_path) == ["a.png", "site/image/d.png"]


def test_a_lone_disc_folder_holds_photographs(tmp_path: Path) -> None:
    touch(tmp_path, "disc/a.png", "macula/a.png")
    assert found(tmp_path) == ["disc/a.png", "macula/a.png"]


@pytest.mark.parametrize("label_folders", [("label",), ("disc", "cup"), ("label", "disc", "cup")])
@pytest.mark.parametrize("prefix", ["", "image/"])
def test_labels_are_never_looked_at_unless_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, label_folders: tuple[str, ...], prefix: str
) -> None:
    touch(tmp_path, f"{prefix}a.png", f"{prefix}b.png")
    without = list_photographs(tmp_path)
    touch(tmp_path, *(f"{folder}/a.png" for folder in label_folders))
    scandir, listed = os.scandir, []

    def watched(path: Any) -> Any:
        listed.append(Path(path).name)
        return scandir(path)

    monkeypatch.setattr(os, "scandir", watched)
    monkeypatch.setattr("bundle.data.listing._first_label", lambda *arguments: pytest.fail("looked for a label"))
    assert list_photographs(tmp_path) == without
    assert listed
    assert not set(listed) & set(label_folders)


def test_excluded_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    touch(tmp_path, "a.png", "out/overlays/a.png", "deep/out/b.png")
    assert found(tmp_path, exclude=[tmp_path / "out"]) == ["a.png", "deep/out/b.png"]
    monkeypatch.chdir(tmp_path)
    assert found(tmp_path, exclude=["out", "deep/../deep/out", "", "absent"]) == ["a.png"]
    assert "a.png" in found(tmp_path, exclude=[tmp_path])


def test_links(tmp_path: Path) -> None:
    root, other = tmp_path / "root", tmp_path / "other"
    touch(root, "a.png")
    touch(other, "b.png", "c.png")
    (root / "link.png").symlink_to(other / "b.png")
    (root / "dangling.png").symlink_to(other / "absent.png")
    (root / "itself.png").symlink_to("itself.png")
    (root / "folder").symlink_to(other)
    (other / "cycle").symlink_to(root)
    (root / "again").symlink_to(other)
    assert found(root) == ["a.png", "again/b.png", "again/c.png", "dangling.png", "itself.png", "link.png"]


def test_pipes_are_no_photographs(tmp_path: Path) -> None:
    touch(tmp_path, "a.png")
    os.mkfifo(tmp_path / "b.png")
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "c.png").mkdir()
    assert found(tmp_path) == ["a.png"]


def test_paths_are_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    touch(tmp_path, "~x/a.png")
    monkeypatch.chdir(tmp_path)
    assert [item["image"] for item in list_photographs(".")] == [str(tmp_path / "~x" / "a.png")]


def test_labels_none_optional_required(tmp_path: Path) -> None:
    touch(tmp_path, "image/a.png", "image/b.jpg", "label/a.png")
    a, b = str(tmp_path / "image/a.png"), str(tmp_path / "image/b.jpg")
    label = str(tmp_path / "label/a.png")
    assert list_photographs(tmp_path) == [{"image": a, "name": "a"}, {"image": b, "name": "b"}]
    assert list_photographs(tmp_path, "optional") == [
        {"image": a, "name": "a", "label": label},
        {"image": b, "name": "b"},
    ]
    message = call_error(tmp_path, "required")
    assert "1 of 2" in message
    assert str(tmp_path / "label/b.png") in message
    touch(tmp_path, "label/b.png")
    assert [item["label"] for item in list_photographs(tmp_path, "required")] == [label, str(tmp_path / "label/b.png")]


def test_pairs(tmp_path: Path) -> None:
    touch(tmp_path, "a.nii.gz", "b.png", "disc/a.png", "cup/a.png", "disc/b.png")
    pair = [str(tmp_path / "disc/a.png"), str(tmp_path / "cup/a.png")]
    items = list_photographs(tmp_path, "optional", "pair")
    assert [item.get("label") for item in items] == [pair, None]
    assert str(tmp_path / "cup/b.png") in call_error(tmp_path, "required", "pair")


@pytest.mark.parametrize("suffix", ["bmp", "tif", "tiff", "nii.gz", "nii", "BMP", "PNG"])
def test_labels_of_every_suffix_that_is_read(tmp_path: Path, suffix: str) -> None:
    touch(tmp_path, "image/a.jpg", f"label/a.{suffix}", f"disc/a.{suffix}", "cup/a.png")
    assert list_photographs(tmp_path, "required")[0]["label"] == str(tmp_path / f"label/a.{suffix}")
    pair = [str(tmp_path / f"disc/a.{suffix}"), str(tmp_path / "cup/a.png")]
    assert list_photographs(tmp_path, "required", "pair")[0]["label"] == pair


def test_labels_in_subfolders(tmp_path: Path) -> None:
    touch(tmp_path, "image/l/1.png", "image/r/1.png", "image/r/2.png", "image/s/1.png")
    touch(tmp_path, "label/1.png", "label/l/1.png", "label/r__1.png", "label/2.png")
    labels = {item["name"]: item.get("label") for item in list_photographs(tmp_path, "optional")}
    assert labels == {
        "l__1": str(tmp_path / "label/l/1.png"),
        "r__1": str(tmp_path / "label/r__1.png"),
        "2": str(tmp_path / "label/2.png"),
        "s__1": None,  # label/1.png might be anyone's.
    }


def test_wrong_calls(tmp_path: Path) -> None:
    assert "does not exist" in call_error(tmp_path / "absent")
    touch(tmp_path, "a.png")
    assert "is a file" in call_error(tmp_path / "a.png")
    assert "--dataset_dir" in call_error("")
    assert "index, refuge, pair" in call_error(tmp_path, label_format="colour")
    assert str(tmp_path / "label") in call_error(tmp_path, "required")
    assert str(tmp_path / "disc") in call_error(tmp_path, "required", "pair")
    touch(tmp_path, "empty/image/notes.txt", "empty/a.png")
    message = call_error(tmp_path / "empty")
    assert str(tmp_path / "empty" / "image") in message
    assert all(word in message for word in ("PNG", "JPEG", "TIFF", "BMP", "DICOM", "NIfTI"))


def test_folder_without_permission(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    touch(tmp_path, "a.png", "closed/b.png")
    scandir = os.scandir

    def refuse(path: Any) -> Any:
        if Path(path).name == "closed":
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    assert "closed cannot be read" in call_error(tmp_path)


def test_dicom_without_an_image_is_no_photograph(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    classes = {
        "photograph.dcm": OphthalmicPhotography8BitImageStorage,
        "of_a_maker.dcm": UID("1.2.3.4"),
        "mask.dcm": SegmentationStorage,
        "report": ComprehensiveSRStorage,
        "letter.dcm": EncapsulatedPDFStorage,
    }
    for name, kind in classes.items():
        meta = pydicom.dataset.FileMetaDataset()
        meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = kind, UID("1.2.3")
        meta.TransferSyntaxUID = ExplicitVRLittleEndian
        dataset = pydicom.dataset.FileDataset(name, {}, file_meta=meta, preamble=b"\0" * 128)
        dataset.save_as(tmp_path / name, enforce_file_format=True)
    (tmp_path / "cut.dcm").write_bytes((tmp_path / "mask.dcm").read_bytes()[:140])
    assert found(tmp_path) == ["cut.dcm", "of_a_maker.dcm", "photograph.dcm"]
    assert f"3 files passed over in {tmp_path}: DICOM without an image 3" in caplog.text
