"""The view of the disc that a label shows."""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from monai.config import KeysCollection
from monai.utils import convert_to_tensor

from bundle.data.partial_labels import hard_label
from bundle.transforms.disc_view import DiscLocation, DiscViewd

__all__ = ["LabelledDiscViewd", "labelled_disc"]

_DISC_OF_CUP = 2.0
"""Diameter of a disc, in those of its cup, where nothing else is known: a usual ratio is a half."""


def labelled_disc(label: torch.Tensor) -> DiscLocation | None:
    """The disc in a label, as the search for it would give it.

    Args:
        label: 1 x W x H, above 0 in the disc; of several readers the disc is what more than half of them drew.

    Returns:
        centre of the disc's pixels and diameter of the circle of their area, in pixels; None for an empty label.

    Example:
        >>> label = torch.zeros(1, 20, 20)
        >>> label[0, 4:14, 6:16] = 1
        >>> found = labelled_disc(label)
        >>> found.x, found.y, round(found.diameter, 1)
        (8.5, 10.5, 11.3)
    """
    inside = torch.nonzero(hard_label(convert_to_tensor(label, track_meta=False)[0]) > 0).double()
    if not len(inside):
        return None
    x, y = inside.mean(dim=0).tolist()
    return DiscLocation(x, y, 2 * math.sqrt(len(inside) / math.pi), confidence=1.0)


class LabelledDiscViewd(DiscViewd):
    """``DiscViewd`` that takes the disc from the label where there is one, and searches for it elsewhere.

    A network that is trained on whole photographs then learns from every disc, those among them that the search misses.
    Where the item's ``structures`` says that only the cup is labelled, the search says how large the disc around it is;
    if it finds none around the cup, the disc is taken to be twice as wide.

    Args:
        keys: images and labels, C x W x H; the last is the label, which an unlabelled photograph lacks.
        size: side of the view in pixels.
        mode: interpolation of each key.
        kwargs: other arguments of ``DiscViewd``.

    Example:
        >>> data = {"image": torch.zeros(3, 60, 40), "label": torch.zeros(1, 60, 40)}
        >>> data["label"][0, 20:26, 10:16] = 1
        >>> view = LabelledDiscViewd(size=16, view="photograph", locate=lambda image: None)
        >>> bool(view(data)["label"].any())  # where the search finds nothing
        True
    """

    def __init__(
        self,
        keys: KeysCollection = ("image", "label"),
        size: int = 256,
        mode: Sequence[str] = ("bilinear", "nearest"),
        **kwargs: Any,
    ) -> None:
        super().__init__(keys, size, mode=tuple(mode), **kwargs | {"allow_missing_keys": True})

    def _found(self, data: Mapping[Hashable, Any]) -> DiscLocation | None:
        label = self.keys[-1]
        if label not in data:
            return super()._found(data)
        drawn = labelled_disc(data[label])
        if data.get("structures") != "cup" or drawn is None:
            return drawn
        found = super()._found(data)
        if found is not None and math.hypot(found.x - drawn.x, found.y - drawn.y) < found.diameter / 2:
            return found
        return replace(drawn, diameter=_DISC_OF_CUP * drawn.diameter)
