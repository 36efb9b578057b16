"""A label map as DICOM Segmentation, with what archives and viewers ask for beyond highdicom's own checks."""

from __future__ import annotations

from typing import Any

import numpy as np
import pydicom
from monai.utils import optional_import
from pydicom.sr.codedict import codes

from bundle._version import __version__
from bundle.morphometry.cup_disc import Label
from bundle.report.contours import CUP_COLOUR, DISC_COLOUR
from bundle.report.dicom_codes import CUP, DISC, EQUIPMENT, MANUFACTURER, RIM
from bundle.report.dicom_filing import Filing

__all__ = ["SEGMENTATION_KINDS", "dicom_segmentation"]

_DISC, _RIM, _CUP = (("optic disc", DISC, DISC_COLOUR), ("disc rim", RIM, DISC_COLOUR), ("optic cup", CUP, CUP_COLOUR))
SEGMENTATION_KINDS = {"dicom_seg": ("BINARY", (_DISC, _CUP)), "dicom_labelmap": ("LABELMAP", (_RIM, _CUP))}
"""Of each mask format: DICOM's segmentation type, and its segments: label, concept and colour."""
_PLANE = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)
_ORIGIN = (0.0, 0.0, 0.0)
_NEXT = (0.0, 0.0, 0.001)
_DEPTH_MM = 1.0
"""Of a picture there is none; readers that build volumes need one."""


def dicom_segmentation(label: Label, filing: Filing, mask_format: str) -> pydicom.Dataset:
    """Make the data set.

    The geometry is that of the picture: x to the right, y down, the centre of the first pixel at the origin, the
    photograph's own pixel spacing or, if it states none, 1 mm. Frame of reference, plane and depth are made up, because
    readers that build volumes (dcmqi, pydicom-seg, 3D Slicer) refuse a segmentation without them; the data set says so
    in ``ContentDescription``.

    Args:
        label: ``H x W``, values 0, 1, 2.
        filing: where the data set belongs.
        mask_format: a key of ``SEGMENTATION_KINDS``.

    Returns:
        pydicom.Dataset: of two frames, disc and cup, each 0 or 1 (``dicom_seg``), or of one with the label's own values
        (``dicom_labelmap``).
    """
    highdicom, _ = optional_import("highdicom")
    kind, segments = SEGMENTATION_KINDS[mask_format]
    pixels = label.astype(np.uint8)
    stacked = np.stack([pixels >= 1, pixels == 2], axis=-1).astype(np.uint8) if kind == "BINARY" else pixels
    source = filing.stand_in()
    source.Rows, source.Columns = label.shape
    stated = filing.spacing.known
    spacing = tuple(filing.spacing) if stated else (1.0, 1.0)
    # highdicom takes a plane for the mask only where the photograph has one.
    source.ImageOrientationPatient, source.ImagePositionPatient = list(_PLANE), list(_ORIGIN)
    source.PixelSpacing, source.SliceThickness = list(spacing), _DEPTH_MM
    made = highdicom.seg.Segmentation(
        source_images=[source],
        pixel_array=stacked[None],
        segmentation_type=kind,
        segment_descriptions=[_segment(number, *segment, filing) for number, segment in enumerate(segments, start=1)],
        series_instance_uid=filing.uid(mask_format),
        series_number=1,
        sop_instance_uid=filing.uid(mask_format, __version__, repr(label.shape), pixels.tobytes()),
        instance_number=1,
        **EQUIPMENT,
        content_label="DISC_AND_CUP",
        content_description=f"Plane {'' if stated else 'and spacing '}made up; research use only",
        # Its only component, as the caret says; DCMTK and dcmqi miss the element where it is absent.
        content_creator_name=f"{MANUFACTURER}^",
        series_description="Optic disc and cup, automatic",
        pixel_measures=highdicom.PixelMeasuresSequence(
            pixel_spacing=spacing,
            slice_thickness=_DEPTH_MM,
            spacing_between_slices=_DEPTH_MM,
        ),
        plane_orientation=highdicom.PlaneOrientationSequence("PATIENT", _PLANE),
        plane_positions=[highdicom.PlanePositionSequence("PATIENT", _ORIGIN)],
        # A photograph without a disc has two empty segments, which says more than none.
        omit_empty_frames=False,
    )
    # Conditional on what no program can know here; empty is what the standard then asks for.
    made.PatientOrientation = None
    if kind == "BINARY":
        # Frames at one and the same place have no spacing, with which ITK refuses the file. A micrometre is no
        # difference to those readers that put frames together by place, for it is far below the depth.
        cup = made.PerFrameFunctionalGroupsSequence[1]
        cup.PlanePositionSequence = highdicom.PlanePositionSequence("PATIENT", _NEXT)
        cup.FrameContentSequence[0].DimensionIndexValues = [2, 2]
    if not filing.sop_instance:
        _refer_to_nothing(made)
    filing.finish(made)
    return made


def _segment(number: int, name: str, concept: Any, colour: tuple[int, int, int], filing: Filing) -> Any:
    highdicom, _ = optional_import("highdicom")
    return highdicom.seg.SegmentDescription(
        segment_number=number,
        segment_label=name,
        segmented_property_category=codes.SCT.AnatomicalStructure,
        segmented_property_type=concept,
        algorithm_type=highdicom.seg.SegmentAlgorithmTypeValues.AUTOMATIC,
        algorithm_identification=highdicom.AlgorithmIdentificationSequence(
            name=MANUFACTURER,
            family=codes.DCM.ArtificialIntelligence,
            version=__version__,
            parameters={"model": filing.model} if filing.model else None,
        ),
        display_color=highdicom.color.CIELabColor.from_rgb(*colour),
    )


def _refer_to_nothing(made: pydicom.Dataset) -> None:
    del made.ReferencedSeriesSequence, made.SourceImageSequence
    for frame in made.PerFrameFunctionalGroupsSequence:
        frame.DerivationImageSequence = []
