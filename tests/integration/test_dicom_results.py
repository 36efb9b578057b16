"""The stage on DICOM photographs: masks and reports as files, in the page and in the tables."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest

from bundle.stages import run_stage
from bundle.synthetic.phantoms.photographs import make_crop
from tests.support.ophthalmic import write_photograph


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder as an archive gives it, a study with masks and reports of an earlier run, and what became of it."""
    pytest.importorskip("highdicom")
    folder = tmp_path_factory.mktemp("study")
    for number in range(2):
        write_photograph(folder / f"eye{number}.dcm", make_crop(number, size=128).image, PixelSpacing=[0.02, 0.02])
    options: dict[str, Any] = {
        "view": "crop",
        "mask_format": "dicom_seg",
        "report_format": "dicom_sr",
        "keep_study": True,
    }
    assert run_stage("inference", dataset_dir=str(folder), output_dir=str(folder / "first"), **options) == 0
    for kind in ("masks", "structured_reports"):
        (folder / "first" / kind / "eye0.dcm").rename(folder / f"{kind}.dcm")
    # Status 0: masks and reports beside the photographs are passed over.
    assert run_stage("inference", dataset_dir=str(folder), output_dir=str(folder / "out"), **options) == 0
    return folder


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_each_photograph_has_a_mask_and_a_report_in_its_study(results: Path) -> None:
    assert [row["image"] for row in rows(results / "out" / "report.csv")] == ["eye0.dcm", "eye1.dcm"]
    for name in ("eye0.dcm", "eye1.dcm"):
        photograph, mask, report = (
            pydicom.dcmread(path / name)
            for path in (results, results / "out" / "masks", results / "out" / "structured_reports")
        )
        assert photograph.StudyInstanceUID == mask.StudyInstanceUID == report.StudyInstanceUID
        assert photograph.PatientID == mask.PatientID == report.PatientID
        assert len({photograph.SeriesInstanceUID, mask.SeriesInstanceUID, report.SeriesInstanceUID}) == 3
        named = {element.value for element in report.iterall() if element.keyword == "ReferencedSOPInstanceUID"}
        assert named == {photograph.SOPInstanceUID, mask.SOPInstanceUID}
        (algorithm,) = mask.SegmentSequence[0].SegmentationAlgorithmIdentificationSequence
        assert "the shipped model, model.pt (sha256" in algorithm.AlgorithmParameters


def test_the_same_work_done_twice_has_the_same_uids(results: Path) -> None:
    for kind in ("masks", "structured_reports"):
        first, again = (
            pydicom.dcmread(path) for path in (results / f"{kind}.dcm", results / "out" / kind / "eye0.dcm")
        )
        assert first.SOPInstanceUID == again.SOPInstanceUID


def test_tables_page_and_report_agree(results: Path) -> None:
    for row, sizes in zip(
        rows(results / "out" / "report.csv"), rows(results / "out" / "measurements.csv"), strict=True
    ):
        report = pydicom.dcmread(results / "out" / "structured_reports" / row["image"])
        said = {
            item.ConceptNameCodeSequence[0].CodeValue: float(item.MeasuredValueSequence[0].NumericValue)
            for group in report.ContentSequence[-1].ContentSequence
            for item in group.ContentSequence
            if item.ValueType == "NUM"
        }
        assert said["vcdr"] == pytest.approx(float(row["vcdr"]), abs=1e-4)
        assert said["vcdr_low"] == pytest.approx(float(sizes["vcdr_low"]), abs=1e-4)
        assert said["vcdr_high"] == pytest.approx(float(sizes["vcdr_high"]), abs=1e-4)
        assert said["disc_height"] == pytest.approx(float(row["disc_height_px"]) * 0.02, abs=1e-3)
        assert float(sizes["disc_height_mm"]) == pytest.approx(said["disc_height"], abs=1e-4)
        assert said["rim_nasal"] == pytest.approx(float(sizes["rim_nasal_mm"]), abs=1e-4)
    page = (results / "out" / "report.html").read_text("utf-8")
    assert page.count('href="./structured_reports/eye') == 2
    assert "\u00a0mm" in page


def test_a_report_that_is_gone_is_made_again(results: Path, tmp_path: Path) -> None:
    options: dict[str, Any] = {
        "view": "crop",
        "report_format": "dicom_sr",
        "dataset_dir": str(results),
        "output_dir": str(tmp_path),
    }
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("bundle.report.report.Report.write", lambda _: None)
        run_stage("inference", **options)
    (tmp_path / "structured_reports" / "eye1.dcm").unlink()
    assert run_stage("inference", **options) == 0
    assert len(list((tmp_path / "structured_reports").iterdir())) == 2
    assert np.asarray(rows(tmp_path / "report.csv")).size == 2
