"""Augmentation that makes the cup of a labelled photograph larger or smaller.

Sites differ in the usual ratio of cup to disc, and a network must not learn that of its training site.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

import numpy as np
import torch
from monai.config import KeysCollection
from monai.data import MetaTensor
from monai.transforms import MapTransform, RandomizableTransform
from monai.utils import convert_to_tensor
from scipy.interpolate import PchipInterpolator
from torch.nn import functional

from bundle.data.partial_labels import hard_label

__all__ = ["RandCupSized", "cup_ratio", "cup_size_grid"]

_ANGLES = 180
"""Number of directions in which the disc's edge is looked up."""
_REACH = 1.6
"""Pixels move within this distance from the cup's centre, in units of the distance to the disc's edge."""


def cup_ratio(label: np.ndarray) -> float:
    """Square root of the cup's share of the disc's area: the ratio of their mean diameters.

    Args:
        label: label map (0 background, 1 rim, 2 cup), A x B; the axes may be in either order.

    Returns:
        In [0, 1]; 0 without a disc or a cup.

    Example:
        >>> label = np.ones((8, 8), dtype=np.uint8)
        >>> label[2:6, 2:6] = 2
        >>> cup_ratio(label)
        0.5
    """
    disc = np.count_nonzero(label)
    return float(np.sqrt(np.count_nonzero(label == 2) / disc)) if disc else 0.0


def cup_size_grid(label: np.ndarray, ratio: float) -> np.ndarray | None:
    """Sampling grid that stretches or shrinks the cup inside its disc.

    Pixels move along rays from the cup's centre. The disc's edge stays in place; between the centre and that edge, a
    smooth monotone map moves the cup's edge to where it gives the wanted ratio. Sample image and label with the same
    grid, and they still fit each other.

    Args:
        label: label map (0 background, 1 rim, 2 cup), A x B.
        ratio: the wanted ``cup_ratio``, in (0, 1).

    Returns:
        For each pixel of the new picture its coordinates in the old one, 2 x A x B in pixels; None if the label has no
        cup or no rim, or if the cup's centre lies outside the disc.

    Raises:
        ValueError: ``ratio`` is out of range.

    Example:
        >>> x, y = np.mgrid[:33, :33] - 16
        >>> label = 1 * (np.hypot(x, y) < 12) + (np.hypot(x, y) < 4)
        >>> grid = cup_size_grid(label, ratio=0.6)
        >>> grid.shape
        (2, 33, 33)
        >>> nearest = grid.round().astype(int)
        >>> cup_ratio(label) < 0.4, 0.5 < cup_ratio(label[nearest[0], nearest[1]]) < 0.7
        (True, True)
    """
    if not 0 < ratio < 1:
        raise ValueError(f"ratio must lie between 0 and 1, not {ratio}.")
    now = cup_ratio(label)
    if not 0 < now < 1:
        return None
    centre = np.argwhere(label == 2).mean(axis=0)
    if label[tuple(centre.round().astype(int))] == 0:
        return None
    offset = np.indices(label.shape, dtype=np.float32) - centre[:, None, None].astype(np.float32)
    radius = np.hypot(*offset)
    turn = (np.arctan2(offset[1], offset[0]) / (2 * np.pi)) % 1
    edge = _edge_radius(label > 0, centre)
    fraction = radius / np.interp(turn, np.linspace(0, 1, _ANGLES + 1), np.append(edge, edge[0]))
    steps = [0.0, ratio, 1.0, _REACH, 2 * _REACH]
    source = PchipInterpolator(steps, [0.0, now, 1.0, _REACH, 2 * _REACH])
    inside = fraction < _REACH
    scale = np.ones_like(fraction)
    safe = np.maximum(fraction, 1e-3)
    scale[inside] = (source(safe[inside]) / safe[inside]).astype(scale.dtype)
    return (centre[:, None, None] + offset * scale).astype(np.float32)


