"""Label maps: made from probabilities, cleaned, and turned into masks of the two nested structures."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from monai.data import MetaTensor
from monai.transforms import MapTransform
from monai.utils import convert_to_dst_type, convert_to_tensor

from bundle.morphometry.cup_disc import clean

__all__ = ["CleanLabeld", "ForMonaiLabeld", "NestedRegionsd", "label_map"]


def label_map(probability: torch.Tensor) -> torch.Tensor:
    """The most probable class of each pixel: the result of MONAI's ``AsDiscrete(argmax=True)``, but faster.

    At the photograph's full size, PyTorch's argmax over the few channels takes longer than the network.

    Args:
        probability: C x W x H, any real values.

    Returns:
        torch.Tensor: 1 x W x H, ``uint8``; of equally probable classes the first. A ``MetaTensor`` gives a
        ``MetaTensor``.

    Example:
        >>> label_map(torch.tensor([[[0.2, 0.8]], [[0.5, 0.1]], [[0.3, 0.1]]]))
        tensor([[[1, 0]]], dtype=torch.uint8)
    """
    p = convert_to_tensor(probability, track_meta=False)
    highest, label = p[0], torch.zeros(p.shape[1:], dtype=torch.uint8, device=p.device)
    for index, channel in enumerate(p[1:], start=1):
        label[channel > highest] = index
        highest = torch.maximum(highest, channel)
    return convert_to_dst_type(label[None], probability, dtype=torch.uint8)[0]


class CleanLabeld(MapTransform):
    """Reduce label maps to the largest disc and the largest cup inside it, both with their holes filled (``clean``).

    A label map becomes all background if the search for the disc found none, or if the disc is too small.

    Args:
        keys: label maps 1 x W x H (0 background, 1 rim, 2 cup). A ``disc_confidence`` of 0 in the metadata (see
            ``DiscViewd``) means that no disc was found.
        min_disc_px: a disc of fewer pixels counts as background.
        allow_missing_keys: skip keys that are missing.

    Example:
        >>> label = torch.zeros(1, 20, 20)
        >>> label[0, 4:16, 4:16] = 1
        >>> label[0, 18, 18] = 1  # a speck
        >>> int(CleanLabeld("pred")({"pred": label})["pred"].sum())
        144
    """

    def __init__(self, keys: str | Sequence[str], min_disc_px: int = 64, allow_missing_keys: bool = False) -> None:
        super().__init__(keys, allow_missing_keys)
        self.min_disc_px = min_disc_px

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        d = dict(data)
        for key in self.key_iterator(d):
            label = torch.as_tensor(d[key])
            found = not isinstance(d[key], MetaTensor) or float(d[key].meta.get("disc_confidence", 1.0)) > 0
            cleaned = clean(label[0].cpu().numpy().astype(np.uint8)) if found else np.zeros(label.shape[1:], np.uint8)
            if np.count_nonzero(cleaned) < self.min_disc_px:
                cleaned[:] = 0
            new = torch.from_numpy(cleaned)[None].to(label.device)
            d[key] = MetaTensor(new, meta=d[key].meta) if isinstance(d[key], MetaTensor) else new
        return d


class ForMonaiLabeld(MapTransform):
    """Drop the channel of label maps in MONAI Label, whose writer of pictures takes W x H.

    Everyone else gets 1 x W x H, as MONAI's transforms give it and MONAI Deploy expects it.

    Args:
        keys: label maps 1 x W x H. MONAI Label's items hold ``image_path``, and no others do.
        allow_missing_keys: skip keys that are missing.

    Example:
        >>> label = torch.zeros(1, 4, 3)
        >>> for item in ({"pred": label}, {"pred": label, "image_path": "eye.png"}):
        ...     tuple(ForMonaiLabeld("pred")(item)["pred"].shape)
        (1, 4, 3)
        (4, 3)
    """

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        d = dict(data)
        for key in self.key_iterator(d) if "image_path" in d else ():
            d[key] = d[key][0]
        return d


class NestedRegionsd(MapTransform):
    """Turn label maps (1 x W x H: 0 background, 1 rim, 2 cup) into masks (2 x W x H: disc, cup) for the metrics.

    Args:
        keys: label maps.
        allow_missing_keys: skip keys that are missing.

    Example:
        >>> NestedRegionsd("label")({"label": torch.tensor([[[0, 1, 2]]])})["label"]
        tensor([[[0, 1, 1]],
        <BLANKLINE>
                [[0, 0, 1]]], dtype=torch.uint8)
    """

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        d = dict(data)
        for key in self.key_iterator(d):
            d[key] = torch.cat((d[key] >= 1, d[key] >= 2)).to(torch.uint8)
        return d
