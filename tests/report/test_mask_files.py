"""Masks in every format, read back by libraries that had no part in writing them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pydicom
import pytest
from PIL import Image
from pydicom.uid import ExplicitVRLittleEndian, OphthalmicPhotography8BitImageStorage, SegmentationStorage, generate_uid

from bundle.errors import CallError
from bundle.report.mask_files import MASK_SUFFIXES, check_mask_format, write_mask


@pytest.fixture
def label() -> np.ndarray:
    """40 x 70; nothing of it is symmetric."""
    label = np.zeros((40, 70), np.uint8)
    label[5:25, 30:55] = 1
    label[8:14, 33:50] = 2
    return label


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """The header of an ophthalmic photograph."""
    meta = pydicom.dataset.FileMetaDataset()
    meta.MediaStorageSOPClassUID = OphthalmicPhotography8BitImageStorage
    meta.MediaStorageSOPInstanceUID = generate_uid()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset = pydicom.dataset.FileDataset("photograph.dcm", {}, file_meta=meta, preamble=b"\0" * 128)
    dataset.SOPClassUID, dataset.SOPInstanceUID = meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID = generate_uid(), generate_uid()
    dataset.PatientName, dataset.PatientID = "Doe^Jane", "4711"
    path = tmp_path / "photograph.dcm"
    dataset.save_as(path, enforce_file_format=True)
    return path


def references(dataset: pydicom.Dataset) -> set[tuple[str, str]]:
    """Class and instance UID of everything that a data set refers to, at any depth."""
    found = set()
    for element in dataset.iterall():
        if element.VR == "SQ":
            items = [item for item in element.value if "ReferencedSOPInstanceUID" in item]
            found |= {(str(item.ReferencedSOPClassUID), str(item.ReferencedSOPInstanceUID)) for item in items}
    return found


def test_png(label: np.ndarray, tmp_path: Path) -> None:
    write_mask(label, tmp_path / "a.png", "png", Path("a.jpg"))
    with Image.open(tmp_path / "a.png") as picture:
        assert (picture.mode, picture.info) == ("L", {})
        np.testing.assert_array_equal(np.asarray(picture), label)


def test_nifti(label: np.ndarray, tmp_path: Path) -> None:
    write_mask(label, tmp_path / "a.nii.gz", "nifti", Path("a.jpg"))
    image: Any = nibabel.load(tmp_path / "a.nii.gz")
    assert image.get_data_dtype() == np.uint8
    np.testing.assert_array_equal(np.asarray(image.dataobj), label.T)
    content = (tmp_path / "a.nii.gz").read_bytes()
    write_mask(label, tmp_path / "b.nii.gz", "nifti", Path("a.jpg"))
    assert (tmp_path / "b.nii.gz").read_bytes() == content


def test_nifti_lies_on_its_photograph_in_itk(label: np.ndarray, tmp_path: Path) -> None:
    itk = pytest.importorskip("SimpleITK")
    for mask_format, suffix in (("png", ".png"), ("nifti", ".nii.gz")):
        write_mask(label, tmp_path / f"a{suffix}", mask_format, Path("a.jpg"))
    png, nifti = (itk.ReadImage(str(tmp_path / name)) for name in ("a.png", "a.nii.gz"))
    for property_ in ("GetSize", "GetSpacing", "GetOrigin", "GetDirection"):
        assert getattr(png, property_)() == pytest.approx(getattr(nifti, property_)())
    np.testing.assert_array_equal(itk.GetArrayFromImage(png), itk.GetArrayFromImage(nifti))


def test_dicom_segmentation_is_read_by_pydicom(label: np.ndarray, source: Path, tmp_path: Path) -> None:
    pytest.importorskip("highdicom")
    write_mask(label, tmp_path / "a.dcm", "dicom_seg", source)
    mask, photograph = pydicom.dcmread(tmp_path / "a.dcm"), pydicom.dcmread(source)
    assert mask.SOPClassUID == SegmentationStorage
    disc, cup = mask.pixel_array
    np.testing.assert_array_equal(disc, label >= 1)
    np.testing.assert_array_equal(cup, label == 2)
    assert [segment.SegmentLabel for segment in mask.SegmentSequence] == ["optic disc", "optic cup"]
    frames = mask.PerFrameFunctionalGroupsSequence
    assert [frame.SegmentIdentificationSequence[0].ReferencedSegmentNumber for frame in frames] == [1, 2]
    assert references(mask) == {(OphthalmicPhotography8BitImageStorage, photograph.SOPInstanceUID)}
    assert (mask.PatientName, mask.PatientID, mask.StudyDate) == ("", "", "")
    assert mask.StudyInstanceUID != photograph.StudyInstanceUID
    content = (tmp_path / "a.dcm").read_bytes()
    for secret in ("Doe", "4711", photograph.StudyInstanceUID, photograph.SeriesInstanceUID):
        assert str(secret).encode() not in content


def test_dicom_segmentation_is_read_by_highdicom(label: np.ndarray, source: Path, tmp_path: Path) -> None:
    highdicom = pytest.importorskip("highdicom")
    write_mask(label, tmp_path / "a.dcm", "dicom_seg", source)
    mask = highdicom.seg.segread(tmp_path / "a.dcm")
    (planes,) = mask.get_pixels_by_source_instance([pydicom.dcmread(source).SOPInstanceUID])
    np.testing.assert_array_equal(planes, np.stack([label >= 1, label == 2], axis=-1))


@pytest.mark.parametrize("empty", [False, True])
def test_dicom_segmentation_of_a_png_refers_to_nothing(label: np.ndarray, tmp_path: Path, empty: bool) -> None:
    pytest.importorskip("highdicom")
    label = label * np.uint8(not empty)
    write_mask(label, tmp_path / "a.dcm", "dicom_seg", tmp_path / "a.png")
    mask = pydicom.dcmread(tmp_path / "a.dcm")
    assert references(mask) == set()
    np.testing.assert_array_equal(mask.pixel_array[0], label >= 1)


@pytest.mark.parametrize("mask_format", ["jpeg", "PNG", ""])
def test_an_unknown_format_is_refused(mask_format: str, label: np.ndarray, tmp_path: Path) -> None:
    with pytest.raises(CallError) as caught:
        check_mask_format(mask_format)
    assert "png, nifti, dicom_seg" in caught.value.message
    with pytest.raises(ValueError, match="none of"):
        write_mask(label, tmp_path / "a", mask_format, Path("a.png"))


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bundle.report.mask_files.optional_import", lambda name: (None, False))
    for mask_format in MASK_SUFFIXES:
        if mask_format != "dicom_seg":
            check_mask_format(mask_format)
    with pytest.raises(CallError) as caught:
        check_mask_format("dicom_seg")
    assert "highdicom" in caught.value.message