def _edge_radius(disc: np.ndarray, centre: np.ndarray) -> np.ndarray:
    """Distance from the centre to the disc's farthest pixel in each direction, smoothed; at least 1."""
    angle = np.arange(_ANGLES) * 2 * np.pi / _ANGLES
    steps = np.arange(0, np.hypot(*disc.shape), 0.5)
    rays = centre[:, None, None] + np.stack([np.cos(angle), np.sin(angle)])[:, :, None] * steps
    index = rays.round().astype(int)
    within = ((index >= 0) & (index < np.array(disc.shape)[:, None, None])).all(axis=0)
    a, b = (np.clip(index[i], 0, disc.shape[i] - 1) for i in (0, 1))
    hit = disc[a, b] & within
    radius = np.where(hit, steps, 0).max(axis=1)
    kernel = np.hanning(11) / np.hanning(11).sum()
    return np.maximum(np.convolve(np.pad(radius, 5, mode="wrap"), kernel, mode="valid"), 1.0)


class RandCupSized(RandomizableTransform, MapTransform):
    """Give a labelled crop a cup of random size, to keep the network from learning one site's usual cup size.

    A crop whose label has no cup or no rim stays as it is.

    Args:
        keys: images and label, channel first and of one size; all are sampled with the same grid.
        label_key: the label among them (1 x W x H; 0 background, 1 rim, 2 cup).
        ratio_range: range in (0, 1) from which the wanted ``cup_ratio`` is drawn.
        max_change: largest factor, at least 1, by which the cup's radius grows or shrinks.
        prob: probability of changing a crop, in [0, 1].

    Example:
        >>> x, y = np.mgrid[:33, :33] - 16
        >>> label = torch.tensor(1 * (np.hypot(x, y) < 12) + (np.hypot(x, y) < 4))[None]
        >>> resize_cup = RandCupSized(("image", "label"), ratio_range=(0.6, 0.7), prob=1.0)
        >>> changed = resize_cup({"image": torch.rand(3, 33, 33), "label": label})
        >>> cup_ratio(label[0].numpy()) < cup_ratio(changed["label"][0].numpy())
        True
    """

    def __init__(
        self,
        keys: KeysCollection = ("image", "label"),
        label_key: str = "label",
        ratio_range: tuple[float, float] = (0.25, 0.85),
        max_change: float = 1.8,
        prob: float = 0.5,
    ) -> None:
        MapTransform.__init__(self, keys)
        RandomizableTransform.__init__(self, prob)
        self.label_key = label_key
        self.smallest, self.largest = ratio_range
        self.max_change = max_change
        self.ratio = 0.0

    def randomize(self, data: Any = None) -> None:
        """Draw whether to change the next crop, and the cup ratio to give it."""
        super().randomize(None)
        # Always drawn: the random state for the next photograph must not depend on what this one shows.
        self.ratio = float(self.R.uniform(self.smallest, self.largest))

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        d = dict(data)
        self.randomize()
        if not self._do_transform:
            return d
        label = np.asarray(hard_label(convert_to_tensor(d[self.label_key], track_meta=False))[0])
        now = cup_ratio(label)
        ratio = float(np.clip(self.ratio, now / self.max_change, min(now * self.max_change, 0.95)))
        grid = cup_size_grid(label, ratio) if ratio > 0 else None
        if grid is None:
            return d
        size = torch.tensor(label.shape, dtype=torch.float32)[:, None, None]
        normal = ((torch.from_numpy(grid) * 2 + 1) / size - 1).flip(0).permute(1, 2, 0)[None]
        for key in self.key_iterator(d):
            mode = "nearest" if key == self.label_key else "bilinear"
            image = torch.as_tensor(d[key])
            plain = image.as_tensor() if isinstance(image, MetaTensor) else image
            moved = functional.grid_sample(
                plain[None].float(), normal, mode=mode, padding_mode="reflection", align_corners=False
            )[0].to(plain.dtype)
            d[key] = MetaTensor(moved, meta=image.meta) if isinstance(image, MetaTensor) else moved
        return d
