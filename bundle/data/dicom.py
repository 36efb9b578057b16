"""DICOM files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pydicom
from pydicom.errors import InvalidDicomError

from bundle.data.limits import COPY_AGAIN, check_bytes, check_size
from bundle.errors import UnreadablePhotographError

__all__ = ["read_dicom"]


try:
    from pydicom.pixels import apply_color_lut, pixel_array
except ImportError:
    # MONAI Label's own requirements hold pydicom below 3, whose arrays are still in the stored colour space.
    from pydicom.pixel_data_handlers import apply_color_lut, convert_color_space  # type: ignore[no-redef]

    def pixel_array(dataset: pydicom.FileDataset) -> np.ndarray:  # type: ignore[misc]
        """As in pydicom 3: the stored values, YBR converted to RGB."""
        interpretation = str(dataset.PhotometricInterpretation)
        values: np.ndarray = dataset.pixel_array
        return convert_color_space(values, interpretation, "RGB") if interpretation.startswith("YBR_FULL") else values


_DICOM_GREY = {"MONOCHROME1", "MONOCHROME2"}
_DICOM_COLOUR = {"RGB", "YBR_FULL", "YBR_FULL_422", "YBR_ICT", "YBR_RCT", "PALETTE COLOR"}


def read_dicom(path: Path) -> tuple[np.ndarray, str]:
    """A DICOM image as (W, H) or (W, H, 3) in 0 to 255, and which eye it says that it shows."""
    try:
        check_bytes(path)
        dataset = pydicom.dcmread(path)
        return _dicom_values(path, dataset), _dicom_laterality(dataset)
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
    frames = int(dataset.get("NumberOfFrames") or 1)
    if frames != 1:
        raise UnreadablePhotographError(
            path, f"the DICOM file holds {frames} frames: export the one to be segmented as a file of its own"
        )
    check_size(path, int(dataset.Columns), int(dataset.Rows))
    interpretation = str(dataset.PhotometricInterpretation)
    if interpretation not in _DICOM_GREY | _DICOM_COLOUR:
        raise UnreadablePhotographError(path, "its DICOM photometric interpretation is not supported: export it as RGB")
    values, bits = _dicom_pixels(path, dataset), int(dataset.BitsStored)
    if interpretation == "PALETTE COLOR":
        values = apply_color_lut(values, dataset)[..., :3]
        bits = min(8 * values.dtype.itemsize, int(dataset.RedPaletteColorLookupTableDescriptor[2]))
    elif dataset.get("PixelRepresentation") == 1:
        values = values.astype(np.int64) + 2 ** (bits - 1)
    scaled = values
    if bits != 8 or values.dtype != np.uint8:
        scaled = np.clip(values.astype(np.float32) * np.float32(255 / (2**bits - 1)), 0, 255)
    if interpretation == "MONOCHROME1":
        scaled = 255 - scaled
    return np.swapaxes(scaled, 0, 1)


def _dicom_laterality(dataset: pydicom.Dataset) -> str:
    """``right``, ``left``, or empty if the file does not say, says both, or contradicts itself."""
    datasets = [dataset]
    for sequence in ("SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence"):
        datasets += [
            anatomy for group in dataset.get(sequence) or () for anatomy in group.get("FrameAnatomySequence", ())
        ]
    keywords = ("ImageLaterality", "FrameLaterality", "Laterality")
    found = {str(part.get(keyword) or "") for part in datasets for keyword in keywords} - {""}
    return {"R": "right", "L": "left"}.get(found.pop(), "") if len(found) == 1 else ""


def _dicom_pixels(path: Path, dataset: pydicom.FileDataset) -> np.ndarray:
    """The stored values, (H, W) or (H, W, 3), YBR converted to RGB."""
    try:
        return pixel_array(dataset)
    except MemoryError:
        raise
    except Exception:
        syntax = dataset.file_meta.TransferSyntaxUID
        remedy = "export it uncompressed, or as JPEG baseline" if syntax.is_compressed else COPY_AGAIN
        raise UnreadablePhotographError(
            path, f"the pixels cannot be decoded (truncated, or a compression that is not supported): {remedy}"
        ) from None
