"""Augmentation that makes a photograph look as if a stranger camera had taken it.

MONAI has noise, blur, contrast and uneven fields; these are what telephones, scanned slides and cheap sensors add.
"""

from __future__ import annotations

import io
from collections.abc import Hashable, Mapping
from typing import Any

import numpy as np
import torch
from monai.config import KeysCollection
from monai.data import MetaTensor
from monai.transforms import MapTransform, RandomizableTransform
from monai.utils import convert_to_dst_type, convert_to_tensor
from PIL import Image

__all__ = ["RandColourMixd", "RandJpegd", "RandReflectionsd", "RandVignetted"]


class _RandCamerad(RandomizableTransform, MapTransform):
    """Base: changes images (3 x W x H in [0, 255], clipped to it afterwards) with a probability."""

    def __init__(self, keys: KeysCollection, prob: float) -> None:
        MapTransform.__init__(self, keys)
        RandomizableTransform.__init__(self, prob)

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        d = dict(data)
        self.randomize(None)
        if self._do_transform:
            for key in self.key_iterator(d):
                pixels = convert_to_tensor(d[key], track_meta=False, dtype=torch.float32)
                changed = self.changed(pixels).clamp(0, 255)
                d[key] = convert_to_dst_type(changed, d[key])[0] if isinstance(d[key], MetaTensor) else changed
        return d

    def changed(self, pixels: torch.Tensor) -> torch.Tensor:
        """A changed copy of an image."""
        raise NotImplementedError


class RandColourMixd(_RandCamerad):
    """Mix the colour channels, as sensors, films and their fading do: each becomes a mean of itself and of all three.

    Args:
        keys: images, 3 x W x H in [0, 255].
        strength: largest weight, in [0, 1], of the mean in place of the channel itself; 1 allows a grey picture.
        prob: probability of changing a photograph, in [0, 1].

    Example:
        >>> image = torch.tensor([200.0, 100.0, 50.0]).reshape(3, 1, 1)
        >>> mix = RandColourMixd("image", strength=1.0, prob=1.0).set_random_state(seed=0)
        >>> spread = float(mix({"image": image})["image"].std())
        >>> spread < float(image.std())
        True
    """

    def __init__(self, keys: KeysCollection, strength: float = 0.6, prob: float = 0.5) -> None:
        super().__init__(keys, prob)
        self.strength = strength

    def changed(self, pixels: torch.Tensor) -> torch.Tensor:
        """Each channel is (1 - s) of itself and s of one random mean of the three, with an s of its own around one."""
        share = self.R.uniform(0, self.strength) * self.R.uniform(0.6, 1, size=(3, 1))
        mix = (1 - share) * np.eye(3) + share * self.R.dirichlet([2, 2, 2])
        return torch.einsum("ij,jxy->ixy", torch.from_numpy(mix).float(), pixels)


class RandVignetted(_RandCamerad):
    """Darken a photograph away from a random point, gently as a lens does or to black as a telephone's eyepiece does.

    Args:
        keys: images, C x W x H in [0, 255].
        radius: range of the distance from that point, as a share of the image's side, at which half of the light is
            lost.
        softness: range of the width of the transition, as a share of that distance.
        offset: largest distance of the point from the image's middle along each axis, as a share of the side.
        prob: probability of changing a photograph, in [0, 1].

    Example:
        >>> dark = RandVignetted("image", prob=1.0).set_random_state(seed=0)({"image": torch.full((3, 32, 32), 200.0)})
        >>> bool(dark["image"].min() < 100 < dark["image"].max())
        True
    """

    def __init__(
        self,
        keys: KeysCollection,
        radius: tuple[float, float] = (0.45, 0.8),
        softness: tuple[float, float] = (0.02, 0.5),
        offset: float = 0.2,
        prob: float = 0.2,
    ) -> None:
        super().__init__(keys, prob)
        self.radius, self.softness, self.offset = radius, softness, offset

    def changed(self, pixels: torch.Tensor) -> torch.Tensor:
        """The image times a logistic function of the distance."""
        distance = self._distance(pixels, self.R.uniform(-self.offset, self.offset, size=2))
        radius = self.R.uniform(*self.radius)
        width = radius * np.exp(self.R.uniform(*np.log(self.softness)))
        return pixels * torch.sigmoid((radius - distance) / width)

    @staticmethod
    def _distance(pixels: torch.Tensor, centre: Any) -> torch.Tensor:
        x, y = (torch.linspace(-0.5, 0.5, side) for side in pixels.shape[1:])
        return torch.hypot(x[:, None] - centre[0], y[None] - centre[1])


