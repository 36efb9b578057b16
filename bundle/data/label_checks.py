"""Labels that can be read but are hardly meant so."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import ignite.distributed as idist
import numpy as np
import torch
from monai.utils import ensure_tuple
from numpy.typing import NDArray
from scipy import ndimage

from bundle.data.label_reader import LabelReader
from bundle.data.partial_labels import hard_label
from bundle.errors import CallError, UnreadablePhotographError, one_line

__all__ = ["LabelFault", "check_labels", "cup_share", "label_fault"]

logger = logging.getLogger(__name__)

LabelFault = Literal["", "no_disc", "no_cup", "no_rim", "swapped", "outside"]
_WORDS: dict[LabelFault, str] = {
    "no_disc": "neither disc nor cup",
    "no_cup": "a disc without a cup",
    "no_rim": "a cup without a rim around it",
    "swapped": "a rim inside the cup, as if the two were swapped",
    "outside": "a cup outside its disc",
}


def label_fault(label: NDArray[np.uint8]) -> LabelFault:
    """What is odd about a label; empty if nothing is.

    Args:
        label: W x H of 0 (background), 1 (disc rim) and 2 (cup).

    Returns:
        ``no_disc``: nothing is drawn; ``no_cup``: there is a rim alone; ``no_rim``: there is a cup alone; ``swapped``:
        most of what borders on the background is cup, and most of what borders on the rim; ``outside``: most of the
        cup's edge borders on the background, which is a notch at most where the label is right.

    Example:
        >>> label = np.zeros((9, 9), np.uint8)
        >>> label[1:8, 1:8], label[3:6, 3:6] = 1, 2
        >>> label_fault(label), label_fault((3 - label) * (label > 0)), label_fault(label // 2 * 2)
        ('', 'swapped', 'no_rim')
    """
    found = ndimage.find_objects((label > 0).astype(np.uint8))
    if not found:
        return "no_disc"
    # With a margin of background, where the picture has one; its own edge is none of the disc.
    part = label[tuple(slice(max(axis.start - 1, 0), axis.stop + 1) for axis in found[0])]
    has_rim, has_cup = bool((part == 1).any()), bool((part == 2).any())
    if not (has_rim and has_cup):
        return "no_cup" if has_rim else "no_rim"
    disc, rim, cup = part > 0, part == 1, part == 2
    edge, rim_edge, cup_edge = (each & ~ndimage.binary_erosion(each, border_value=1) for each in (disc, rim, cup))
    if not edge.any():
        return ""
    if cup[edge].mean() > 0.5 and ndimage.binary_dilation(cup)[rim_edge].mean() > 0.5:
        return "swapped"
    return "outside" if edge[cup_edge].mean() > 0.5 else ""


def check_labels(items: Sequence[Mapping[str, Any]], label_format: str = "index") -> None:
    """Open every label before anything is learned from the first, and tell in one go of all that are hardly meant so.

    A line for each ``LabelFault`` names the labels that have it; they are used all the same. Labels that cannot be read
    are passed over, because whatever reads them next with their photographs tells of them. Only the first of several
    processes logs.

    Args:
        items: photographs, of which those with ``label`` (a path, or those of disc and cup) count.
        label_format: see ``LabelReader``.

    Raises:
        CallError: cup and rim are swapped in every label that shows both.
    """
    reader = LabelReader(label_format)
    files: dict[LabelFault, list[str]] = {"": [], **{fault: [] for fault in _WORDS}}
    for item in items:
        if "label" in item:
            try:
                label = _agreed(reader, item["label"])
            except UnreadablePhotographError:
                continue
            files[label_fault(label)].append(str(ensure_tuple(item["label"])[0]))
    if files["swapped"] and not files[""]:
        raise CallError(
            f"in every label that shows both, the rim lies inside the cup ({files['swapped'][0]} and "
            f"{len(files['swapped']) - 1} more).",
            "Swap the two: 1 is the rim and 2 the cup in the format index, 128 and 0 in refuge.",
        )
    total = sum(map(len, files.values()))
    for fault, words in _WORDS.items():
        if files[fault] and idist.get_rank() == 0:
            named = f"all {total}" if len(files[fault]) == total else f"{len(files[fault])} of {total}"
            logger.warning("%s labels show %s: %s", named, words, one_line(", ".join(files[fault])))


def cup_share(items: Sequence[Mapping[str, Any]], label_format: str = "index") -> float:
    """Mean share of the disc that is cup, over the labels that show both.

    Args:
        items: photographs with ``label`` (a path, or those of disc and cup), and ``weight`` where not all count alike.
        label_format: see ``LabelReader``.

    Returns:
        In (0, 1); NaN if no label shows both.

    Example:
        >>> import tempfile
        >>> from PIL import Image
        >>> label = np.zeros((32, 32), np.uint8)
        >>> label[8:24, 8:24], label[12:20, 12:20] = 1, 2
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     Image.fromarray(label).save(f"{folder}/eye.png")
        ...     cup_share([{"label": f"{folder}/eye.png"}])
        0.25
    """
    reader, total, share = LabelReader(label_format), 0.0, 0.0
    for item in items:
        try:
            label = _agreed(reader, item["label"])
        except (KeyError, UnreadablePhotographError):
            continue
        if label_fault(label) == "":
            weight = float(item.get("weight", 1.0))
            total += weight
            share += weight * np.count_nonzero(label == 2) / np.count_nonzero(label)
    return float(share / total) if total else float("nan")


def _agreed(reader: LabelReader, label: str | Sequence[str]) -> NDArray[np.uint8]:
    """The label of one reader, or what more than half of several drew."""
    values, _ = reader.get_data(reader.read(label))
    return np.asarray(hard_label(torch.from_numpy(values))).astype(np.uint8)
