"""Masks as files: PNG, NIfTI or DICOM Segmentation.

None of them carries anything of the patient, unless the caller's ``Filing`` keeps the photograph's study.
"""

from __future__ import annotations

import gzip
from pathlib import Path

import nibabel
import numpy as np
import pydicom
from monai.utils import optional_import

from bundle.errors import CallError
from bundle.io.png import write_png
from bundle.morphometry.cup_disc import Label
from bundle.report.dicom_filing import Filing
from bundle.report.dicom_seg import SEGMENTATION_KINDS, dicom_segmentation

__all__ = ["MASK_SUFFIXES", "check_mask_format", "write_mask"]

MASK_SUFFIXES = {"png": ".png", "nifti": ".nii.gz", "dicom_seg": ".dcm", "dicom_labelmap": ".dcm"}
"""The suffix of each format."""


def check_mask_format(mask_format: str) -> None:
    """Raises ``CallError`` unless ``mask_format`` is a key of ``MASK_SUFFIXES`` and what it needs is installed."""
    if mask_format not in MASK_SUFFIXES:
        raise CallError(f"--mask_format {mask_format} is unknown.", f"Use one of {', '.join(MASK_SUFFIXES)}.")
    if mask_format in SEGMENTATION_KINDS and not optional_import("highdicom")[1]:
        raise CallError(f"--mask_format {mask_format} needs highdicom.", "Install it: pip install -e '.[dicom]'.")


def write_mask(label: Label, path: Path, mask_format: str, filing: Filing) -> pydicom.Dataset | None:
    """Write a label map.

    Args:
        label: ``H x W`` ``uint8``, values 0, 1, 2.
        path: the file, overwritten if it is there.
        mask_format: ``png``: 8 bit grey, values as in the label. ``nifti``: gzipped, indexed (x, y), values as in the
            label, on the grid that ITK gives a PNG of that size (spacing 1, origin 0). ``dicom_seg``: two binary
            segments, 1 the optic disc (rim and cup), 2 the optic cup. ``dicom_labelmap``: values as in the label, in
            DICOM's newer class.
        filing: of the photograph, to which a DICOM mask refers; no other format uses it.

    Returns:
        pydicom.Dataset: what was written, if it is DICOM; otherwise None.

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
    elif mask_format in SEGMENTATION_KINDS:
        made = dicom_segmentation(label, filing, mask_format)
        made.save_as(path, enforce_file_format=True)
        return made
    else:
        raise ValueError(f"mask format {mask_format!r} is none of {', '.join(MASK_SUFFIXES)}")
    return None
