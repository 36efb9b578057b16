"""Losses of two peers that align features with prototypes and contrast them: the recipes ``pfa`` and ``dac``.

``pfa`` is Yu et al., "Source-free domain adaptation for medical image segmentation via prototype-anchored feature
alignment and contrastive learning" (MICCAI 2023, arXiv 2307.09769): ``TransportLoss``, then ``ContrastLoss``. ``dac``
is Zhang et al., "Divide and contrast" (NeurIPS 2022, arXiv 2211.06612), carried over from pictures to pixels:
``DivideAndContrastLoss``. Both are re-implemented; where they differ from what was published, the classes say so.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import product
from typing import Any, cast

import torch
from torch import nn
from torch.nn import functional

from bundle.losses import AdaptationOutput, masked_mean
from bundle.passes import classifier_of

__all__ = [
    "ContrastLoss",
    "DivideAndContrastLoss",
    "TransportLoss",
    "exponential_discrepancy",
    "info_nce",
    "transport_costs",
]

CLASSES = 3  # background, rim, cup: the classes of the head, which share out the pixels between them


def transport_costs(
    features: torch.Tensor, prototypes: torch.Tensor, proportions: torch.Tensor, temperature: float
) -> tuple[torch.Tensor, torch.Tensor]:
    """Expected cosine distance of a transport from features to prototypes, and of one back.

    A feature goes to prototype c with probability softmax_c(mu_c f / temperature + log p_c); a prototype, drawn with
    probability p_c, goes to a feature with the probability of a softmax of mu_c f / temperature over all features.

    Args:
        features: f, N x K.
        prototypes: mu, C x K.
        proportions: p, C values that sum to 1.
        temperature: above 0.

    Returns:
        Two scalars in [0, 2].
    """
    similarity = features @ prototypes.T / temperature
    distance = 1 - functional.normalize(features) @ functional.normalize(prototypes).T
    there = (similarity + proportions.clamp(min=1e-6).log()).softmax(dim=1)
    back = similarity.softmax(dim=0)
    return (there * distance).sum(dim=1).mean(), ((back * distance).sum(dim=0) * proportions).sum()


def info_nce(positive: torch.Tensor, negative: torch.Tensor, temperature: float) -> torch.Tensor:
    """-log of e^(s+ / t) / (e^(s+ / t) + sum of e^(s- / t)), the contrastive loss of each anchor.

    Args:
        positive: s+, an anchor's similarity to what it belongs to, N.
        negative: s-, its similarities to what it does not, N x M; -inf leaves one out.
        temperature: t, above 0.

    Returns:
        N values, at least 0.

    Example:
        >>> info_nce(torch.ones(1), torch.ones(1, 3), 0.1)  # log 4: nothing tells them apart
        tensor([1.3863])
    """
    logits = torch.cat((positive[:, None], negative), dim=1) / temperature
    return logits.logsumexp(dim=1) - logits[:, 0]


def exponential_discrepancy(
    anchors: torch.Tensor, own: torch.Tensor, other: torch.Tensor, temperature: float
) -> torch.Tensor:
    """The exponential form of the maximum mean discrepancy of DaC, of each anchor.

    -log of e^(f m_other / t) / (e^(f m_own / t) + e^(f m_other / t)), where m is the mean of a group's remembered
    features. Where both groups have the same mean it is log 2 and has no gradient.

    Args:
        anchors: f, N x K, of unit length.
        own: m of the group that each anchor belongs to, N x K.
        other: m of the other group, N x K.
        temperature: t, above 0.

    Returns:
        N values, at least 0.
    """
    return functional.softplus((anchors * (own - other)).sum(dim=1) / temperature)


class _Schedule(nn.Module):
    """A loss that knows in which epoch it is: by how often it has seen a photograph of the batch."""

    def __init__(self) -> None:
        super().__init__()
        self.visits: dict[str, int] = {}

    def epoch_of(self, names: Sequence[str]) -> int:
        """Count a visit of each photograph; the number of the epoch, from 1."""
        for name in names:
            self.visits[name] = self.visits.get(name, 0) + 1
        return max(self.visits[name] for name in names)

    def get_extra_state(self) -> dict[str, Any]:
        return {"visits": dict(self.visits)}

    def set_extra_state(self, state: dict[str, Any]) -> None:
        self.visits = dict(state["visits"])


def _grid(stride: int, width: int, height: int) -> tuple[slice, slice]:
    """Every ``stride``-th pixel of every ``stride``-th column, from a random one on."""
    x, y = (int(torch.randint(min(stride, size), ())) for size in (width, height))
    return slice(x, None, stride), slice(y, None, stride)


def _pixels(maps: torch.Tensor) -> torch.Tensor:
    """B x K x W x H as (B W H) x K."""
    return maps.permute(0, 2, 3, 1).flatten(0, 2)


def _guide(output: AdaptationOutput) -> AdaptationOutput:
    """Who labels the pixels: the mean teacher, where there is one."""
    return output if output.teacher is None else output.teacher


def _drawn(count: int, shape: tuple[int, ...], device: torch.device) -> torch.Tensor:
    """Random indices below ``count``, the same ones on every device."""
    return torch.randint(count, shape).to(device)


class TransportLoss(_Schedule):
    """First stage of ``pfa``: the mean of both transport costs between F and the classifier's weights.

    The weights of the pointwise classifier are the source's prototypes; they are constants of the loss. The proportions
    of the classes start alike and follow each batch's mean assignment at ``rate``. Published: temperature 0.1, both
    costs halved, all pixels, and a rate of 0.001, at which the few dozen steps of a recipe would estimate nothing.

    Args:
        temperature: of the assignments, above 0.
        rate: share of a batch in the proportions, in [0, 1].
        stride: of the grid of pixels that is used, randomly placed in each batch.
        last_epoch: the stage's last, after which the loss is 0; None for no end.
    """

    proportions: torch.Tensor

    def __init__(
        self, temperature: float = 0.1, rate: float = 0.1, stride: int = 4, last_epoch: int | None = None
    ) -> None:
        super().__init__()
        self.temperature = temperature
        self.rate = rate
        self.stride = stride
        self.last_epoch = last_epoch
        self.register_buffer("proportions", torch.full((CLASSES,), 1 / CLASSES))

    def forward(self, output: AdaptationOutput, target: Mapping[str, Any]) -> torch.Tensor:
        """Scalar in [0, 2]."""
        epoch = self.epoch_of(target["name"])
        if self.last_epoch is not None and epoch > self.last_epoch:
            return output.features.sum() * 0
        x, y = _grid(self.stride, *output.features.shape[2:])
        features = _pixels(output.features[:, :, x, y])
        prototypes = classifier_of(output.network.segmentation_head).weight.detach().flatten(1)
        before = self.proportions.to(features)
        with torch.no_grad():
            assignment = (features @ prototypes.T / self.temperature + before.clamp(min=1e-6).log()).softmax(dim=1)
        self.proportions = before.lerp(assignment.mean(dim=0), self.rate)
        there, back = transport_costs(features, prototypes, self.proportions, self.temperature)
        return (there + back) / 2


class ContrastLoss(_Schedule):
    """Second stage of ``pfa``: pixels of a class against its mean and against unreliable pixels that are not of it.

    Pixels are labelled by the mean teacher, or by the network itself where there is none. In each class, those of the
    largest entropy are unreliable and those below another share are reliable. For each class, anchors are drawn from
    its reliable pixels, the positive is their mean feature, and negatives are drawn from a queue of unreliable pixels
    to which the class is the least probable one. The loss is the mean of ``info_nce`` of cosine similarities over the
    classes that have both; one without, such as an absent cup, is passed over.

    Published: a frozen copy of the first stage's network labels the pixels, and the unreliable share falls from 20 % to
    0 over the stage (for background, from 5 %), with everything up to 10 % below it reliable; here its mean, 10 %, is
    kept, as a loss does not know how long the stage lasts. Temperature 0.1 and both numbers are published.

    Args:
        temperature: of the contrast, above 0.
        queries: anchors a class.
        negatives: negatives an anchor.
        unreliable: share of each class's pixels that are unreliable, in (0, 1).
        reliable: share of each class's pixels that are reliable, in (0, 1 - unreliable].
        queue: how many unreliable pixels of each class are remembered.
        stride: of the grid of pixels that is used, randomly placed in each batch.
        first_epoch: the stage's first, before which the loss is 0.
    """

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
        self.remembered: list[torch.Tensor] = [torch.zeros(0) for _ in range(CLASSES)]

    def get_extra_state(self) -> dict[str, Any]:
        return super().get_extra_state() | {"remembered": [keys.clone() for keys in self.remembered]}

    def set_extra_state(self, state: dict[str, Any]) -> None:
        super().set_extra_state(state)
        self.remembered = [keys.clone() for keys in state["remembered"]]

    def forward(self, output: AdaptationOutput, target: Mapping[str, Any]) -> torch.Tensor:
        """Scalar, at least 0; 0, and still differentiable, where no class can be contrasted."""
        if self.epoch_of(target["name"]) < self.first_epoch:
            return output.features.sum() * 0
        guide = _guide(output)
        x, y = _grid(self.stride, *output.features.shape[2:])
        features = functional.normalize(_pixels(output.features[:, :, x, y]))
        with torch.no_grad():
            known = guide.features[:, :, x, y]
            probability = _pixels(classifier_of(guide.network.segmentation_head)(known).softmax(dim=1))
            keys = _pixels(known)
            label = probability.argmax(dim=1)
            reliable, unreliable = self.divide(probability, label)
            self.remember(keys, unreliable, probability.argmin(dim=1))
        losses = []
        for c in range(CLASSES):
            anchors, queue = (reliable & (label == c)).nonzero()[:, 0], self.remembered[c]
            if not len(anchors) or not len(queue):
                continue
            with torch.no_grad():
                centre = functional.normalize(keys[anchors].mean(dim=0), dim=0)
                negative = functional.normalize(
                    queue[_drawn(len(queue), (self.queries, self.negatives), queue.device)], dim=2
                )
            anchor = features[anchors[_drawn(len(anchors), (self.queries,), anchors.device)]]
            negatives = torch.einsum("nk,nmk->nm", anchor, negative)
            losses.append(info_nce(anchor @ centre, negatives, self.temperature).mean())
        return torch.stack(losses).mean() if losses else output.features.sum() * 0

    def divide(self, probability: torch.Tensor, label: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Which of N pixels (N x 3 probabilities) are reliable and which unreliable, among those of the same label."""
        entropy = -(probability * probability.clamp(min=1e-12).log()).sum(dim=1)
        reliable, unreliable = torch.zeros_like(label, dtype=torch.bool), torch.zeros_like(label, dtype=torch.bool)
        for c in range(CLASSES):
            own = label == c
            if own.any():
                low, high = entropy[own].quantile(entropy.new_tensor([self.reliable, 1 - self.unreliable]))
                reliable |= own & (entropy <= low)
                unreliable |= own & (entropy > high)
        return reliable, unreliable

    def remember(self, keys: torch.Tensor, unreliable: torch.Tensor, least: torch.Tensor) -> None:
        """Put unreliable keys (of N x K) behind the queue of their least probable class; the oldest drop out."""
        for c in range(CLASSES):
            new = keys[unreliable & (least == c)]
            old = self.remembered[c].to(new)
            self.remembered[c] = torch.cat((old, new) if len(old) else (new,))[-self.queue :]


