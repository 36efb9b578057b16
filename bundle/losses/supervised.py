"""The supervised loss, for labels that may leave a structure out."""

from __future__ import annotations

import torch
from monai.losses import DiceLoss
from torch import nn

from bundle.data.partial_labels import ALLOWED, NOT_CUP, RIM_OR_CUP, UNLABELLED

__all__ = ["PartialDiceCELoss"]

CLASSES = 3


class PartialDiceCELoss(nn.Module):
    """Dice plus cross-entropy, the sum that MONAI's ``DiceCELoss`` is, over what a label tells.

    Where a label leaves two classes open, the probability that counts is the sum of both (the marginal loss of Shi et
    al., Medical Image Analysis 70, 2021); an unlabelled pixel counts for nothing, and a photograph without a labelled
    pixel adds zero to both sums. With labels of background, rim and cup alone, the loss is
    ``DiceCELoss(to_onehot_y=True, softmax=True)``.

    Args:
        lambda_dice: weight of the Dice loss.
        lambda_ce: weight of the cross-entropy.

    Example:
        >>> logits = torch.tensor([0.0, 30.0, 30.0]).reshape(1, 3, 1, 1).expand(1, 3, 4, 4)
        >>> disc = torch.full((1, 1, 4, 4), RIM_OR_CUP)
        >>> float(PartialDiceCELoss()(logits, disc)) < 1e-3  # rim or cup: the label does not say which
        True
    """

    allowed: torch.Tensor

    def __init__(self, lambda_dice: float = 1.0, lambda_ce: float = 1.0) -> None:
        super().__init__()
        self.lambda_dice = lambda_dice
        self.lambda_ce = lambda_ce
        self.dice = DiceLoss(reduction="none")
        allowed = torch.zeros(256, CLASSES, dtype=torch.bool)
        for value, classes in ALLOWED.items():
            allowed[value, list(classes)] = True
        self.register_buffer("allowed", allowed, persistent=False)

    def forward(self, logits: torch.Tensor, label: torch.Tensor) -> torch.Tensor:
        """The loss of logits (B x 3 x W x H) for labels (B x 1 x W x H, values of ``ALLOWED``), a scalar."""
        values = label[:, 0].long()
        allowed = self.allowed[values].movedim(-1, 1)
        log_probability = logits.float().log_softmax(dim=1)
        closed = log_probability.masked_fill(~allowed, -torch.inf).logsumexp(dim=1)
        cross_entropy = -torch.where(values == UNLABELLED, 0.0, closed).mean()
        return self.lambda_dice * self._dice(log_probability.exp(), values) + self.lambda_ce * cross_entropy

    def _dice(self, probability: torch.Tensor, values: torch.Tensor) -> torch.Tensor:
        """Mean Dice loss over the photographs and, of each, over the classes that its label keeps apart."""
        losses = []
        for p, label in zip(probability, values, strict=True):
            known = label != UNLABELLED
            groups = [(0, 1), (2,)] if (label == NOT_CUP).any() else [(0,), (1,), (2,)]
            if (label == RIM_OR_CUP).any():
                groups = [(0,), (1, 2)]
            wanted = torch.stack([self._within(label, group) for group in groups]) * known
            predicted = torch.stack([p[list(group)].sum(dim=0) for group in groups]) * known
            losses.append(self.dice(predicted[None], wanted[None].to(p)).mean() * known.any())
        return torch.stack(losses).mean()

    def _within(self, label: torch.Tensor, group: tuple[int, ...]) -> torch.Tensor:
        """Pixels all of whose allowed classes belong to a group, W x H."""
        others = [c for c in range(CLASSES) if c not in group]
        return ~self.allowed[label][..., others].any(dim=-1)
