"""The view of the disc that a label shows."""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping
from typing import Any

import torch
from monai.config import KeysCollection
from monai.utils import convert_to_tensor

from bundle.data.partial_labels import hard_label
from bundle.transforms.disc_view import DiscLocation, DiscViewd

__all__ = ["LabelledDiscViewd", "labelled_disc"]


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

    Args:
        keys: images and labels, C x W x H; the last is the label, which an unlabelled photograph lacks.
        size: side of the view in pixels.
        kwargs: other arguments of ``DiscViewd``.

    Example:
        >>> data = {"image": torch.zeros(3, 60, 40), "label": torch.zeros(1, 60, 40)}
        >>> data["label"][0, 20:26, 10:16] = 1
        >>> view = LabelledDiscViewd(("image", "label"), size=16, view="photograph", locate=lambda image: None)
        >>> bool(view(data)["label"].any())  # where the search finds nothing
        True
    """

    def __init__(self, keys: KeysCollection, size: int, **kwargs: Any) -> None:
        super().__init__(keys, size, **kwargs | {"allow_missing_keys": True})

    def _found(self, data: Mapping[Hashable, Any]) -> DiscLocation | None:
        label = self.keys[-1]
        return labelled_disc(data[label]) if label in data else super()._found(data)