class DivideAndContrastLoss(_Schedule):
    """The loss of ``dac``: self-training, adaptive contrast and alignment of the two halves of the target.

    What was a picture of a class is here one class's region in one photograph. Its mean feature, of unit length, is
    remembered under the photograph's name and updated with momentum; its mean confidence (the largest probability) puts
    it among the *source-like* regions, at or above the median of its class, or the *target-specific* ones, below.
    Labels, confidences and memory come from the mean teacher's view of the unchanged colours, or from the network
    itself where there is none. From each region, pixels are drawn as anchors:

    * contrast: an anchor of a source-like region against the mean of its class's source-like regions; one of a
      target-specific region against the mean of the same pixel in the other view, its own region and the nearest
      remembered regions. Negatives are the source-like means and the target-specific regions of the other classes;
    * discrepancy: ``exponential_discrepancy`` of every anchor to the regions of its class in the other half;
    * self-training: cross-entropy to the labels, all pixels.

    In the first epoch the memory fills, and only self-training is on, as published. Published too: temperature 0.05,
    momentum 0.2, 5 neighbours, weights 1 and 0.3 of contrast and discrepancy, and 0.39 of self-training for each of
    three views, of which one has a gradient here. Different: the median stands for a confidence of 0.97, which this
    network may exceed everywhere or nowhere; regions of the anchor's own class are no negatives, as with three classes
    they would be a third of all; labels are the network's, not of a clustering; the term that makes all classes equally
    frequent is left out, as a cup is not as large as the background.

    Args:
        self_training: weight of the cross-entropy, at least 0.
        contrast: weight of the contrast, at least 0.
        discrepancy: weight of the discrepancy, at least 0.
        temperature: of contrast and discrepancy, above 0.
        momentum: share of the old feature in the memory, in [0, 1).
        neighbours: how many of the nearest regions an anchor of a target-specific region is drawn to.
        pixels: anchors a region.
        first_epoch: from which contrast and discrepancy are on.
    """

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
        return super().get_extra_state() | {"memory": {name: region.clone() for name, region in self.memory.items()}}

    def set_extra_state(self, state: dict[str, Any]) -> None:
        super().set_extra_state(state)
        self.memory = {name: region.clone() for name, region in state["memory"].items()}

    def forward(self, output: AdaptationOutput, target: Mapping[str, Any]) -> torch.Tensor:
        """Scalar, at least 0."""
        names = target["name"]
        epoch = self.epoch_of(names)
        guide = _guide(output)
        with torch.no_grad():
            probability = classifier_of(guide.network.segmentation_head)(guide.features).softmax(dim=1)
            confidence, label = probability.max(dim=1)
            self.remember(names, guide.features, label, confidence)
        loss = self.self_training * functional.cross_entropy(output.logits, label)
        if epoch < self.first_epoch:
            return loss
        index, photograph, category = self.draw(label)
        anchors = functional.normalize(_pixels(output.features)[index])
        with torch.no_grad():
            view = functional.normalize(_pixels(guide.features)[index])
            regions, source_like, target_specific = self.divide(view)
            position = {name: row for row, name in enumerate(self.memory)}
            row = torch.tensor([position[name] for name in names], device=index.device)[photograph]
        contrast = self.contrast_of(anchors, view, row, category, regions, source_like, target_specific)
        discrepancy = self.discrepancy_of(anchors, row, category, regions, source_like, target_specific)
        return loss + self.contrast * contrast + self.discrepancy * discrepancy

    def remember(
        self, names: Sequence[str], features: torch.Tensor, label: torch.Tensor, confidence: torch.Tensor
    ) -> None:
        """Bring the memory up to date with a batch: features B x K x W x H, label and confidence B x W x H."""
        means, levels = [], []
        for c in range(CLASSES):
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
        """Anchors of each region of B x W x H labels: index among all pixels, photograph and class, N each."""
        drawn = []
        for b, c in product(range(len(label)), range(CLASSES)):
            found = (label[b] == c).flatten().nonzero()[:, 0]
            if len(found):
                index = found[_drawn(len(found), (self.pixels,), found.device)] + b * label[b].numel()
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
            view: those of the same pixels in the other view, N x K.
            row: each anchor's photograph in the memory, N.
            category: each anchor's class, N.
            regions: the memory, R x 3 x K.
            source_like: R x 3.
            target_specific: R x 3.
        """
        known = source_like | target_specific
        classes = torch.arange(CLASSES, device=row.device).expand(len(regions), CLASSES)
        centroids = _group_means(regions, source_like)
        candidates = torch.cat((centroids, regions[target_specific]))
        of_class = torch.cat((classes[0], classes[target_specific]))
        absent = torch.cat((~source_like.any(dim=0), torch.zeros_like(of_class[CLASSES:], dtype=torch.bool)))
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
        """Mean discrepancy over the anchors of classes that have both kinds of regions; arguments as above."""
        means = torch.stack((_group_means(regions, source_like), _group_means(regions, target_specific)))
        both = (source_like.any(dim=0) & target_specific.any(dim=0))[category]
        if not both.any():
            return anchors.sum() * 0
        own = (~source_like[row, category]).long()
        values = exponential_discrepancy(anchors, means[own, category], means[1 - own, category], self.temperature)
        return values[both].mean()


def _group_means(regions: torch.Tensor, group: torch.Tensor) -> torch.Tensor:
    """Mean over the group (R x 3) of R x 3 x K, for each class: 3 x K; 0 where a class has none."""
    weight = group.to(regions)
    return torch.einsum("rck,rc->ck", regions, weight) / weight.sum(dim=0).clamp(min=1)[:, None]
