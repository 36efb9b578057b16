"""The loss of the recipe ``dac``, re-implemented.

Zhang et al., "Divide and contrast" (NeurIPS 2022, arXiv 2211.06612), applied to pixels instead of whole pictures. The
docstring of the class lists the differences from the paper.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import product
from typing import Any, cast

import torch
from torch.nn import functional

from bundle.losses.base import masked_mean
from bundle.losses.functional import exponential_discrepancy, info_nce
from bundle.losses.pixels import HEAD_CLASSES, ScheduledLoss, as_pixels, guiding_output, random_indices
from bundle.networks.head import classifier_of
from bundle.networks.outputs import AdaptationOutput

__all__ = ["DivideAndContrastLoss"]


class DivideAndContrastLoss(ScheduledLoss):
    """The loss of ``dac``: self-training, adaptive contrast and alignment of the two halves of the target.

    A sample of the paper, a picture of one class, is here the region of one class in one photograph. The memory keeps
    each region's mean feature, of unit length, under the photograph's name and updates it with momentum. A region's
    mean confidence (the largest probability) makes it *source-like*, at or above the median of its class, or
    *target-specific*, below the median. Labels, confidences and memory come from the mean teacher, which sees the
    photographs with unchanged colours, or from the network itself where there is no teacher. Pixels of each region are
    drawn as anchors. The loss has three terms:

    * contrast: the positive of an anchor in a source-like region is the mean of its class's source-like regions; in a
      target-specific region it is the mean of the same pixel in the other view, the anchor's region and the nearest
      remembered regions. Negatives are the source-like means and the target-specific regions of the other classes;
    * discrepancy: ``exponential_discrepancy`` of every anchor to the regions of its class in the other half;
    * self-training: cross-entropy of all pixels with the labels.

    As published: in the first epoch the memory is filled, and self-training is the only term; temperature 0.05,
    momentum 0.2 and 5 neighbours; weights of 1 for contrast, 0.3 for discrepancy and 0.39 for self-training on each of
    three views, of which one has a gradient here. Different: the median replaces a confidence of 0.97, which this
    network may exceed everywhere or nowhere; regions of the anchor's own class are not negatives, because with three
    classes they would be a third of them; the labels are the network's, not those of a clustering; there is no term
    that makes all classes equally frequent, because a cup is smaller than the background.

    Args:
        self_training: weight of the cross-entropy, at least 0.
        contrast: weight of the contrast, at least 0.
        discrepancy: weight of the discrepancy, at least 0.
        temperature: of contrast and discrepancy, above 0.
        momentum: share of the old feature in the memory, in [0, 1).
        neighbours: how many of the nearest regions count in the positive of an anchor in a target-specific region.
        pixels: number of anchors per region.
        first_epoch: first epoch with contrast and discrepancy, from 1.

    Example:
        >>> from bundle.networks.unet import DiscCupUNet
        >>> network = DiscCupUNet(backbone="efficientnet-lite0-small", decoder_channels=(16, 16, 8, 8)).eval()
        >>> features = torch.rand(2, 8, 16, 16)
        >>> logits = network.segmentation_head(features)
        >>> output = AdaptationOutput(network, torch.zeros(2, 3, 16, 16), features, logits)
        >>> loss = DivideAndContrastLoss(first_epoch=1)(output, {"name": ["left", "right"]})
        >>> loss.shape, loss.item() >= 0
        (torch.Size([]), True)
    """

    needs_head = True

    def __init__(
        self,
        self_training: float = 1.2,
        contrast: float = 1.0,
        discrepancy: float = 0.3,
        temperature: float = 0.05,
        momentum: float = 0.2,
        neighbours: int = 5,
        pixels: int = 64,
        first_epoch: int = 2,
    ) -> None:
        super().__init__()
        self.self_training = self_training
        self.contrast = contrast
        self.discrepancy = discrepancy
        self.temperature = temperature
        self.momentum = momentum
        self.neighbours = neighbours
        self.pixels = pixels
        self.first_epoch = first_epoch
        self.memory: dict[str, torch.Tensor] = {}  # 3 x (K + 1): unit feature and confidence, which is NaN if absent

    def get_extra_state(self) -> dict[str, Any]:
        """The memory and the visits of each photograph, for the state dict."""
        return super().get_extra_state() | {"memory": {name: region.clone() for name, region in self.memory.items()}}

    def set_extra_state(self, state: dict[str, Any]) -> None:
        """Restore what ``get_extra_state`` returned."""
        super().set_extra_state(state)
        self.memory = {name: region.clone() for name, region in state["memory"].items()}

    def forward(self, output: AdaptationOutput, target: Mapping[str, Any]) -> torch.Tensor:
        """Scalar, at least 0; of ``target`` only ``name`` is used."""
        names = target["name"]
        epoch = self.epoch_of(names)
        guide = guiding_output(output)
        with torch.no_grad():
            probability = classifier_of(guide.network.segmentation_head)(guide.features).softmax(dim=1)
            confidence, label = probability.max(dim=1)
            self.remember(names, guide.features, label, confidence)
        loss = self.self_training * functional.cross_entropy(output.logits, label)
        if epoch < self.first_epoch:
            return loss
        index, photograph, category = self.draw(label)
        anchors = functional.normalize(as_pixels(output.features)[index])
        with torch.no_grad():
            view = functional.normalize(as_pixels(guide.features)[index])
            regions, source_like, target_specific = self.divide(view)
            position = {name: row for row, name in enumerate(self.memory)}
            row = torch.tensor([position[name] for name in names], device=index.device)[photograph]
        contrast = self.contrast_of(anchors, view, row, category, regions, source_like, target_specific)
        discrepancy = self.discrepancy_of(anchors, row, category, regions, source_like, target_specific)
        return loss + self.contrast * contrast + self.discrepancy * discrepancy

    def remember(
        self, names: Sequence[str], features: torch.Tensor, label: torch.Tensor, confidence: torch.Tensor
    ) -> None:
        """Update the memory with a batch.

        Args:
            names: of the photographs, B.
            features: B x K x W x H.
            label: B x W x H.
            confidence: B x W x H, in [0, 1].
        """
        means, levels = [], []
        for c in range(HEAD_CLASSES):
            own = label == c
            means.append(functional.normalize(masked_mean(features, own)))
            levels.append(
                torch.where(own.any(dim=2).any(dim=1), masked_mean(confidence[:, None], own)[:, 0], torch.nan)
            )
        found = torch.cat((torch.stack(means, dim=1), torch.stack(levels, dim=1)[..., None]), dim=2)
        for name, new in zip(names, found, strict=True):
            old = self.memory[name].to(new) if name in self.memory else new
            mixed = functional.normalize(self.momentum * old[:, :-1] + (1 - self.momentum) * new[:, :-1])
            there = ~old[:, -1:].isnan() & ~new[:, -1:].isnan()
            self.memory[name] = torch.cat((torch.where(there, mixed, new[:, :-1]), new[:, -1:]), dim=1)

    def divide(self, like: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """The remembered features, R x 3 x K, and which of them (R x 3) are source-like and target-specific."""
        memory = torch.stack([region.to(like) for region in self.memory.values()])
        regions, confidence = memory[..., :-1], memory[..., -1]
        source_like = confidence >= confidence.nanmedian(dim=0).values
        return regions, source_like, ~source_like & ~confidence.isnan()

    def draw(self, label: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Draw anchors from each region of B x W x H labels.

        Returns:
            For each anchor its index among all pixels, its photograph's place in the batch, and its class; N each.
        """
        drawn = []
        for b, c in product(range(len(label)), range(HEAD_CLASSES)):
            found = (label[b] == c).flatten().nonzero()[:, 0]
            if len(found):
                index = found[random_indices(len(found), (self.pixels,), found.device)] + b * label[b].numel()
                drawn.append(torch.stack((index, torch.full_like(index, b), torch.full_like(index, c))))
        return cast(tuple[torch.Tensor, torch.Tensor, torch.Tensor], torch.cat(drawn, dim=1).unbind())

    def contrast_of(
        self,
        anchors: torch.Tensor,
        view: torch.Tensor,
        row: torch.Tensor,
        category: torch.Tensor,
        regions: torch.Tensor,
        source_like: torch.Tensor,
        target_specific: torch.Tensor,
    ) -> torch.Tensor:
        """Mean adaptive contrastive loss.

        Args:
            anchors: unit features, N x K.
            view: unit features of the same pixels in the other view, N x K.
            row: each anchor's photograph in the memory, N.
            category: each anchor's class, N.
            regions: the memory, R x 3 x K.
            source_like: which regions are source-like, R x 3 booleans.
            target_specific: which regions are target-specific, R x 3 booleans.
        """
        known = source_like | target_specific
        classes = torch.arange(HEAD_CLASSES, device=row.device).expand(len(regions), HEAD_CLASSES)
        centroids = _group_means(regions, source_like)
        candidates = torch.cat((centroids, regions[target_specific]))
        of_class = torch.cat((classes[0], classes[target_specific]))
        absent = torch.cat((~source_like.any(dim=0), torch.zeros_like(of_class[HEAD_CLASSES:], dtype=torch.bool)))
        left_out = absent | (of_class == category[:, None])
        negative = (anchors @ candidates.T).masked_fill(left_out, -torch.inf)

        count = min(self.neighbours, int(known.sum()))
        nearest = (view @ regions[known].T).topk(count, dim=1).indices
        local = view + regions[row, category] + regions[known][nearest].sum(dim=1)
        positive = torch.where(
            source_like[row, category],
            (anchors * centroids[category]).sum(dim=1),
            (anchors * local).sum(dim=1) / (count + 2),
        )
        return info_nce(positive, negative, self.temperature).mean()

    def discrepancy_of(
        self,
        anchors: torch.Tensor,
        row: torch.Tensor,
        category: torch.Tensor,
        regions: torch.Tensor,
        source_like: torch.Tensor,
        target_specific: torch.Tensor,
    ) -> torch.Tensor:
        """Mean discrepancy over the anchors of classes that have both kinds of regions; see ``contrast_of``."""
        means = torch.stack((_group_means(regions, source_like), _group_means(regions, target_specific)))
        both = (source_like.any(dim=0) & target_specific.any(dim=0))[category]
        if not both.any():
            return anchors.sum() * 0
        own = (~source_like[row, category]).long()
        values = exponential_discrepancy(anchors, means[own, category], means[1 - own, category], self.temperature)
        return values[both].mean()


def _group_means(regions: torch.Tensor, group: torch.Tensor) -> torch.Tensor:
    """Mean of regions (R x 3 x K) over a group (R x 3) for each class, 3 x K; 0 for a class without any."""
    weight = group.to(regions)
    return torch.einsum("rck,rc->ck", regions, weight) / weight.sum(dim=0).clamp(min=1)[:, None]
