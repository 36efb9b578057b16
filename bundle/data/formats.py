"""File formats of photographs and labels."""

from __future__ import annotations

import os
from pathlib import Path

from bundle.errors import CallError

__all__ = [
    "DICOM_SUFFIXES",
    "FORMATS",
    "LABEL_FORMATS",
    "LABEL_SUFFIXES",
    "NIFTI_SUFFIXES",
    "PHOTOGRAPH_SUFFIXES",
    "PICTURE_SUFFIXES",
    "check_label_format",
    "has_dicom_preamble",
]

LABEL_FORMATS = ("index", "refuge", "pair")
DICOM_SUFFIXES = (".dcm", ".dicom", ".dc3", ".ima")
NIFTI_SUFFIXES = (".nii.gz", ".nii")
PICTURE_SUFFIXES = (
    *(".png", ".jpg", ".jpeg", ".jfif", ".jpe", ".mpo", ".tif", ".tiff", ".bmp", ".webp", ".jp2", ".j2k"),
    *(".ppm", ".pgm", ".gif", ".heic", ".heif", ".avif"),
)
PHOTOGRAPH_SUFFIXES = (*PICTURE_SUFFIXES, *DICOM_SUFFIXES, *NIFTI_SUFFIXES)
LABEL_SUFFIXES = (".png", ".bmp", ".tif", ".tiff", ".nii.gz", ".nii")
FORMATS = "PNG, JPEG, TIFF, BMP, DICOM or NIfTI"


def check_label_format(label_format: str) -> None:
    """Raises ``CallError`` unless ``label_format`` is one of ``LABEL_FORMATS``."""
    if label_format not in LABEL_FORMATS:
        raise CallError(f"unknown label_format {label_format!r}.", f"Pass one of {', '.join(LABEL_FORMATS)}.")


def has_dicom_preamble(path: Path) -> bool:
    """Whether a file starts as a DICOM file does, whatever its name."""
    # Opening a pipe would wait for someone to write into it.
    if not os.path.isfile(path):  # noqa: PTH113
        return False
    try:
        with path.open("rb") as file:
            return file.read(132)[128:] == b"DICM"
    except OSError:
        return False
