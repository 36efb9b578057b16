"""DICOM files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pydicom
from pydicom.errors import InvalidDicomError

from bundle.data.dicom_grey import scaled_by_depth, shown_grey
from bundle.data.dicom_header import pixel_spacing
from bundle.data.dicom_pixels import decoded_pixels, indexed_colours
from bundle.data.limits import COPY_AGAIN, check_bytes, check_size
from bundle.data.spacing import PixelSpacing
from bundle.errors import UnreadablePhotographError

__all__ = ["read_dicom"]

_GREY = {"MONOCHROME1", "MONOCHROME2"}
_COLOUR = {"RGB", "YBR_FULL", "YBR_FULL_422", "YBR_ICT", "YBR_RCT", "PALETTE COLOR"}
_NEEDED = (
    "Rows",
    "Columns",
    "PhotometricInterpretation",
    "SamplesPerPixel",
    "BitsAllocated",
    "BitsStored",
    "PixelRepresentation",
)
"""Elements without which the pixels mean nothing."""
_EYES = {"R": "right", "OD": "right", "L": "left", "OS": "left"}
"""The standard's words, and the clinic's, which some devices write instead."""


def read_dicom(path: Path) -> tuple[np.ndarray, str, PixelSpacing]:
    """A DICOM image as (W, H) or (W, H, 3) in 0 to 255, which eye it says that it shows, and how far its pixels are
    apart."""
    try:
        check_bytes(path)
        dataset = pydicom.dcmread(path)
        return _dicom_values(path, dataset), _dicom_laterality(dataset), pixel_spacing(dataset)
    except (UnreadablePhotographError, MemoryError):
        raise
    except InvalidDicomError:
        raise UnreadablePhotographError(
            path, "it has no DICOM preamble: export it again as a DICOM file (part 10)"
        ) from None
    except Exception as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise
        # Without the cause: pydicom's messages may quote the file's elements, hence patient data.
        raise UnreadablePhotographError(path, f"the DICOM file is damaged: {COPY_AGAIN}") from None


def _dicom_values(path: Path, dataset: pydicom.FileDataset) -> np.ndarray:
    if "PixelData" not in dataset:
        raise UnreadablePhotographError(
            path, f"the DICOM file holds no image, or is truncated before it: {COPY_AGAIN}, or leave it out"
        )
    _check_elements(path, dataset)
    frames = int(dataset.get("NumberOfFrames") or 1)
    if frames != 1:
        raise UnreadablePhotographError(
            path, f"the DICOM file holds {frames} frames: export the one to be segmented as a file of its own"
        )
    check_size(path, int(dataset.Columns), int(dataset.Rows))
    interpretation = str(dataset.PhotometricInterpretation)
    if interpretation not in _GREY | _COLOUR:
        raise UnreadablePhotographError(path, "its DICOM photometric interpretation is not supported: export it as RGB")
    values = decoded_pixels(path, dataset)
    if interpretation in _GREY:
        shown = shown_grey(path, values, dataset)
        shown = 255 - shown if interpretation == "MONOCHROME1" else shown
    elif interpretation == "PALETTE COLOR":
        shown = indexed_colours(values, dataset)
    else:
        shown = scaled_by_depth(values, int(dataset.BitsStored))
    return np.swapaxes(shown, 0, 1)


def _check_elements(path: Path, dataset: pydicom.FileDataset) -> None:
    needed = list(_NEEDED)
    if dataset.get("PhotometricInterpretation") == "PALETTE COLOR":
        needed += [f"{colour}PaletteColorLookupTableDescriptor" for colour in ("Red", "Green", "Blue")]
    lacking = [keyword for keyword in needed if dataset.get(keyword) in (None, "")]
    lacking += [] if dataset.file_meta.get("TransferSyntaxUID") else ["TransferSyntaxUID"]
    if lacking:
        raise UnreadablePhotographError(
            path, f"the DICOM file lacks {', '.join(lacking)}: export it again with it, or as PNG"
        )
    bits, highest = int(dataset.BitsStored), dataset.get("HighBit")
    is_signed_colour = int(dataset.SamplesPerPixel) > 1 and dataset.PixelRepresentation == 1
    if bits > int(dataset.BitsAllocated) or highest not in (None, "", bits - 1) or is_signed_colour:
        raise UnreadablePhotographError(
            path,
            "the DICOM file's BitsAllocated, BitsStored, HighBit and PixelRepresentation do not go together, or in a "
            "way that is not read: export it again as 8-bit RGB",
        )


def _dicom_laterality(dataset: pydicom.Dataset) -> str:
    """``right``, ``left``, or empty if the file does not say, says both, or contradicts itself."""
    datasets = [dataset]
    for sequence in ("SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence"):
        datasets += [
            anatomy for group in dataset.get(sequence) or () for anatomy in group.get("FrameAnatomySequence", ())
        ]
    keywords = ("ImageLaterality", "FrameLaterality", "Laterality")
    stated = {str(part.get(keyword) or "").strip().upper() for part in datasets for keyword in keywords} - {""}
    eyes = {_EYES.get(word, "") for word in stated}
    return eyes.pop() if len(eyes) == 1 else ""
