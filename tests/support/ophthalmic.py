"""DICOM photographs that a validator accepts, made up."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pydicom
from pydicom.uid import ExplicitVRLittleEndian, OphthalmicPhotography8BitImageStorage, generate_uid

PATIENT = {
    "PatientName": "Doe^Jane",
    "PatientID": "4711",
    "PatientBirthDate": "19700102",
    "PatientSex": "F",
    "StudyDate": "20240229",
    "StudyTime": "113355",
    "StudyID": "S12",
    "StudyDescription": "Glaucoma clinic",
    "AccessionNumber": "A98765",
    "ReferringPhysicianName": "Smith^John",
}


def write_photograph(path: Path, image: np.ndarray | None = None, **elements: Any) -> pydicom.Dataset:
    """An ophthalmic photograph with all that ``dciodvfy`` asks for, but for what no test here needs.

    Args:
        path: the file.
        image: ``H x W x 3`` ``uint8``; a grey one by default.
        elements: further elements, or others than the usual; None leaves one out.
    """
    pixels = np.full((40, 70, 3), 90, np.uint8) if image is None else image
    meta = pydicom.dataset.FileMetaDataset()
    meta.MediaStorageSOPClassUID = OphthalmicPhotography8BitImageStorage
    meta.MediaStorageSOPInstanceUID = elements.get("SOPInstanceUID") or generate_uid()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset = pydicom.dataset.FileDataset(path, {}, file_meta=meta, preamble=b"\0" * 128)
    usual = {
        **PATIENT,
        "SOPClassUID": meta.MediaStorageSOPClassUID,
        "SOPInstanceUID": meta.MediaStorageSOPInstanceUID,
        "StudyInstanceUID": generate_uid(),
        "SeriesInstanceUID": generate_uid(),
        "Modality": "OP",
        "SeriesNumber": 1,
        "InstanceNumber": 1,
        "ImageType": ["ORIGINAL", "PRIMARY"],
        "ImageLaterality": "R",
        "PixelSpacing": [0.01, 0.02],
        "NumberOfFrames": 1,
        "SamplesPerPixel": 3,
        "PlanarConfiguration": 0,
        "PhotometricInterpretation": "RGB",
        "BitsAllocated": 8,
        "BitsStored": 8,
        "HighBit": 7,
        "PixelRepresentation": 0,
        "BurnedInAnnotation": "NO",
        "Rows": pixels.shape[0],
        "Columns": pixels.shape[1],
        "PixelData": pixels.tobytes(),
    }
    for keyword, value in (usual | elements).items():
        if value is not None:
            setattr(dataset, keyword, value)
    dataset.save_as(path, enforce_file_format=True)
    return dataset


def lopsided_label() -> np.ndarray:
    """Rim and cup, 40 x 70; nothing of it is symmetric."""
    label = np.zeros((40, 70), np.uint8)
    label[5:25, 30:55] = 1
    label[8:14, 33:50] = 2
    return label
