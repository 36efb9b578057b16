"""Labels that tell less than which of three classes a pixel belongs to."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

import torch
from monai.data import MetaTensor
from monai.transforms import MapTransform
from monai.utils import convert_to_tensor

from bundle.data.soft_labels import is_soft, shares_of, without_structure
from bundle.errors import CallError

__all__ = ["ALLOWED", "NOT_CUP", "RIM_OR_CUP", "STRUCTURES", "UNLABELLED", "PartialLabeld", "hard_label"]

RIM_OR_CUP, NOT_CUP, UNLABELLED = 3, 4, 255
ALLOWED: Mapping[int, tuple[int, ...]] = {
    0: (0,), 1: (1,), 2: (2,), RIM_OR_CUP: (1, 2), NOT_CUP: (0, 1), UNLABELLED: (0, 1, 2),
}  # fmt: skip
"""The classes (0 background, 1 rim, 2 cup) that a pixel may have, by the value of its label."""
STRUCTURES = ("both", "disc", "cup", "none")
"""What the labels of a data set show."""


def hard_label(label: torch.Tensor) -> torch.Tensor:
    """What more than half of the readers drew in the place of their shares; without shares the label as it is.

    Args:
        label: of any shape, values of ``ALLOWED`` or of ``bundle.data.soft_labels``.

    Example:
        >>> hard_label(torch.tensor([1, 1024 + 64 * 40 + 10, 1024 + 64 * 60 + 31, 8192 + 40, 16384 + 20])).tolist()
        [1, 1, 2, 3, 4]
    """
    soft = is_soft(label)
    if not soft.any():
        return label
    _, rim, cup, rim_or_cup, not_cup = shares_of(label)
    hard = torch.where(rim + cup > 0.5, 1.0, 0.0)
    hard = torch.where(rim_or_cup > 0.5, float(RIM_OR_CUP), hard)
    hard = torch.where(not_cup > 0, float(NOT_CUP), hard)
    hard = torch.where(cup > 0.5, 2.0, hard)
    return torch.where(soft, hard.to(label.dtype), label)


class PartialLabeld(MapTransform):
    """Say in a label what it does not tell, so that a structure that was not drawn is not taught as absent.

    Args:
        keys: the image's key, then the label's (1 x W x H: 0 background, 1 rim, 2 cup); where the label is missing, one
            of the image's size is made.
        structures_key: the item's entry that says which of ``STRUCTURES`` its label shows; ``both`` without one.
            ``disc``: whatever is not background becomes ``RIM_OR_CUP``; ``cup``: whatever is not cup becomes
            ``NOT_CUP``; ``none``: all becomes ``UNLABELLED``. Shares of readers keep what they say of the structure.

    Raises:
        CallError: ``structures`` is none of the four.

    Example:
        >>> item = {"image": torch.zeros(3, 1, 3), "label": torch.tensor([[[0, 1, 2]]]), "structures": "disc"}
        >>> PartialLabeld(("image", "label"))(item)["label"]
        tensor([[[0, 3, 3]]])
    """

    def __init__(self, keys: tuple[str, str] = ("image", "label"), structures_key: str = "structures") -> None:
        super().__init__(keys)
        self.structures_key = structures_key

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        d = dict(data)
        image, label = self.keys
        structures = d.get(self.structures_key, "both")
        if structures not in STRUCTURES:
            raise CallError(f"structures {structures!r} are unknown.", f"Use one of {', '.join(STRUCTURES)}.")
        if structures == "none":
            blank = torch.full_like(convert_to_tensor(d[image], track_meta=False)[:1], UNLABELLED)
            d[label] = MetaTensor(blank, meta=d[image].meta) if isinstance(d[image], MetaTensor) else blank
        elif structures in ("disc", "cup"):
            drawn = d[label]
            if structures == "disc":
                told = torch.where(drawn > 0, RIM_OR_CUP, 0)
            else:
                told = torch.where(drawn == 2, 2, NOT_CUP)
            told = told.to(drawn.dtype)
            d[label] = torch.where(is_soft(drawn), without_structure(drawn, structures), told)
        return d
