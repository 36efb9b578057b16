"""What is said of a photograph as a DICOM structured report of measurements (TID 1500)."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from typing import Any

import pydicom
from monai.utils import optional_import
from pydicom.sr.codedict import codes
from pydicom.sr.coding import Code
from pydicom.uid import SegmentationStorage

from bundle._version import __version__
from bundle.errors import CallError
from bundle.report.dicom_codes import CUP, DISC, EQUIPMENT, MANUFACTURER, local_code
from bundle.report.dicom_filing import Filing
from bundle.results import STATUSES, Segmentation

__all__ = ["REPORT_FORMATS", "check_report_format", "structured_report"]

REPORT_FORMATS = ("html", "dicom_sr")
_PHOTOGRAPHY = local_code("fundus_photo", "Photography of the fundus")
_CUP_AND_DISC = local_code("cup_and_disc", "Optic cup and optic disc")
_STATUS = local_code("status", "Whether a reader should look at the contours")
_REASON = local_code("reason", "Why a reader should look at the contours")
_GUESSED_EYE = local_code("guessed_eye", "Eye, guessed from the picture")
_MEANINGS = dict(zip(STATUSES, ("Not flagged", "Review", "No optic disc found", "Unreadable"), strict=True))
_EYES = {"right": codes.SCT.Right, "left": codes.SCT.Left}
_PIXELS = Code("{pixels}", "UCUM", "pixels")
_RATIOS = {
    "vcdr": "Vertical cup-to-disc ratio",
    "vcdr_low": "Vertical cup-to-disc ratio, lower end of its interval",
    "vcdr_high": "Vertical cup-to-disc ratio, upper end of its interval",
    "hcdr": "Horizontal cup-to-disc ratio",
    "area_cdr": "Cup-to-disc ratio of areas",
    "uncertainty": "Uncertainty of the contours, 0 to 1",
}


def check_report_format(report_format: str) -> None:
    """Raises ``CallError`` unless the format is one of ``REPORT_FORMATS`` and what it needs is installed."""
    if report_format not in REPORT_FORMATS:
        raise CallError(f"--report_format {report_format} is unknown.", f"Use one of {', '.join(REPORT_FORMATS)}.")
    if report_format == "dicom_sr" and not optional_import("highdicom")[1]:
        raise CallError("--report_format dicom_sr needs highdicom.", "Install it: pip install -e '.[dicom]'.")


def structured_report(result: Segmentation, filing: Filing, mask: pydicom.Dataset | None = None) -> pydicom.Dataset:
    """Make the data set: three groups of measurements, of cup and disc together, the disc, and the cup.

    Lengths and areas are in millimetres if the photograph states its pixel spacing, otherwise in pixels. What was not
    measured is left out. An eye that was only guessed is no finding site: it is said to be guessed, and the rim's
    sides are the picture's. The report is preliminary and not verified.

    Args:
        result: of a photograph that could be read.
        filing: where the report belongs.
        mask: the photograph's DICOM Segmentation, to which disc and cup then refer.

    Returns:
        pydicom.Dataset: a Comprehensive SR.
    """
    highdicom, _ = optional_import("highdicom")
    sr = highdicom.sr
    device = sr.DeviceObserverIdentifyingAttributes(
        uid=filing.uid("device", __version__),
        name=MANUFACTURER,
        manufacturer_name=MANUFACTURER,
        model_name="research use only",
    )
    content = sr.MeasurementReport(
        observation_context=sr.ObservationContext(
            observer_device_context=sr.ObserverContext(codes.DCM.Device, device),
        ),
        procedure_reported=_PHOTOGRAPHY,
        imaging_measurements=_Groups(result, filing, mask).made(),
    )
    photograph = filing.stand_in()
    said = json.dumps(result.to_json() | {"image": "", "mask": str(mask and mask.SOPInstanceUID)})
    report = sr.ComprehensiveSR(
        evidence=[photograph] if mask is None else [photograph, mask],
        content=content[0],
        series_instance_uid=filing.uid("dicom_sr"),
        series_number=2,
        sop_instance_uid=filing.uid("dicom_sr", __version__, said),
        instance_number=1,
        **EQUIPMENT,
        series_description="Optic disc and cup, automatic measurements",
        is_complete=True,
        is_final=False,
        is_verified=False,
    )
    if not filing.sop_instance:
        _leave_out(report, photograph.SOPInstanceUID)
    filing.finish(report)
    return report


class _Groups:
    """The measurement groups of a report."""

    def __init__(self, result: Segmentation, filing: Filing, mask: pydicom.Dataset | None) -> None:
        self.sr = optional_import("highdicom.sr")[0]
        self.result = result
        self.filing = filing
        is_binary = mask is not None and mask.SOPClassUID == SegmentationStorage
        self.mask = mask if is_binary and filing.sop_instance else None

    def made(self) -> list[Any]:
        groups = [self._both()]
        if self.result.status != "no_disc":
            groups.append(self._region(1, "disc", DISC))
            if self.result.measurements.cup_area_px > 0:
                groups.append(self._region(2, "cup", CUP))
        return groups

    def _both(self) -> Any:
        result, evaluation = self.result, self.sr.QualitativeEvaluation
        evaluations = [evaluation(_STATUS, local_code(result.status, _MEANINGS[result.status]))]
        eye, source = result.rims.laterality
        if source == "guessed":
            evaluations.append(evaluation(_GUESSED_EYE, _EYES[eye]))
        low, high = result.vcdr_interval
        values = {"vcdr_low": low, "vcdr_high": high, "uncertainty": result.uncertainty}
        values |= {name: getattr(result.measurements, name) for name in ("vcdr", "hcdr", "area_cdr")}
        measurements = [
            self._number(local_code(name, _RATIOS[name]), values[name], codes.UCUM.NoUnits) for name in _RATIOS
        ]
        source_images = None
        if self.filing.sop_instance:
            stand_in = self.filing.stand_in()
            reference = self.sr.SourceImageForMeasurementGroup(stand_in.SOPClassUID, stand_in.SOPInstanceUID)
            source_images = [reference]
        group = self.sr.MeasurementsAndQualitativeEvaluations(
            **self._common("cup and disc", _CUP_AND_DISC),
            measurements=[one for one in measurements if one is not None] or None,
            qualitative_evaluations=evaluations,
            source_images=source_images,
        )
        if result.reason:
            text = self.sr.TextContentItem(_REASON, result.reason, relationship_type="CONTAINS")
            group[0].ContentSequence.append(text)
        return group

    def _region(self, number: int, name: str, finding: Code) -> Any:
        """Disc or cup, a segment of the mask."""
        measurements = [one for one in self._sizes(name) if one is not None]
        common = self._common(f"optic {name}", finding)
        if self.mask is None:
            return self.sr.MeasurementsAndQualitativeEvaluations(**common, measurements=measurements)
        stand_in = self.filing.stand_in()
        # The planar template's reference (TID 1410) names frame and segment, which the standard forbids to stand
        # together; this one (TID 1411) names the segment alone, and dcmqi reads no other.
        segment = self.sr.ReferencedSegment(
            self.mask.SOPClassUID,
            self.mask.SOPInstanceUID,
            segment_number=number,
            source_images=[self.sr.SourceImageForSegmentation(stand_in.SOPClassUID, stand_in.SOPInstanceUID)],
        )
        return self.sr.VolumetricROIMeasurementsAndQualitativeEvaluations(
            **common, referenced_segment=segment, measurements=measurements
        )

    def _sizes(self, name: str) -> Iterator[Any]:
        known = self.result.spacing.known
        sizes: Any = self.result.millimetres if known else self.result.measurements
        length, area = (codes.UCUM.Millimeter, codes.UCUM.SquareMillimeter) if known else (_PIXELS, _PIXELS)
        units = ("mm", "mm2") if known else ("px", "px")
        for side in ("height", "width"):
            concept = local_code(f"{name}_{side}", f"{side.capitalize()} of the optic {name}")
            yield self._number(concept, getattr(sizes, f"{name}_{side}_{units[0]}"), length)
        yield self._number(codes.SCT.Area, getattr(sizes, f"{name}_area_{units[1]}"), area)
        if name == "disc":
            rims = self.result.rims_mm if known else self.result.rims
            stated = rims.laterality.source in ("file", "name")
            for side in ("inferior", "superior", *(("nasal", "temporal") if stated else ("left", "right"))):
                where = f"{side} of the picture" if side in ("left", "right") else side
                yield self._number(local_code(f"rim_{side}", f"Width of the rim, {where}"), getattr(rims, side), length)

    def _number(self, concept: Code, value: float, unit: Code) -> Any:
        if not math.isfinite(value):
            return None
        return self.sr.Measurement(name=concept, value=round(value, 6), unit=unit)

    def _common(self, name: str, finding: Code) -> dict[str, Any]:
        eye, source = self.result.rims.laterality
        laterality = _EYES[eye] if source in ("file", "name") else None
        return {
            "tracking_identifier": self.sr.TrackingIdentifier(self.filing.uid("tracking", name), name),
            "finding_type": finding,
            "finding_sites": [self.sr.FindingSite(DISC, laterality=laterality)],
            "algorithm_id": self.sr.AlgorithmIdentification(
                MANUFACTURER, __version__, parameters=[self.filing.model] if self.filing.model else None
            ),
        }


def _leave_out(report: pydicom.Dataset, instance: str) -> None:
    """Take the stand-in of a photograph that is not DICOM out of the evidence."""
    for keyword in ("CurrentRequestedProcedureEvidenceSequence", "PertinentOtherEvidenceSequence"):
        for study in report.get(keyword, ()):
            for series in study.ReferencedSeriesSequence:
                series.ReferencedSOPSequence = [
                    item for item in series.ReferencedSOPSequence if item.ReferencedSOPInstanceUID != instance
                ]
            study.ReferencedSeriesSequence = [
                item for item in study.ReferencedSeriesSequence if item.ReferencedSOPSequence
            ]
        left = [study for study in report.get(keyword, ()) if study.ReferencedSeriesSequence]
        if left:
            setattr(report, keyword, left)
        elif keyword in report:
            delattr(report, keyword)
