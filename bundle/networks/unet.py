"""The network that segments disc and cup."""

from __future__ import annotations

import torch
from monai.networks.nets import FlexibleUNet
from monai.networks.nets.flexible_unet import FLEXUNET_BACKBONE
from torch import nn

from bundle.networks.encoder import EfficientNetLite0Encoder

__all__ = ["DiscCupUNet"]

FLEXUNET_BACKBONE.register_class(EfficientNetLite0Encoder)


class DiscCupUNet(FlexibleUNet):
    """``FlexibleUNet`` with a pointwise head behind channel dropout, and no dropout anywhere else.

    ``features`` gives F, the tensor that enters the head; ``segmentation_head`` turns F into logits. A pointwise head
    makes stochastic passes and class gradients cheap: neither runs the encoder or the decoder again. The defaults are
    the architecture of the shipped weights.

    Attributes:
        frozen_statistics: keep the norm layers on their running statistics even in train mode; initially False.

    Args:
        out_channels: logits per pixel, 3 for background, disc rim and optic cup.
        backbone: a name of MONAI's backbone registry.
        pretrained: start the encoder from its ImageNet weights.
        decoder_channels: channels of the decoder's maps, coarsest first; the last is K, the channels of F.
        dropout: probability that a channel of F is dropped in training and in stochastic passes, in [0, 1).

    Example:
        >>> network = DiscCupUNet(backbone="efficientnet-lite0-small", decoder_channels=(16, 16, 8, 8)).eval()
        >>> images = torch.zeros(1, 3, 32, 32)
        >>> network(images).shape, network.features(images).shape
        (torch.Size([1, 3, 32, 32]), torch.Size([1, 8, 32, 32]))
    """

    def __init__(
        self,
        out_channels: int = 3,
        backbone: str = "efficientnet-lite0",
        pretrained: bool = False,
        decoder_channels: tuple[int, ...] = (128, 96, 64, 40, 24),
        dropout: float = 0.3,
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
        """Set train or evaluation mode; norm layers stay in evaluation mode while ``frozen_statistics`` is true."""
        super().train(mode)
        if self.frozen_statistics:
            for module in self.modules():
                if isinstance(module, nn.modules.batchnorm._BatchNorm):
                    module.eval()
        return self

    def freeze_statistics(self, frozen: bool = True) -> None:
        """Set ``frozen_statistics``; it takes effect at the next call of ``train``."""
        self.frozen_statistics = frozen

    def features(self, inputs: torch.Tensor) -> torch.Tensor:
        """F (B x K x W x H) of images (B x 3 x W x H, both multiples of 32)."""
        return self.decoder(self.encoder(inputs), self.skip_connect)
