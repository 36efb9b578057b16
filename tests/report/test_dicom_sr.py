"""Structured reports, read back by highdicom and judged by a validator."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest

from bundle.errors import CallError
from bundle.morphometry.cup_disc import measure
from bundle.morphometry.laterality import Laterality
from bundle.morphometry.rims import measure_rims
from bundle.report.dicom_filing import Filing
from bundle.report.dicom_sr import REPORT_FORMATS, check_report_format, structured_report
from bundle.report.mask_files import write_mask
from bundle.results import Segmentation
from bundle.uncertainty.interval import Interval
from tests.support.dicom_tools import errors_found, has_tool, run_tool
from tests.support.ophthalmic import PATIENT, lopsided_label, write_photograph

MODEL = "the shipped model, model.pt (sha256 0123456789ab)"


@pytest.fixture
def label() -> np.ndarray:
    return lopsided_label()


def written(
    folder: Path,
    label: np.ndarray,
    source: str = "photograph.dcm",
    laterality: Laterality | None = None,
    mask_format: str | None = None,
    keep_study: bool = False,
    **elements: Any,
) -> tuple[Any, Segmentation]:
    """A report, read back, and what it is made of."""
    highdicom = pytest.importorskip("highdicom")
    if source.endswith(".dcm"):
        write_photograph(folder / source, **elements)
    filing = Filing.of(folder / source, keep_study, MODEL)
    mask = write_mask(label, folder / "mask.dcm", mask_format, filing) if mask_format else None
    eye = laterality or Laterality("right", "file")
    found = bool(label.any())
    result = Segmentation(
        source,
        "review" if found else "no_disc",
        "cup edge uncertain; out of focus" if found else "no optic disc found",
        label,
        measure(label),
        measure_rims(label, eye),
        0.0625 if found else math.nan,
        Interval(0.21, 0.44) if found else Interval(),
        filing.spacing,
        measure_rims(label, eye, spacing=filing.spacing),
    )
    structured_report(result, filing, mask).save_as(folder / "report.dcm", enforce_file_format=True)
    return highdicom.sr.srread(folder / "report.dcm"), result


def groups(report: Any) -> dict[str, Any]:
    """The measurement groups by their tracking identifiers."""
    content = report.content
    found = [*content.get_image_measurement_groups(), *content.get_volumetric_roi_measurement_groups()]
    return {group.tracking_identifier: group for group in found}


def values(group: Any) -> dict[str, tuple[float, str]]:
    """Value and unit of each measurement, by the meaning of its code."""
    return {one.name.meaning: (one.value, one.unit.value) for one in group.get_measurements()}


@pytest.mark.parametrize("mask_format", [None, "dicom_seg", "dicom_labelmap"])
def test_ratios_sizes_and_rims_are_read_back(label: np.ndarray, tmp_path: Path, mask_format: str | None) -> None:
    report, result = written(tmp_path, label, mask_format=mask_format)
    found = groups(report)
    assert list(found) == ["cup and disc", "optic disc", "optic cup"]
    measured, sizes = result.measurements, result.millimetres
    assert values(found["cup and disc"]) == {
        "Vertical cup-to-disc ratio": (pytest.approx(measured.vcdr, abs=1e-6), "1"),
        "Vertical cup-to-disc ratio, lower end of its interval": (0.21, "1"),
        "Vertical cup-to-disc ratio, upper end of its interval": (0.44, "1"),
        "Horizontal cup-to-disc ratio": (pytest.approx(measured.hcdr, abs=1e-6), "1"),
        "Cup-to-disc ratio of areas": (pytest.approx(measured.area_cdr, abs=1e-6), "1"),
        "Uncertainty of the contours, 0 to 1": (0.0625, "1"),
    }
    # 20 rows of 0.01 mm, 25 columns of 0.02 mm.
    disc = values(found["optic disc"])
    assert disc["Height of the optic disc"] == (pytest.approx(0.2), "mm")
    assert disc["Width of the optic disc"] == (pytest.approx(0.5), "mm")
    assert disc["Area"] == (pytest.approx(0.1), "mm2")
    assert disc["Width of the rim, nasal"] == (pytest.approx(result.rims_mm.right, abs=1e-6), "mm")
    assert disc["Width of the rim, temporal"] == (pytest.approx(result.rims_mm.left, abs=1e-6), "mm")
    assert len(disc) == 7
    assert values(found["optic cup"])["Area"] == (pytest.approx(sizes.cup_area_mm2), "mm2")
    for group in found.values():
        (site,) = group.finding_sites
        assert (site.value.value, site.laterality.meaning) == ("81016008", "Right")
        assert group.method is None
    (status,) = found["cup and disc"].get_qualitative_evaluations()
    assert status.value.meaning == "Review"


def test_who_measured_and_why_to_look_is_said(label: np.ndarray, tmp_path: Path) -> None:
    report, _ = written(tmp_path, label)
    texts = [str(item.TextValue) for item in report_items(report) if "TextValue" in item]
    assert texts.count(MODEL) == 3
    assert texts.count("fundus-bundle") >= 3
    assert "cup edge uncertain; out of focus" in texts
    assert (report.PreliminaryFlag, report.VerificationFlag) == ("PRELIMINARY", "UNVERIFIED")


def report_items(dataset: pydicom.Dataset) -> list[pydicom.Dataset]:
    """All content items, at any depth."""
    items = list(dataset.get("ContentSequence", ()))
    return items + [inner for item in items for inner in report_items(item)]


def test_pixels_where_no_spacing_is_stated(label: np.ndarray, tmp_path: Path) -> None:
    report, result = written(tmp_path, label, PixelSpacing=None)
    disc = values(groups(report)["optic disc"])
    assert disc["Height of the optic disc"] == (20, "{pixels}")
    assert disc["Area"] == (500, "{pixels}")
    assert disc["Width of the rim, inferior"] == (pytest.approx(result.rims.inferior, abs=1e-6), "{pixels}")


def test_a_guessed_eye_is_no_finding_site(label: np.ndarray, tmp_path: Path) -> None:
    report, _ = written(tmp_path, label, laterality=Laterality("left", "guessed"))
    found = groups(report)
    assert all(site.laterality is None for group in found.values() for site in group.finding_sites)
    said = {one.name.meaning: one.value.meaning for one in found["cup and disc"].get_qualitative_evaluations()}
    assert said["Eye, guessed from the picture"] == "Left"
    assert {"Width of the rim, left of the picture", "Width of the rim, right of the picture"} < set(
        values(found["optic disc"])
    )


@pytest.mark.parametrize("shown", ["nothing", "disc alone"])
def test_what_was_not_measured_is_left_out(label: np.ndarray, tmp_path: Path, shown: str) -> None:
    label = np.minimum(label, 1) * np.uint8(shown != "nothing")
    report, _ = written(tmp_path, label)
    found = groups(report)
    assert list(found) == (["cup and disc"] if shown == "nothing" else ["cup and disc", "optic disc"])
    assert "Width of the rim, nasal" not in str(report)
    (status,) = found["cup and disc"].get_qualitative_evaluations()
    assert status.value.meaning == ("No optic disc found" if shown == "nothing" else "Review")


def test_disc_and_cup_refer_to_the_masks_segments(label: np.ndarray, tmp_path: Path) -> None:
    report, _ = written(tmp_path, label, mask_format="dicom_seg")
    mask = pydicom.dcmread(tmp_path / "mask.dcm")
    photograph = pydicom.dcmread(tmp_path / "photograph.dcm")
    found = groups(report)
    for number, name in enumerate(("optic disc", "optic cup"), start=1):
        reference = found[name].referenced_segment
        (segment,) = [
            item for item in reference if "ReferencedSOPSequence" in item and "segment" in item.name.meaning.lower()
        ][:1]
        said = segment.ReferencedSOPSequence[0]
        assert (said.ReferencedSOPInstanceUID, said.ReferencedSegmentNumber) == (mask.SOPInstanceUID, number)
    assert mask.StudyInstanceUID == report.StudyInstanceUID
    assert mask.SeriesInstanceUID != report.SeriesInstanceUID
    assert named(report) == {mask.SOPInstanceUID, photograph.SOPInstanceUID}


def named(report: pydicom.Dataset) -> set[str]:
    """Every instance that a report refers to."""
    return {element.value for element in report.iterall() if element.keyword == "ReferencedSOPInstanceUID"}


@pytest.mark.parametrize("mask_format", [None, "dicom_seg"])
def test_a_photograph_that_is_no_dicom_is_not_referred_to(
    label: np.ndarray, tmp_path: Path, mask_format: str | None
) -> None:
    report, _ = written(tmp_path, label, "eye.png", mask_format=mask_format, keep_study=True)
    masks = {pydicom.dcmread(tmp_path / "mask.dcm").SOPInstanceUID} if mask_format else set()
    assert named(report) == masks
    assert groups(report)["optic disc"]


@pytest.mark.parametrize("keep_study", [False, True])
def test_the_patient_is_named_if_asked_for_alone(label: np.ndarray, tmp_path: Path, keep_study: bool) -> None:
    report, _ = written(tmp_path, label, keep_study=keep_study)
    photograph = pydicom.dcmread(tmp_path / "photograph.dcm")
    assert (report.StudyInstanceUID == photograph.StudyInstanceUID) == keep_study
    for keyword, value in PATIENT.items():
        assert str(report.get(keyword, "")) == (value if keep_study else ""), keyword


def test_the_same_report_has_the_same_uid(label: np.ndarray, tmp_path: Path) -> None:
    write_photograph(tmp_path / "a.dcm")
    filing = Filing.of(tmp_path / "a.dcm", False, MODEL)
    result = Segmentation("a.dcm", "ok", "", label, measure(label))
    pytest.importorskip("highdicom")
    first, again = (structured_report(result, filing) for _ in range(2))
    other = structured_report(Segmentation("a.dcm", "review", "out of focus", label, measure(label)), filing)
    assert first.SOPInstanceUID == again.SOPInstanceUID != other.SOPInstanceUID
    assert first.SeriesInstanceUID == other.SeriesInstanceUID


@pytest.mark.skipif(not has_tool("dciodvfy"), reason="dciodvfy is not installed (Debian: dicom3tools)")
@pytest.mark.parametrize("source", ["photograph.dcm", "eye.png"])
@pytest.mark.parametrize("mask_format", [None, "dicom_seg"])
def test_a_validator_finds_no_error(label: np.ndarray, tmp_path: Path, source: str, mask_format: str | None) -> None:
    for shown in (label, label * np.uint8(0)):
        written(tmp_path, shown, source, mask_format=mask_format, keep_study=True)
        assert errors_found(tmp_path / "report.dcm") == []
        assert "ComprehensiveSR" in run_tool("dciodvfy", tmp_path / "report.dcm").stderr


@pytest.mark.skipif(not has_tool("dsrdump"), reason="dsrdump is not installed (Debian: dcmtk)")
def test_dcmtk_reads_it_without_a_warning(label: np.ndarray, tmp_path: Path) -> None:
    written(tmp_path, label, mask_format="dicom_seg", keep_study=True)
    said = run_tool("dsrdump", tmp_path / "report.dcm")
    assert (said.returncode, said.stderr) == (0, "")
    assert '"Vertical cup-to-disc ratio"' in said.stdout


def test_an_unknown_format_and_a_missing_package_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(CallError, match="html, dicom_sr"):
        check_report_format("pdf")
    monkeypatch.setattr("bundle.report.dicom_sr.optional_import", lambda name: (None, False))
    check_report_format("html")
    assert REPORT_FORMATS == ("html", "dicom_sr")
    with pytest.raises(CallError, match="highdicom"):
        check_report_format("dicom_sr")
