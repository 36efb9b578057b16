"""Elements of a DICOM file's header, as text.

Nothing is validated: pydicom's warnings quote what they find odd, hence perhaps what the file says of its patient.
"""

from __future__ import annotations

import math
from pathlib import Path

import pydicom
from pydicom import config
from pydicom.charset import convert_encodings, decode_bytes
from pydicom.datadict import dictionary_VR
from pydicom.dataelem import RawDataElement
from pydicom.errors import InvalidDicomError
from pydicom.filereader import read_file_meta_info
from pydicom.uid import UID
from pydicom.valuerep import PN_DELIMS, TEXT_VR_DELIMS

from bundle.data.spacing import PixelSpacing

__all__ = ["header_text", "holds_no_image", "is_image_class", "pixel_spacing"]


def header_text(dataset: pydicom.Dataset, keyword: str) -> str:
    r"""The text of an element; several values with backslashes between them; empty if it is missing.

    Example:
        >>> dataset = pydicom.Dataset()
        >>> dataset.PixelSpacing = [0.01, 0.02]
        >>> header_text(dataset, "PixelSpacing"), header_text(dataset, "PatientName")
        ('0.01\\0.02', '')
    """
    if keyword not in dataset:
        return ""
    element = dataset.get_item(keyword)
    if not isinstance(element, RawDataElement):
        value = element.value if element is not None else None
        many = isinstance(value, list | tuple | pydicom.multival.MultiValue)
        return "\\".join(map(str, value)) if many else "" if value is None else str(value)
    if not element.value:
        return ""
    character_sets = header_text(dataset, "SpecificCharacterSet") if keyword != "SpecificCharacterSet" else ""
    encodings = convert_encodings(character_sets.split("\\"))
    delimiters = PN_DELIMS if dictionary_VR(element.tag) == "PN" else TEXT_VR_DELIMS
    return decode_bytes(element.value, encodings, delimiters).strip(" \0")


def pixel_spacing(dataset: pydicom.Dataset) -> PixelSpacing:
    """What ``PixelSpacing`` says, which for an ophthalmic photograph is the distance of two pixels on the retina.

    Returns:
        PixelSpacing: in millimetres; NaN if the file does not say, or says something that is no distance.

    Example:
        >>> dataset = pydicom.Dataset()
        >>> dataset.PixelSpacing = [0.01, 0.02]
        >>> pixel_spacing(dataset)
        PixelSpacing(row=0.01, column=0.02)
    """
    parts = [dataset]
    for group in dataset.get("SharedFunctionalGroupsSequence") or ():
        parts += list(group.get("PixelMeasuresSequence") or ())
    for part in parts:
        try:
            row, column = (float(value) for value in header_text(part, "PixelSpacing").split("\\"))
        except ValueError:
            continue
        if 0 < row < math.inf and 0 < column < math.inf:
            return PixelSpacing(row, column)
    return PixelSpacing()


def is_image_class(sop_class: str) -> bool:
    """Whether objects of a SOP class are pictures, as far as the standard says; a private class may be anything.

    Example:
        >>> is_image_class("1.2.840.10008.5.1.4.1.1.77.1.5.1"), is_image_class("1.2.840.10008.5.1.4.1.1.66.4")
        (True, False)
    """
    kind = UID(sop_class, validation_mode=config.IGNORE).name
    # The standard calls every class that holds pictures an image or a video.
    return not kind.endswith("Storage") or any(word in kind for word in ("Image", "Video"))


def holds_no_image(path: Path) -> bool:
    """Whether a DICOM file says in its first bytes that it is a segmentation, a report or the like, and no image.

    Example:
        >>> holds_no_image(Path("there_is_no_such_file.dcm"))
        False
    """
    try:
        return not is_image_class(str(read_file_meta_info(path).get("MediaStorageSOPClassUID") or ""))
    except (OSError, InvalidDicomError, ValueError, AttributeError, KeyError, EOFError):
        return False
