"""The loss of the second stage of the recipe ``pfa``, re-implemented from Yu et al. (arXiv 2307.09769).

``bundle.losses.transport`` has the loss of the first stage and the full reference.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch.nn import functional

from bundle.losses.functional import info_nce
from bundle.losses.pixels import HEAD_CLASSES, ScheduledLoss, as_pixels, guiding_output, random_grid, random_indices
from bundle.networks.head import classifier_of
from bundle.networks.outputs import AdaptationOutput

__all__ = ["ContrastLoss"]


class ContrastLoss(ScheduledLoss):
    """Contrast pixels of a class with its mean and with unreliable pixels that hardly belong to it.

    The mean teacher labels the pixels, or the network itself where there is no teacher. Among the pixels of a class,
    those of the largest entropy are unreliable, and those of the smallest are reliable. For each class, anchors are
    drawn from its reliable pixels, the positive is their mean feature, and negatives are drawn from a queue of
    unreliable pixels for which the class is the least probable one. The loss is the mean of ``info_nce`` of cosine
    similarities over the classes that have both anchors and negatives; others, such as an absent cup, are left out.

    As published: temperature 0.1, and the numbers of anchors and negatives. Different: in the published method a frozen
    copy of the first stage's network labels the pixels, and the unreliable share falls from 20 % (for the background,
    from 5 %) to 0 over the stage, with all pixels reliable except those and the next 10 %. Here the share is fixed at
    its mean, 10 %, because a loss does not know how long the stage lasts.

    Args:
        temperature: temperature of ``info_nce``, above 0.
        queries: number of anchors per class.
        negatives: number of negatives per anchor.
        unreliable: share of each class's pixels that are unreliable, in (0, 1).
        reliable: share of each class's pixels that are reliable, in (0, 1 - unreliable].
        queue: how many unreliable pixels of each class are remembered.
        stride: distance in pixels between the points of the grid that is used; its position is random in each batch.
        first_epoch: first epoch of the stage, from 1; before it the loss is 0.

    Example:
        >>> from bundle.networks.unet import DiscCupUNet
        >>> network = DiscCupUNet(backbone="efficientnet-lite0-small", decoder_channels=(16, 16, 8, 8)).eval()
        >>> features = torch.rand(2, 8, 16, 16)
        >>> logits = network.segmentation_head(features)
        >>> output = AdaptationOutput(network, torch.zeros(2, 3, 16, 16), features, logits)
        >>> 0 <= ContrastLoss(stride=1)(output, {"name": ["left", "right"]}).item() < 20
        True
    """

    needs_head = True

    def __init__(
        self,
        temperature: float = 0.1,
        queries: int = 64,
        negatives: int = 256,
        unreliable: float = 0.1,
        reliable: float = 0.8,
        queue: int = 4096,
        stride: int = 4,
        first_epoch: int = 1,
    ) -> None:
        super().__init__()
        self.temperature = temperature
        self.queries = queries
        self.negatives = negatives
        self.unreliable = unreliable
        self.reliable = reliable
        self.queue = queue
        self.stride = stride
        self.first_epoch = first_epoch
        self.remembered: list[torch.Tensor] = [torch.zeros(0) for _ in range(HEAD_CLASSES)]

    def get_extra_state(self) -> dict[str, Any]:
        """The queues and the visits of each photograph, for the state dict."""
        return super().get_extra_state() | {"remembered": [keys.clone() for keys in self.remembered]}

    def set_extra_state(self, state: dict[str, Any]) -> None:
        """Restore what ``get_extra_state`` returned."""
        super().set_extra_state(state)
        self.remembered = [keys.clone() for keys in state["remembered"]]

    def forward(self, output: AdaptationOutput, target: Mapping[str, Any]) -> torch.Tensor:
        """Scalar, at least 0; where no class can be contrasted it is 0 and still differentiable."""
        if self.epoch_of(target["name"]) < self.first_epoch:
            return output.features.sum() * 0
        guide = guiding_output(output)
        x, y = random_grid(self.stride, *output.features.shape[2:])
        features = functional.normalize(as_pixels(output.features[:, :, x, y]))
        with torch.no_grad():
            known = guide.features[:, :, x, y]
            probability = as_pixels(classifier_of(guide.network.segmentation_head)(known).softmax(dim=1))
            keys = as_pixels(known)
            label = probability.argmax(dim=1)
            reliable, unreliable = self.divide(probability, label)
            self.remember(keys, unreliable, probability.argmin(dim=1))
        losses = []
        for c in range(HEAD_CLASSES):
            anchors, queue = (reliable & (label == c)).nonzero()[:, 0], self.remembered[c]
            if not len(anchors) or not len(queue):
                continue
            with torch.no_grad():
                centre = functional.normalize(keys[anchors].mean(dim=0), dim=0)
                negative = functional.normalize(
                    queue[random_indices(len(queue), (self.queries, self.negatives), queue.device)], dim=2
                )
            anchor = features[anchors[random_indices(len(anchors), (self.queries,), anchors.device)]]
            negatives = torch.einsum("nk,nmk->nm", anchor, negative)
            losses.append(info_nce(anchor @ centre, negatives, self.temperature).mean())
        return torch.stack(losses).mean() if losses else output.features.sum() * 0

    def divide(self, probability: torch.Tensor, label: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Which of N pixels are reliable, and which unreliable, among those with the same label.

        Args:
            probability: N x 3.
            label: N, the most probable class.

        Returns:
            Two masks, N booleans each.
        """
        entropy = -(probability * probability.clamp(min=1e-12).log()).sum(dim=1)
        reliable, unreliable = torch.zeros_like(label, dtype=torch.bool), torch.zeros_like(label, dtype=torch.bool)
        for c in range(HEAD_CLASSES):
            own = label == c
            if own.any():
                low, high = entropy[own].quantile(entropy.new_tensor([self.reliable, 1 - self.unreliable]))
                reliable |= own & (entropy <= low)
                unreliable |= own & (entropy > high)
        return reliable, unreliable

    def remember(self, keys: torch.Tensor, unreliable: torch.Tensor, least: torch.Tensor) -> None:
        """Append unreliable pixels to the queue of their least probable class; the oldest ones drop out.

        Args:
            keys: features, N x K.
            unreliable: N booleans.
            least: the least probable class of each pixel, N.
        """
        for c in range(HEAD_CLASSES):
            new = keys[unreliable & (least == c)]
            old = self.remembered[c].to(new)
            self.remembered[c] = torch.cat((old, new) if len(old) else (new,))[-self.queue :]
