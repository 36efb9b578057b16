"""Photographs in memory, read as files are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from monai.utils import ensure_tuple
from numpy.typing import NDArray

from bundle.data.colour import is_colourless
from bundle.data.photograph_reader import PhotographReader

__all__ = ["ArrayReader"]


class ArrayReader(PhotographReader):
    """``PhotographReader`` that also knows photographs in memory.

    Args:
        arrays: by the name that is read, H x W x 3 or H x W, uint8.
    """

    def __init__(self, arrays: Mapping[str, NDArray[np.uint8]]) -> None:
        super().__init__()
        self.arrays = arrays

    def get_data(self, img: Sequence[str] | str) -> tuple[torch.Tensor, dict[str, Any]]:  # type: ignore[override]
        """As ``PhotographReader``; an array counts as a photograph that says nothing of the eye."""
        (name,) = ensure_tuple(img)
        if name not in self.arrays:
            return super().get_data(img)
        array = self.arrays[name]
        colour = array if array.ndim == 3 else np.repeat(array[..., None], 3, axis=-1)
        # A copy: the network and the writer must not see what the caller does with the array meanwhile.
        values = torch.from_numpy(np.array(colour, dtype=np.uint8)).transpose(0, 1)
        meta = {"spatial_shape": np.asarray(values.shape[:2]), "original_channel_dim": -1}
        said = {"laterality": "", "laterality_source": "", "colourless": is_colourless(values.numpy())}
        return values, meta | {"filename_or_obj": name, "format": "array"} | said