class RandReflectionsd(_RandCamerad):
    """Lay bright spots and veils over a photograph, as reflections of the cornea and of a telephone's lamp are.

    Args:
        keys: images, 3 x W x H in [0, 255].
        most: largest number of reflections.
        size: range of their radii, as a share of the image's side.
        strength: range of the share of light, in [0, 1], that a reflection adds at its middle.
        prob: probability of changing a photograph, in [0, 1].

    Example:
        >>> lit = RandReflectionsd("image", prob=1.0).set_random_state(seed=0)({"image": torch.zeros(3, 32, 32)})
        >>> bool(lit["image"].max() > 20)
        True
    """

    def __init__(
        self,
        keys: KeysCollection,
        most: int = 3,
        size: tuple[float, float] = (0.02, 0.35),
        strength: tuple[float, float] = (0.2, 0.9),
        prob: float = 0.15,
    ) -> None:
        super().__init__(keys, prob)
        self.most, self.size, self.strength = most, size, strength

    def changed(self, pixels: torch.Tensor) -> torch.Tensor:
        """The image, blended with a near-white colour by elliptic bells; the wider one is, the weaker."""
        x, y = torch.meshgrid(*(torch.linspace(-0.5, 0.5, side) for side in pixels.shape[1:]), indexing="ij")
        lit = pixels.clone()
        for _ in range(self.R.randint(1, self.most + 1)):
            size = float(np.exp(self.R.uniform(*np.log(self.size))))
            long, short = size * self.R.uniform(1, 2.5), size
            turn, (cx, cy) = self.R.uniform(0, np.pi), self.R.uniform(-0.6, 0.6, size=2)
            u = (x - cx) * np.cos(turn) + (y - cy) * np.sin(turn)
            v = (y - cy) * np.cos(turn) - (x - cx) * np.sin(turn)
            strength = self.R.uniform(*self.strength) * min(1.0, 0.12 / size)
            share = strength * torch.exp(-(((u / long) ** 2 + (v / short) ** 2) ** self.R.uniform(1, 3)))
            colour = torch.tensor(self.R.uniform(190, 255, size=3), dtype=torch.float32)[:, None, None]
            lit = lit + share * (colour - lit)
        return lit


class RandJpegd(_RandCamerad):
    """Compress a photograph as JPEG.

    Args:
        keys: images, 3 x W x H in [0, 255].
        quality: range of the quality, in [1, 95].
        prob: probability of changing a photograph, in [0, 1].

    Example:
        >>> image = torch.rand(3, 32, 32) * 255
        >>> coarse = RandJpegd("image", quality=(5, 10), prob=1.0)({"image": image})["image"]
        >>> coarse.shape, bool((coarse - image).abs().max() > 20)
        (torch.Size([3, 32, 32]), True)
    """

    def __init__(self, keys: KeysCollection, quality: tuple[int, int] = (15, 80), prob: float = 0.25) -> None:
        super().__init__(keys, prob)
        self.quality = quality

    def changed(self, pixels: torch.Tensor) -> torch.Tensor:
        """The image as Pillow writes and reads it."""
        stored = io.BytesIO()
        whole = pixels.round().clamp(0, 255).byte().permute(2, 1, 0).numpy()
        Image.fromarray(whole).save(stored, "JPEG", quality=int(self.R.randint(self.quality[0], self.quality[1] + 1)))
        return torch.from_numpy(np.array(Image.open(stored))).permute(2, 1, 0).float()
