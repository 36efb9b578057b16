"""DICOM files of the pattern, with a patient's data in them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, OphthalmicPhotography8BitImageStorage, generate_uid

from tests.support.patterns import colour_pattern


def write_dicom(
    path: Path, values: np.ndarray | None = None, interpretation: str = "RGB", stored: int = 8, **elements: Any
) -> Path:
    """Write a file of part 10.

    Args:
        path: the file.
        values: (H, W) or (H, W, 3), uint8 or uint16; None for ``colour_pattern``.
        interpretation: the photometric interpretation.
        stored: bits stored.
        elements: further elements by keyword, and the transfer ``syntax``.

    Returns:
        ``path``.
    """
    values = colour_pattern() if values is None else values
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = OphthalmicPhotography8BitImageStorage
    meta.MediaStorageSOPInstanceUID = generate_uid()
    meta.TransferSyntaxUID = elements.pop("syntax", ExplicitVRLittleEndian)
    dataset = FileDataset(str(path), {}, file_meta=meta, preamble=b"\0" * 128, is_implicit_VR=False)
    dataset.PatientName = "Doe^Jane"
    dataset.PatientID = "4711"
    dataset.PatientBirthDate = "19700101"
    dataset.Rows, dataset.Columns = values.shape[:2]
    dataset.SamplesPerPixel = 3 if values.ndim == 3 else 1
    if values.ndim == 3:
        dataset.PlanarConfiguration = 0
    dataset.PhotometricInterpretation = interpretation
    dataset.BitsAllocated = 8 * values.dtype.itemsize
    dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = stored, stored - 1, 0
    dataset.PixelData = values.tobytes()
    for keyword, value in elements.items():
        setattr(dataset, keyword, value)
    # By the argument's old name, which pydicom 2 (MONAI Label's) and 3 both know.
    dataset.save_as(path, write_like_original=False)
    return path
