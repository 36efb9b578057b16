"""Pseudo-label files, read for training."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from monai.transforms import MapTransform

__all__ = ["PSEUDO_LABEL", "LoadPseudoLabeld", "load_pseudo_label"]

PSEUDO_LABEL = ("label", "mask", "probability")
"""The arrays of a pseudo-label file that adaptation trains on."""


class LoadPseudoLabeld(MapTransform):
    """Load ``label``, ``mask`` and ``probability`` of a pseudo-label file (2 x W x H each) in the place of its path.

    Args:
        keys: the key that holds the path.
    """

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        d = dict(data)
        for key in self.key_iterator(d):
            arrays = load_pseudo_label(d.pop(key))
            d |= {name: arrays[name] for name in PSEUDO_LABEL}
        return d


_ARRAYS = ("label", "mask", "probability", "uncertainty")


def load_pseudo_label(path: str | Path) -> dict[str, torch.Tensor]:
    """The four arrays of a pseudo-label file, each 2 x W x H (x first, as all tensors inside), float32."""
    with np.load(path) as arrays:
        return {key: torch.from_numpy(np.ascontiguousarray(arrays[key].swapaxes(1, 2))).float() for key in _ARRAYS}
