"""Photographs with larger and smaller cups, made of labelled ones: the ratio of cup to disc differs between sites."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

import numpy as np
import torch
from monai.config import KeysCollection
from monai.data import MetaTensor
from monai.transforms import MapTransform, RandomizableTransform
from scipy.interpolate import PchipInterpolator
from torch.nn import functional

__all__ = ["RandCupSized", "cup_ratio", "cup_size_grid"]

_ANGLES = 180
_REACH = 1.6


def cup_ratio(label: np.ndarray) -> float:
    """Square root of the cup's share of the disc's area in a label map (0, 1, 2); 0 without either.

    Args:
        label: two axes, in either order.
    """
    disc = np.count_nonzero(label)
    return float(np.sqrt(np.count_nonzero(label == 2) / disc)) if disc else 0.0


def cup_size_grid(label: np.ndarray, ratio: float) -> np.ndarray | None:
    """Where each pixel comes from in a picture whose cup is stretched or shrunk inside its disc.

    Pixels move along rays from the cup's centre. The disc's edge stays; between the centre and the edge a smooth
    monotone map takes the cup's edge to where ``ratio`` wants it. Image and label stay a pair when both are sampled by
    the grid.

    Args:
        label: label map (0 background, 1 rim, 2 cup), A x B.
        ratio: the wanted ``cup_ratio``, in (0, 1).

    Returns:
        2 x A x B coordinates in pixels, or None where the label has no cup or no rim, or where the cup's centre lies
        outside the disc.

    Raises:
        ValueError: when ``ratio`` is out of range.
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
    """Give a labelled crop a cup of a random size, so that the network cannot learn one site's usual cup.

    Args:
        keys: channel-first images and label, sampled by one grid; the first key's shape counts.
        label_key: the label among them (1 x W x H; 0, 1, 2).
        ratio_range: the wanted ``cup_ratio`` is drawn from it, in (0, 1).
        max_change: the cup's radius grows or shrinks at most by this factor.
        prob: probability of doing anything.
    """

    def __init__(
        self,
        keys: KeysCollection,
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
        super().randomize(None)
        # Drawn in any case, so that what a photograph shows never shifts the random state of the next.
        self.ratio = float(self.R.uniform(self.smallest, self.largest))

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        d = dict(data)
        self.randomize()
        if not self._do_transform:
            return d
        label = np.asarray(d[self.label_key][0])
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
