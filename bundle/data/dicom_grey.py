"""How bright the stored values of a grey DICOM image are shown."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pydicom

from bundle.data.ranges import usual_depth
from bundle.errors import UnreadablePhotographError

try:
    from pydicom.pixels import apply_modality_lut, apply_voi, apply_windowing
except ImportError:
    # MONAI Label's own requirements hold pydicom below 3.
    from pydicom.pixel_data_handlers.util import (  # type: ignore[no-redef]
        apply_modality_lut,
        apply_voi,
        apply_windowing,
    )

__all__ = ["scaled_by_depth", "shown_grey"]

_UNUSED_BITS = 4
"""Where at least so many of the bits stored are unused, the values' own depth counts."""


def scaled_by_depth(values: np.ndarray, bits: int) -> np.ndarray:
    """Values of 0 to 2^bits - 1 in 0 to 255: bytes as they are, others as float32.

    By the bits stored, or, where the maximum is far smaller, by the smallest usual depth that holds it: some programs
    write values of 8 or 12 bits and state 16.

    Example:
        >>> scaled_by_depth(np.array([0, 255], np.uint16), 16).tolist()
        [0.0, 255.0]
    """
    if bits == 8 and values.dtype == np.uint8:
        return values
    depth = usual_depth(float(values.max())) or bits
    white = 2 ** (depth if bits - depth >= _UNUSED_BITS else bits) - 1
    return np.clip(values.astype(np.float32) * np.float32(255 / white), 0, 255)


def shown_grey(path: Path, values: np.ndarray, dataset: pydicom.Dataset) -> np.ndarray:
    """Stored values as they are to be shown, in 0 to 255, before ``MONOCHROME1`` turns them round.

    The file's modality transform and then its first lookup table or window (VOI) are applied. A window that takes in
    all that can be stored says nothing and counts as none; without one the depth of the values decides.

    Args:
        path: the file, for the message.
        values: (H, W), integers.
        dataset: with ``BitsStored`` and ``PixelRepresentation``.

    Raises:
        UnreadablePhotographError: the window leaves nothing to be seen.
    """
    bits, is_signed = int(dataset.BitsStored), dataset.PixelRepresentation == 1
    lowest = -(2 ** (bits - 1)) if is_signed else 0
    ends = np.array([lowest, lowest + 2**bits - 1], np.int64)
    meant_ends = apply_modality_lut(ends, dataset)
    if dataset.get("VOILUTSequence"):
        looked_up = apply_voi(np.rint(_meant(values, dataset)).astype(np.int64), dataset)
        return _between(looked_up, 0, 2 ** int(dataset.VOILUTSequence[0].LUTDescriptor[2]) - 1)
    if _has_window(dataset, float(meant_ends.min()), float(meant_ends.max())):
        # What lies beyond both ends of any window tells the range in which pydicom gives its result.
        black, white = apply_windowing(np.array([-1e12, 1e12]), dataset)
        shown = _between(apply_windowing(_meant(values, dataset), dataset), black, white)
        if shown.min() == shown.max() and values.min() != values.max():
            raise UnreadablePhotographError(
                path, "its window (WindowCenter, WindowWidth) leaves nothing to be seen: export it with another window"
            )
        return shown
    if dataset.get("ModalityLUTSequence"):
        return _between(_meant(values, dataset), 0, 2 ** int(dataset.ModalityLUTSequence[0].LUTDescriptor[2]) - 1)
    stored = values.astype(np.int64) - lowest if is_signed else values
    shown = scaled_by_depth(stored, bits)
    return 255 - shown if meant_ends[0] > meant_ends[1] else shown


def _meant(values: np.ndarray, dataset: pydicom.Dataset) -> np.ndarray:
    """Stored values after the modality transform, of a type that holds them."""
    return apply_modality_lut(values.astype(np.int64), dataset)


def _between(values: np.ndarray, black: float, white: float) -> np.ndarray:
    return np.clip((values - black) * (255 / (white - black)), 0, 255).astype(np.float32)


def _has_window(dataset: pydicom.Dataset, lowest: float, highest: float) -> bool:
    """Whether the file states a window that does not take in all from ``lowest`` to ``highest``."""
    stated = [dataset.get(keyword) for keyword in ("WindowCenter", "WindowWidth")]
    if any(value is None or value == "" for value in stated):
        return False
    centre, width = (float(value if isinstance(value, int | float | str) else value[0]) for value in stated)
    # One more at each end: the standard counts from the middle of a value, exporters often do not.
    return not (centre - width / 2 <= lowest + 1 and centre + width / 2 >= highest - 1)
