"""The supervised loss, for labels that may leave a structure out."""

from __future__ import annotations

import torch
from monai.losses import DiceLoss
from torch import nn

from bundle.data.partial_labels import ALLOWED, NOT_CUP, RIM_OR_CUP, UNLABELLED, hard_label
from bundle.data.soft_labels import SHARE_SETS, is_soft, shares_of

__all__ = ["PartialDiceCELoss"]

CLASSES = 3


class PartialDiceCELoss(nn.Module):
    """Dice plus cross-entropy, the sum that MONAI's ``DiceCELoss`` is, over what a label tells.

    Where a label leaves two classes open, the probability that counts is the sum of both (the marginal loss of Shi et
    al., Medical Image Analysis 70, 2021); an unlabelled pixel counts for nothing, and a photograph without a labelled
    pixel adds zero to both sums. With labels of background, rim and cup alone, the loss is
    ``DiceCELoss(to_onehot_y=True, softmax=True)``.

    Where readers disagree (``bundle.data.soft_labels``), the cross-entropy is the mean over the readers, and Dice is
    taken of their shares, in the form that is smallest where the prediction equals them (``soft_label`` of MONAI's
    ``DiceLoss``; Wang et al., MICCAI 2023).

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
        self.soft_dice = DiceLoss(reduction="none", soft_label=True)
        allowed = torch.zeros(256, CLASSES, dtype=torch.bool)
        for value, classes in ALLOWED.items():
            allowed[value, list(classes)] = True
        self.register_buffer("allowed", allowed, persistent=False)

    def forward(self, logits: torch.Tensor, label: torch.Tensor) -> torch.Tensor:
        """The loss of logits (B x 3 x W x H) for labels (B x 1 x W x H, values of ``ALLOWED``, or shares), a scalar."""
        soft = label[:, 0]
        values = hard_label(soft).long()
        allowed = self.allowed[values].movedim(-1, 1)
        log_probability = logits.float().log_softmax(dim=1)
        closed = log_probability.masked_fill(~allowed, -torch.inf).logsumexp(dim=1)
        told = torch.where(values == UNLABELLED, 0.0, closed)
        if is_soft(soft).any():
            sets = torch.stack([log_probability[:, list(classes)].logsumexp(dim=1) for classes in SHARE_SETS])
            told = torch.where(is_soft(soft), (shares_of(soft) * sets).sum(dim=0), told)
        return self.lambda_dice * self._dice(log_probability.exp(), values, soft) - self.lambda_ce * told.mean()

    def _dice(self, probability: torch.Tensor, values: torch.Tensor, soft: torch.Tensor) -> torch.Tensor:
        """Mean Dice loss over the photographs and, of each, over the classes that its label keeps apart."""
        losses = []
        for p, label, shares in zip(probability, values, soft, strict=True):
            known = label != UNLABELLED
            groups = [(0, 1), (2,)] if (label == NOT_CUP).any() else [(0,), (1,), (2,)]
            if (label == RIM_OR_CUP).any():
                groups = [(0,), (1, 2)]
            wanted = (torch.stack([self._within(label, group) for group in groups]) * known).to(p)
            predicted = torch.stack([p[list(group)].sum(dim=0) for group in groups]) * known
            dice = self.dice
            if is_soft(shares).any():
                dice, of_readers = self.soft_dice, torch.stack([_share_within(shares, group) for group in groups])
                wanted = torch.where(is_soft(shares), of_readers, wanted)
            losses.append(dice(predicted[None], wanted[None]).mean() * known.any())
        return torch.stack(losses).mean()

    def _within(self, label: torch.Tensor, group: tuple[int, ...]) -> torch.Tensor:
        """Pixels all of whose allowed classes belong to a group, W x H."""
        others = [c for c in range(CLASSES) if c not in group]
        return ~self.allowed[label][..., others].any(dim=-1)


def _share_within(label: torch.Tensor, group: tuple[int, ...]) -> torch.Tensor:
    """Share of the readers who say that a pixel belongs to a group, W x H."""
    pairs = zip(shares_of(label), SHARE_SETS, strict=True)
    return torch.stack([share for share, classes in pairs if set(classes) <= set(group)]).sum(dim=0)
