"""The scale on which the network sees intensities."""

from __future__ import annotations

from monai.config import KeysCollection
from monai.transforms import ScaleIntensityRanged

__all__ = ["ScaleToNetworkd"]


class ScaleToNetworkd(ScaleIntensityRanged):
    """Scale 8-bit values v to (v - 127) / 128, as the encoder's ImageNet weights expect.

    Args:
        keys: images in [0, 255]; they become images in [-127/128, 1].
        allow_missing_keys: skip keys that are missing.

    Example:
        >>> import torch
        >>> ScaleToNetworkd("image")({"image": torch.tensor([[[0.0, 127.0, 255.0]]])})["image"]
        metatensor([[[-0.9922,  0.0000,  1.0000]]])
    """

    def __init__(self, keys: KeysCollection, allow_missing_keys: bool = False) -> None:
        super().__init__(
            keys, a_min=0, a_max=255, b_min=-127 / 128, b_max=1.0, clip=True, allow_missing_keys=allow_missing_keys
        )
