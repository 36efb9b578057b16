"""The forward pass of adaptation, and the preparation of its batches."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from monai.data import MetaTensor
from monai.inferers import Inferer
from monai.utils import CommonKeys
from torch.nn.parallel import DistributedDataParallel

from bundle.networks.head import HeadInput, has_head
from bundle.networks.outputs import AdaptationOutput
from bundle.networks.unet import DiscCupUNet
from bundle.transforms.pseudo_labels import PSEUDO_LABEL
from bundle.uncertainty.view_consensus import ViewConsensus

__all__ = ["AdaptationInferer", "prepare_batch"]


def prepare_batch(
    batch: Mapping[str, Any], device: torch.device | None = None, non_blocking: bool = False, **kwargs: Any
) -> tuple[torch.Tensor, dict[str, Any], tuple, dict[str, Any]]:
    """Split an adaptation batch into image and target, in the form that MONAI's trainers expect of ``prepare_batch``.

    Args:
        batch: ``image`` (B x 3 x W x H) and, where the recipe has them, ``label``, ``mask``, ``probability`` (B x 2 x W
            x H), ``weak`` (B x 3 x W x H) and ``name``.
        device: device to which the tensors are moved.
        non_blocking: see ``torch.Tensor.to``.
        kwargs: other arguments of ``torch.Tensor.to``.

    Returns:
        Image, target, and the positional and keyword arguments of the inferer: none, and the target as ``targets``.

    Example:
        >>> batch = {"image": torch.zeros(1, 3, 8, 8), "weak": torch.zeros(1, 3, 8, 8), "name": ["eye"]}
        >>> image, target, _, arguments = prepare_batch(batch)
        >>> sorted(target), arguments["targets"] is target
        (['name', 'weak'], True)
    """

    def plain(value: Any) -> torch.Tensor:
        value = value.as_tensor() if isinstance(value, MetaTensor) else value
        return value.to(device, non_blocking=non_blocking, **kwargs)

    target: dict[str, Any] = {key: plain(batch[key]) for key in (*PSEUDO_LABEL, "weak") if key in batch}
    target["name"] = batch.get("name")
    return plain(batch[CommonKeys.IMAGE]), target, (), {"targets": target}


class AdaptationInferer(Inferer):
    """Forward pass of the student and, if there is one, of its mean teacher; the features F are kept for the losses.

    The call returns an ``AdaptationOutput``.

    Args:
        teacher: a second network, run in evaluation mode and without gradients, which gets the same photographs before
            their colours were changed (the target's ``weak``); None in a recipe without one.
        consensus: averages the teacher's predictions from several views; None uses one forward pass.

    Example:
        >>> network = DiscCupUNet(backbone="efficientnet-lite0-small", decoder_channels=(16, 16, 8, 8)).eval()
        >>> output = AdaptationInferer()(torch.zeros(2, 3, 32, 32), network)
        >>> output.features.shape, output.logits.shape, output.teacher
        (torch.Size([2, 8, 32, 32]), torch.Size([2, 3, 32, 32]), None)
    """

    def __init__(self, teacher: DiscCupUNet | None = None, consensus: ViewConsensus | None = None) -> None:
        super().__init__()
        self.teacher = teacher
        self.consensus = consensus

    def __call__(  # type: ignore[override]
        self, inputs: torch.Tensor, network: DiscCupUNet, targets: Mapping[str, Any] | None = None, *_: Any, **__: Any
    ) -> AdaptationOutput:
        """Run the student and the teacher on a batch.

        Args:
            inputs: B x 3 x W x H.
            network: the student, bare or in PyTorch's wrapper for several processes.
            targets: the target that ``prepare_batch`` returns; only ``weak`` and ``name`` are used, and only with a
                teacher.
        """
        plain = network.module if isinstance(network, DistributedDataParallel) else network
        with HeadInput(plain) as head_input:
            logits = network(inputs)
        taught = None
        if self.teacher is not None:
            target = targets or {}
            weak = target["weak"]
            self.teacher.eval()
            with torch.no_grad():
                if self.consensus is None and has_head(self.teacher):
                    known = self.teacher.features(weak)
                    answer = self.teacher.segmentation_head(known)
                else:
                    names = target.get("name")
                    answer = self.consensus(weak, self.teacher, names=names) if self.consensus else self.teacher(weak)
                    known = answer[:, :0]
                taught = AdaptationOutput(self.teacher, weak, known, answer)
        features = head_input.features if has_head(plain) else logits[:, :0]
        return AdaptationOutput(plain, inputs, features, logits, taught)
