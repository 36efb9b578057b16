"""The concepts that DICOM objects of the bundle name, and the algorithm that made them.

SNOMED CT and DICOM have codes for the disc, not for its cup, its rim and their ratios; what they lack has a local code.
"""

from __future__ import annotations

import pydicom
from pydicom.sr.coding import Code

from bundle._version import __version__

__all__ = ["CUP", "DISC", "EQUIPMENT", "MANUFACTURER", "RIM", "SCHEME", "coding_scheme", "local_code"]

MANUFACTURER = "fundus-bundle"
EQUIPMENT = {
    "manufacturer": MANUFACTURER,
    "manufacturer_model_name": "research use only",
    "software_versions": __version__,
    "device_serial_number": "none",
}
"""What made an object, as highdicom's classes take it."""
SCHEME = "99FUNDUSBUNDLE"


def local_code(value: str, meaning: str) -> Code:
    """A concept of our own.

    Args:
        value: at most 16 characters.
        meaning: at most 64.

    Raises:
        ValueError: one is longer than DICOM admits.

    Example:
        >>> local_code("vcdr", "Vertical cup-to-disc ratio").scheme_designator
        '99FUNDUSBUNDLE'
    """
    if len(value) > 16 or len(meaning) > 64:
        raise ValueError(f"the code {value!r} or its meaning {meaning!r} is too long for DICOM")
    return Code(value, SCHEME, meaning)


DISC = Code("81016008", "SCT", "Optic nerve head")
CUP = local_code("optic_cup", "Optic cup")
RIM = local_code("disc_rim", "Neuroretinal rim")


def coding_scheme() -> pydicom.Dataset:
    """Whose our codes are: an item of ``CodingSchemeIdentificationSequence``.

    Example:
        >>> coding_scheme().CodingSchemeDesignator
        '99FUNDUSBUNDLE'
    """
    item = pydicom.Dataset()
    item.CodingSchemeDesignator = SCHEME
    item.CodingSchemeName = "Codes of fundus-bundle, where SNOMED CT and DICOM have none"
    item.CodingSchemeResponsibleOrganization = MANUFACTURER
    return item
