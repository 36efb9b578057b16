"""Masks as files: PNG, NIfTI or DICOM Segmentation. None of them carries anything of the patient.

A DICOM Segmentation must say which image it belongs to. It names that image by its SOP class and instance UID and
nothing else: no name, identifier, date, and neither study nor series, for which new UIDs are made.
"""

from __future__ import annotations

import gzip
from pathlib import Path

import nibabel
import numpy as np
import pydicom
from monai.utils import optional_import
from pydicom.sr.codedict import codes
from pydicom.uid import SecondaryCaptureImageStorage, generate_uid

from bundle._version import __version__
from bundle.data.formats import DICOM_SUFFIXES, has_dicom_preamble
from bundle.errors import CallError
from bundle.io.png import write_png
from bundle.morphometry.cup_disc import Label

__all__ = ["MASK_SUFFIXES", "check_mask_format", "write_mask"]

MASK_SUFFIXES = {"png": ".png", "nifti": ".nii.gz", "dicom_seg": ".dcm"}
"""The suffix of each format."""
_EMPTY = "PatientName PatientID PatientBirthDate PatientSex AccessionNumber StudyID StudyDate StudyTime"
"""Elements that a DICOM Segmentation must have and that stay empty, as the referring physician's name does."""


def check_mask_format(mask_format: str) -> None:
    """Raises ``CallError`` unless ``mask_format`` is a key of ``MASK_SUFFIXES`` and what it needs is installed."""
    if mask_format not in MASK_SUFFIXES:
        raise CallError(f"--mask_format {mask_format} is unknown.", f"Use one of {', '.join(MASK_SUFFIXES)}.")
    if mask_format == "dicom_seg" and not optional_import("highdicom")[1]:
        raise CallError("--mask_format dicom_seg needs highdicom.", "Install it: pip install -e '.[dicom]'.")


def write_mask(label: Label, path: Path, mask_format: str, source: Path) -> None:
    """Write a label map.

    Args:
        label: ``H x W`` ``uint8``, values 0, 1, 2.
        path: the file, overwritten if it is there.
        mask_format: ``png``: 8 bit grey, values as in the label. ``nifti``: gzipped, indexed (x, y), values as in the
            label, on the grid that ITK gives a PNG of that size (spacing 1, origin 0). ``dicom_seg``: two binary
            segments, 1 the optic disc (rim and cup), 2 the optic cup; it refers to ``source`` if that is DICOM.
        source: the photograph's file.

    Raises:
        ValueError: for another format.
    """
    if mask_format == "png":
        write_png(np.asarray(label, np.uint8), path)
    elif mask_format == "nifti":
        # Axes run to the left and backwards in NIfTI's frame, which is what ITK's identity direction is there.
        image = nibabel.Nifti1Image(np.ascontiguousarray(label.T), np.diag([-1.0, -1.0, 1.0, 1.0]))
        image.header.set_xyzt_units("unknown")
        path.write_bytes(gzip.compress(image.to_bytes(), mtime=0))
    elif mask_format == "dicom_seg":
        _segmentation(label, _source_uids(source)).save_as(path, enforce_file_format=True)
    else:
        raise ValueError(f"mask format {mask_format!r} is none of {', '.join(MASK_SUFFIXES)}")


def _source_uids(source: Path) -> tuple[str, str] | None:
    """SOP class and instance UID of a DICOM file, and nothing else of it; None of any other file."""
    if not (source.name.lower().endswith(DICOM_SUFFIXES) or has_dicom_preamble(source)):
        return None
    wanted = ["SOPClassUID", "SOPInstanceUID"]
    header = pydicom.dcmread(source, stop_before_pixels=True, specific_tags=wanted)
    # Both stand in the file's head too, where they must be; in the data set some exports leave them out.
    uids = [str(header.get(name) or header.file_meta.get(f"MediaStorage{name}") or "") for name in wanted]
    return (uids[0], uids[1]) if all(uids) else None


def _segmentation(label: Label, source_uids: tuple[str, str] | None) -> pydicom.Dataset:
    """The DICOM Segmentation of a label; without references if there is no DICOM image to refer to."""
    highdicom, _ = optional_import("highdicom")
    algorithm = highdicom.AlgorithmIdentificationSequence(
        name="fundus-bundle", family=codes.DCM.ArtificialIntelligence, version=__version__
    )
    types = (
        ("optic disc", highdicom.sr.CodedConcept("81016008", "SCT", "Optic nerve head")),
        ("optic cup", highdicom.sr.CodedConcept("optic_cup", "99FUNDUSBUNDLE", "Optic cup")),
    )
    segments = [
        highdicom.seg.SegmentDescription(
            segment_number=number,
            segment_label=name,
            segmented_property_category=codes.SCT.AnatomicalStructure,
            segmented_property_type=code,
            algorithm_type=highdicom.seg.SegmentAlgorithmTypeValues.AUTOMATIC,
            algorithm_identification=algorithm,
        )
        for number, (name, code) in enumerate(types, start=1)
    ]
    segmentation = highdicom.seg.Segmentation(
        source_images=[_stand_in(label, source_uids)],
        pixel_array=np.stack([label >= 1, label == 2], axis=-1)[None].astype(np.uint8),
        segmentation_type=highdicom.seg.SegmentationTypeValues.BINARY,
        segment_descriptions=segments,
        series_instance_uid=generate_uid(),
        series_number=1,
        sop_instance_uid=generate_uid(),
        instance_number=1,
        manufacturer="fundus-bundle",
        manufacturer_model_name="research use only",
        software_versions=__version__,
        device_serial_number="none",
        content_label="DISC_AND_CUP",
        # A photograph without a disc has two empty segments, which says more than none.
        omit_empty_frames=False,
    )
    _refer(segmentation, source_uids)
    return segmentation


def _stand_in(label: Label, source_uids: tuple[str, str] | None) -> pydicom.Dataset:
    """What highdicom takes for the photograph: its size and instance UID, and nothing else of it."""
    image = pydicom.Dataset()
    image.SOPClassUID = SecondaryCaptureImageStorage
    image.SOPInstanceUID = source_uids[1] if source_uids else generate_uid()
    image.StudyInstanceUID, image.SeriesInstanceUID = generate_uid(), generate_uid()
    image.Modality = "OP"
    image.Rows, image.Columns = label.shape
    for keyword in (*_EMPTY.split(), "ReferringPhysicianName"):
        setattr(image, keyword, "")
    return image


def _refer(segmentation: pydicom.Dataset, source_uids: tuple[str, str] | None) -> None:
    """Refer to the photograph by its true class instead of the stand-in's, or to nothing if it is not DICOM."""
    frames = segmentation.PerFrameFunctionalGroupsSequence
    if source_uids is None:
        del segmentation.ReferencedSeriesSequence, segmentation.SourceImageSequence
        for frame in frames:
            frame.DerivationImageSequence = []
        return
    references = [*segmentation.SourceImageSequence]
    references += [
        item for series in segmentation.ReferencedSeriesSequence for item in series.ReferencedInstanceSequence
    ]
    references += [
        item for frame in frames for step in frame.DerivationImageSequence for item in step.SourceImageSequence
    ]
    for reference in references:
        reference.ReferencedSOPClassUID = source_uids[0]
