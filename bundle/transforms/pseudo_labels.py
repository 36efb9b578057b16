"""Reading pseudo-label files for training."""

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
    """Replace the path of a pseudo-label file by its ``label``, ``mask`` and ``probability``.

    The three arrays become separate keys, each 2 x W x H (disc, cup); the key of the path is removed.

    Args:
        keys: the key that holds the path.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = Path(folder) / "eye.npz"
        ...     np.savez(path, **{name: np.zeros((2, 4, 6)) for name in (*PSEUDO_LABEL, "uncertainty")})
        ...     data = LoadPseudoLabeld("pseudo_label")({"pseudo_label": path})
        >>> {name: tuple(array.shape) for name, array in data.items()}
        {'label': (2, 6, 4), 'mask': (2, 6, 4), 'probability': (2, 6, 4)}
    """

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        d = dict(data)
        for key in self.key_iterator(d):
            arrays = load_pseudo_label(d.pop(key))
            d |= {name: arrays[name] for name in PSEUDO_LABEL}
        return d


_ARRAYS = ("label", "mask", "probability", "uncertainty")


def load_pseudo_label(path: str | Path) -> dict[str, torch.Tensor]:
    """Read the four arrays of a pseudo-label file.

    Args:
        path: ``.npz`` file of stage 1 with ``label``, ``mask``, ``probability`` and ``uncertainty``, 2 x H x W each.

    Returns:
        The arrays by name, each 2 x W x H (disc, cup; x first, like all tensors of this package), float32.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = Path(folder) / "eye.npz"
        ...     np.savez(path, **{name: np.zeros((2, 4, 6)) for name in _ARRAYS})
        ...     load_pseudo_label(path)["label"].shape
        torch.Size([2, 6, 4])
    """
    with np.load(path) as arrays:
        return {key: torch.from_numpy(np.ascontiguousarray(arrays[key].swapaxes(1, 2))).float() for key in _ARRAYS}
