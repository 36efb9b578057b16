"""What a label's file holds, before a label format gives it a meaning."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL.ImageFile import ImageFile

from bundle.data.formats import NIFTI_SUFFIXES
from bundle.data.limits import check_file, refusal
from bundle.data.nifti import nifti_values
from bundle.data.opened import opened_picture
from bundle.data.wide import wide_samples
from bundle.errors import UnreadablePhotographError

__all__ = ["foreground", "label_values"]


def label_values(path: Path, by_index: bool) -> np.ndarray:
    """A label's values as stored, (W, H), or (W, H, 3) if it is in colour.

    A palette image may mean its indices or its colours. Programs that save space without loss turn a grey picture into
    one with a palette of the same greys, in any order; others write indices and colours for the eye. So the colours
    count where they are the greys 0, 1 and 2, or 0, 128 and 255; otherwise the indices do. Indices 0, 1 and 2 that are
    shown as 0, 128 and 255 in this order are indices.

    Args:
        path: the file.
        by_index: whether indices are looked for at all; otherwise the colours always count.

    Raises:
        UnreadablePhotographError: the file cannot be decoded.
    """
    with refusal(path):
        check_file(path)
        if path.name.lower().endswith(NIFTI_SUFFIXES):
            return nifti_values(path)
        wide = wide_samples(path)
        if wide is not None:
            values = np.swapaxes(wide.values, 0, 1)
        else:
            with opened_picture(path) as picture:
                values = np.swapaxes(_stored_values(picture, by_index), 0, 1)
    if values.ndim == 3 and (values == values[..., :1]).all():
        return values[..., 0]
    return values


def _stored_values(picture: ImageFile, by_index: bool) -> np.ndarray:
    picture.info.clear()
    if picture.mode in ("1", "L", "I", "F") or picture.mode.startswith("I;16"):
        return np.asarray(picture)
    colours = np.asarray(picture.convert("RGB"))
    if not by_index or picture.mode != "P":
        return colours
    indices, greys = np.asarray(picture), colours[..., 0]
    used = {(index.item(), *colour.tolist()) for index, colour in _used_colours(indices, colours)}
    means_greys = all(red == green == blue for _, red, green, blue in used)
    shown = {(index, red) for index, red, _, _ in used}
    found = {red for _, red in shown}
    in_order = shown <= {(0, 0), (1, 128), (2, 255)}
    return greys if means_greys and (found <= {0, 1, 2} or found <= {0, 128, 255}) and not in_order else indices


def _used_colours(indices: np.ndarray, colours: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
    found, first = np.unique(indices, return_index=True)
    return list(zip(found, colours.reshape(-1, 3)[first], strict=True))


def foreground(path: Path, values: np.ndarray) -> np.ndarray:
    """Which pixels of a mask are meant: of two values the larger; of more, which several readers' average has, those
    above half of the range.

    The range is 1, 255 or 65535, whichever the maximum belongs to by being above its half. 0 alone is no foreground,
    any other value alone is nothing else.

    Args:
        path: the file, for the message.
        values: (W, H), or (W, H, 3), of which the brightest colour counts.

    Returns:
        bool, (W, H).

    Raises:
        UnreadablePhotographError: there are more than two values, and none is above half of a range.

    Example:
        >>> foreground(Path("cup.png"), np.array([[0, 63, 127, 191, 255]], np.uint8)).tolist()
        [[False, False, False, True, True]]
    """
    grey = values.max(axis=-1) if values.ndim == 3 else values
    found = np.unique(grey)
    # NaN is sorted last.
    if len(found) < 3 and np.isfinite(found[-1]):
        return np.asarray(grey > (found[0] if len(found) == 2 else 0))
    top = float(found[-1])
    white = next((white for white in (1, 255, 65535) if top <= white), None)
    if found[0] < 0 or white is None or top <= white / 2:
        raise UnreadablePhotographError(
            path,
            f"the mask holds {len(found)} values from {found[0]:g} to {top:g}, of which none is clearly its edge: save "
            "it as 0 and 255",
        )
    # In bytes 127 and 128 lie on either side of the half, and both are written for it; 127 is background.
    return np.asarray(grey > white / 2)
