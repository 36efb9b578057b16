"""Masks in every format, read back by libraries that had no part in writing them."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pydicom
import pytest
from PIL import Image
from pydicom.uid import UID, OphthalmicPhotography8BitImageStorage, SegmentationStorage, generate_uid

from bundle.errors import CallError
from bundle.report.dicom_filing import KEPT, Filing
from bundle.report.mask_files import MASK_SUFFIXES, check_mask_format, write_mask
from tests.support.dicom_tools import errors_found, has_tool, run_tool
from tests.support.ophthalmic import PATIENT, lopsided_label, write_photograph


@pytest.fixture
def label() -> np.ndarray:
    return lopsided_label()


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """An ophthalmic photograph."""
    write_photograph(tmp_path / "photograph.dcm")
    return tmp_path / "photograph.dcm"


NO_DICOM = Filing.of(Path("a.jpg"))


def written(label: np.ndarray, path: Path, mask_format: str = "dicom_seg", *of: Any) -> pydicom.Dataset:
    """The mask of a photograph (and what else ``Filing.of`` takes), as it is read back."""
    pytest.importorskip("highdicom")
    write_mask(label, path, mask_format, Filing.of(*of))
    return pydicom.dcmread(path)


def references(dataset: pydicom.Dataset) -> set[tuple[str, str]]:
    """Class and instance UID of everything that a data set refers to, at any depth."""
    found = set()
    for element in dataset.iterall():
        if element.VR == "SQ":
            items = [item for item in element.value if "ReferencedSOPInstanceUID" in item]
            found |= {(str(item.ReferencedSOPClassUID), str(item.ReferencedSOPInstanceUID)) for item in items}
    return found


def test_png(label: np.ndarray, tmp_path: Path) -> None:
    write_mask(label, tmp_path / "a.png", "png", NO_DICOM)
    with Image.open(tmp_path / "a.png") as picture:
        assert (picture.mode, picture.info) == ("L", {})
        np.testing.assert_array_equal(np.asarray(picture), label)


def test_nifti(label: np.ndarray, tmp_path: Path) -> None:
    write_mask(label, tmp_path / "a.nii.gz", "nifti", NO_DICOM)
    image: Any = nibabel.load(tmp_path / "a.nii.gz")
    assert image.get_data_dtype() == np.uint8
    np.testing.assert_array_equal(np.asarray(image.dataobj), label.T)
    content = (tmp_path / "a.nii.gz").read_bytes()
    write_mask(label, tmp_path / "b.nii.gz", "nifti", NO_DICOM)
    assert (tmp_path / "b.nii.gz").read_bytes() == content


def test_nifti_lies_on_its_photograph_in_itk(label: np.ndarray, tmp_path: Path) -> None:
    itk = pytest.importorskip("SimpleITK")
    for mask_format, suffix in (("png", ".png"), ("nifti", ".nii.gz")):
        write_mask(label, tmp_path / f"a{suffix}", mask_format, NO_DICOM)
    png, nifti = (itk.ReadImage(str(tmp_path / name)) for name in ("a.png", "a.nii.gz"))
    for property_ in ("GetSize", "GetSpacing", "GetOrigin", "GetDirection"):
        assert getattr(png, property_)() == pytest.approx(getattr(nifti, property_)())
    np.testing.assert_array_equal(itk.GetArrayFromImage(png), itk.GetArrayFromImage(nifti))


def test_dicom_segmentation_is_read_by_pydicom(label: np.ndarray, source: Path, tmp_path: Path) -> None:
    mask, photograph = written(label, tmp_path / "a.dcm", "dicom_seg", source), pydicom.dcmread(source)
    assert mask.SOPClassUID == SegmentationStorage
    disc, cup = mask.pixel_array
    np.testing.assert_array_equal(disc, label >= 1)
    np.testing.assert_array_equal(cup, label == 2)
    assert [segment.SegmentLabel for segment in mask.SegmentSequence] == ["optic disc", "optic cup"]
    assert len({tuple(segment.RecommendedDisplayCIELabValue) for segment in mask.SegmentSequence}) == 2
    frames = mask.PerFrameFunctionalGroupsSequence
    assert [frame.SegmentIdentificationSequence[0].ReferencedSegmentNumber for frame in frames] == [1, 2]
    assert references(mask) == {(OphthalmicPhotography8BitImageStorage, photograph.SOPInstanceUID)}
    assert (mask.PatientName, mask.PatientID, mask.StudyDate) == ("", "", "")
    assert mask.StudyInstanceUID != photograph.StudyInstanceUID
    content = (tmp_path / "a.dcm").read_bytes()
    secrets = (*PATIENT.values(), photograph.StudyInstanceUID, photograph.SeriesInstanceUID)
    assert [secret for secret in secrets if len(secret) > 3 and str(secret).encode() in content] == []


@pytest.mark.parametrize(("stated", "spacing"), [([0.01, 0.02], [0.01, 0.02]), (None, [1, 1]), ([0, 0], [1, 1])])
def test_dicom_segmentation_has_a_geometry(
    stated: Any, spacing: Any, label: np.ndarray, source: Path, tmp_path: Path
) -> None:
    write_photograph(source, PixelSpacing=stated)
    mask = written(label, tmp_path / "a.dcm", "dicom_seg", source)
    (shared,) = mask.SharedFunctionalGroupsSequence
    assert list(shared.PixelMeasuresSequence[0].PixelSpacing) == spacing
    assert ("spacing" in mask.ContentDescription) == (spacing == [1, 1])
    assert "made up" in mask.ContentDescription
    planes = [shared, *mask.PerFrameFunctionalGroupsSequence]
    assert any("PlaneOrientationSequence" in group for group in planes)
    assert any("PlanePositionSequence" in group for group in planes)
    assert mask.FrameOfReferenceUID


def test_a_label_map_holds_the_labels_own_values(label: np.ndarray, source: Path, tmp_path: Path) -> None:
    highdicom = pytest.importorskip("highdicom")
    mask = written(label, tmp_path / "a.dcm", "dicom_labelmap", source)
    np.testing.assert_array_equal(mask.pixel_array, label)
    assert references(mask) == {(OphthalmicPhotography8BitImageStorage, pydicom.dcmread(source).SOPInstanceUID)}
    read = highdicom.seg.segread(tmp_path / "a.dcm")
    assert read.segmentation_type == highdicom.seg.SegmentationTypeValues.LABELMAP
    (planes,) = read.get_pixels_by_source_instance([pydicom.dcmread(source).SOPInstanceUID])
    np.testing.assert_array_equal(planes, np.stack([label == 1, label == 2], axis=-1))


@pytest.mark.parametrize("mask_format", ["dicom_seg", "dicom_labelmap"])
def test_a_mask_lies_in_the_photographs_study_if_asked_for(
    mask_format: str, label: np.ndarray, source: Path, tmp_path: Path
) -> None:
    name = "Yamada^Tarou=山田^太郎=やまだ^たろう"
    odd: dict[str, Any] = {"SpecificCharacterSet": ["", "ISO 2022 IR 87"], "PatientName": name, "PatientID": "4711"}
    photograph = write_photograph(source, **odd, FrameOfReferenceUID=generate_uid())
    mask = written(label, tmp_path / "a.dcm", mask_format, source, True)
    for keyword in (*KEPT, "StudyInstanceUID", "FrameOfReferenceUID"):
        assert mask.get(keyword) == photograph.get(keyword), keyword
    assert str(mask.PatientName) == name
    (series,) = mask.ReferencedSeriesSequence
    assert series.SeriesInstanceUID == photograph.SeriesInstanceUID != mask.SeriesInstanceUID


def test_a_kept_study_is_kept_as_it_is(label: np.ndarray, source: Path, tmp_path: Path) -> None:
    photograph = pydicom.dcmread(source)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        photograph.StudyDate, photograph.PatientBirthDate = "Feb 3rd 1998", ""
        del photograph.StudyID
        photograph.save_as(source)
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        filing = Filing.of(source, True)
        write_mask(label, tmp_path / "a.dcm", "dicom_seg", filing)
    content = (tmp_path / "a.dcm").read_bytes()
    assert b"Feb 3rd 1998" in content
    mask = pydicom.dcmread(tmp_path / "a.dcm", specific_tags=["StudyID", "PatientBirthDate"])
    assert (mask.StudyID, mask.PatientBirthDate) == ("", "")


def test_the_same_mask_has_the_same_uid(label: np.ndarray, source: Path, tmp_path: Path) -> None:
    def uids(label: np.ndarray = label, model: str = "one", of: Path = source) -> tuple[str, str, str]:
        mask = written(label, tmp_path / "a.dcm", "dicom_seg", of, False, model)
        return mask.SOPInstanceUID, mask.SeriesInstanceUID, mask.StudyInstanceUID

    first = uids()
    assert uids() == first
    other = uids(label=label * np.uint8(0))
    assert other[0] != first[0]
    assert other[1:] == first[1:]
    assert not set(uids(model="two")) & set(first)
    write_photograph(tmp_path / "b.dcm")
    assert not set(uids(of=tmp_path / "b.dcm")) & set(first)
    # Of a photograph without a UID nothing says that two are the same.
    assert not set(uids(of=tmp_path / "b.png")) & set(uids(of=tmp_path / "b.png"))


def test_dicom_segmentation_is_read_by_highdicom(label: np.ndarray, source: Path, tmp_path: Path) -> None:
    highdicom = pytest.importorskip("highdicom")
    written(label, tmp_path / "a.dcm", "dicom_seg", source)
    mask = highdicom.seg.segread(tmp_path / "a.dcm")
    (planes,) = mask.get_pixels_by_source_instance([pydicom.dcmread(source).SOPInstanceUID])
    np.testing.assert_array_equal(planes, np.stack([label >= 1, label == 2], axis=-1))


def test_dicom_segmentation_is_read_by_simpleitk(label: np.ndarray, source: Path, tmp_path: Path) -> None:
    itk = pytest.importorskip("SimpleITK")
    written(label, tmp_path / "a.dcm", "dicom_seg", source)
    volume = itk.ReadImage(str(tmp_path / "a.dcm"))
    np.testing.assert_array_equal(itk.GetArrayFromImage(volume), np.stack([label >= 1, label == 2]) * 255)
    assert volume.GetSpacing() == pytest.approx((0.02, 0.01, 0.001))


@pytest.mark.parametrize("empty", [False, True])
@pytest.mark.parametrize("mask_format", ["dicom_seg", "dicom_labelmap"])
def test_dicom_segmentation_of_a_png_refers_to_nothing(
    mask_format: str, label: np.ndarray, tmp_path: Path, empty: bool
) -> None:
    label = label * np.uint8(not empty)
    mask = written(label, tmp_path / "a.dcm", mask_format, tmp_path / "a.png", True)
    assert references(mask) == set()
    assert (mask.PatientName, mask.StudyDate) == ("", "")
    disc = mask.pixel_array[0] if mask_format == "dicom_seg" else mask.pixel_array >= 1
    np.testing.assert_array_equal(disc, label >= 1)


def test_a_photograph_of_a_makers_own_class(label: np.ndarray, source: Path, tmp_path: Path) -> None:
    photograph = pydicom.dcmread(source)
    photograph.SOPClassUID = photograph.file_meta.MediaStorageSOPClassUID = UID("1.2.3.4")
    del photograph.SOPInstanceUID
    photograph.save_as(source)
    mask = written(label, tmp_path / "a.dcm", "dicom_seg", source)
    assert references(mask) == {("1.2.3.4", photograph.file_meta.MediaStorageSOPInstanceUID)}


@pytest.mark.skipif(not has_tool("dciodvfy"), reason="dciodvfy is not installed (Debian: dicom3tools)")
@pytest.mark.parametrize("keep_study", [False, True])
@pytest.mark.parametrize("name", ["photograph.dcm", "a.png"])
def test_a_validator_finds_no_error(
    label: np.ndarray, source: Path, tmp_path: Path, name: str, keep_study: bool
) -> None:
    written(label, tmp_path / "a.dcm", "dicom_seg", tmp_path / name, keep_study)
    assert errors_found(tmp_path / "a.dcm") == []
    assert "Segmentation" in run_tool("dciodvfy", tmp_path / "a.dcm").stderr


@pytest.mark.parametrize("mask_format", ["jpeg", "PNG", ""])
def test_an_unknown_format_is_refused(mask_format: str, label: np.ndarray, tmp_path: Path) -> None:
    with pytest.raises(CallError) as caught:
        check_mask_format(mask_format)
    assert "png, nifti, dicom_seg" in caught.value.message
    with pytest.raises(ValueError, match="none of"):
        write_mask(label, tmp_path / "a", mask_format, NO_DICOM)


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bundle.report.mask_files.optional_import", lambda name: (None, False))
    for mask_format in MASK_SUFFIXES:
        if not mask_format.startswith("dicom"):
            check_mask_format(mask_format)
            continue
        with pytest.raises(CallError) as caught:
            check_mask_format(mask_format)
        assert "highdicom" in caught.value.message
