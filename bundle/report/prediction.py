"""What the network made of a photograph, turned from tensors into pictures."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from monai.utils import convert_to_tensor
from numpy.typing import NDArray

from bundle.morphometry.cup_disc import Borders, find_borders

__all__ = ["Prediction"]


class Prediction(NamedTuple):
    """A photograph and the network's label map, row first as files are, before anything is said of them.

    Attributes:
        path: the photograph's file.
        photograph: H x W x 3, uint8.
        label: H x W, uint8: 0 background, 1 disc rim, 2 optic cup.
        borders: of the label.
        view: what the network saw, 3 x W x H, with what is known of the photograph (``disc_confidence``,
            ``laterality``) in its meta data if it is a ``MetaTensor``.
        expected_dice: how good disc and cup are likely to be, each in [0, 1].
        norm_distance: how far the photograph's colour and brightness lie from the training data.
        fundus_distance: the same of all that the network sees of it; NaN if it was not measured.
    """

    path: Path
    photograph: NDArray[np.uint8]
    label: NDArray[np.uint8]
    borders: Borders
    view: torch.Tensor
    expected_dice: tuple[float, ...]
    norm_distance: float
    fundus_distance: float = math.nan

    @classmethod
    def of(cls, path: str | Path, item: Mapping[str, Any], output: Mapping[str, Any]) -> Prediction:
        """The prediction that an engine holds.

        Args:
            path: the photograph's file.
            item: of ``engine.state.batch``: ``image`` (the view) and ``photograph`` (3 x W x H, 0..255).
            output: of ``engine.state.output``: ``pred`` (1 x W x H or W x H, uint8), ``expected_dice`` (disc, cup) and,
                if it was measured, ``norm_distance`` and ``fundus_distance``.
        """
        pred = torch.as_tensor(output["pred"]).cpu().numpy()
        label = np.ascontiguousarray(pred.reshape(pred.shape[-2:]).T.astype(np.uint8))
        return cls(
            path=Path(path),
            photograph=_pixels(item["photograph"]),
            label=label,
            borders=find_borders(label),
            view=item["image"],
            expected_dice=tuple(map(float, output["expected_dice"])),
            norm_distance=float(output.get("norm_distance", 0.0)),
            fundus_distance=float(output.get("fundus_distance", math.nan)),
        )


def _pixels(photograph: torch.Tensor) -> NDArray[np.uint8]:
    """A photograph (3 x W x H, 0..255) as ``H x W x 3`` ``uint8``."""
    planes = [plane.T for plane in convert_to_tensor(photograph, track_meta=False).cpu().numpy()]
    # Plane by plane, which saves the passes over the memory of a whole photograph in floats.
    return np.stack([plane if plane.dtype == np.uint8 else plane.round().astype(np.uint8) for plane in planes], axis=-1)
