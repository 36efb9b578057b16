"""The forward pass of adaptation, and the batch that it takes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from monai.data import MetaTensor
from monai.inferers import Inferer
from monai.utils import CommonKeys
from torch.nn.parallel import DistributedDataParallel

from bundle.networks.head import HeadInput
from bundle.networks.outputs import AdaptationOutput
from bundle.networks.unet import DiscCupUNet
from bundle.transforms.pseudo_labels import PSEUDO_LABEL
from bundle.uncertainty.view_consensus import ViewConsensus

__all__ = ["AdaptationInferer", "prepare_batch"]


def prepare_batch(
    batch: Mapping[str, Any], device: torch.device | None = None, non_blocking: bool = False, **kwargs: Any
) -> tuple[torch.Tensor, dict[str, Any], tuple, dict[str, Any]]:
    """Image and target of an adaptation batch, and the target once more for ``AdaptationInferer``.

    The target holds whichever of ``label``, ``mask``, ``probability`` and ``weak`` the batch has, and ``name``.
    """

    def plain(value: Any) -> torch.Tensor:
        value = value.as_tensor() if isinstance(value, MetaTensor) else value
        return value.to(device, non_blocking=non_blocking, **kwargs)

    target: dict[str, Any] = {key: plain(batch[key]) for key in (*PSEUDO_LABEL, "weak") if key in batch}
    target["name"] = batch.get("name")
    return plain(batch[CommonKeys.IMAGE]), target, (), {"targets": target}


class AdaptationInferer(Inferer):
    """Forward pass that also keeps F, for losses on features.

    Args:
        teacher: a second network, in evaluation mode and without gradients, that sees the same photographs before their
            colours were changed (the target's ``weak``); None for a recipe that has none.
        consensus: makes the teacher's logits out of several views; None takes one look.
    """

    def __init__(self, teacher: DiscCupUNet | None = None, consensus: ViewConsensus | None = None) -> None:
        super().__init__()
        self.teacher = teacher
        self.consensus = consensus

    def __call__(  # type: ignore[override]
        self, inputs: torch.Tensor, network: DiscCupUNet, targets: Mapping[str, Any] | None = None, *_: Any, **__: Any
    ) -> AdaptationOutput:
        plain = network.module if isinstance(network, DistributedDataParallel) else network
        with HeadInput(plain) as head_input:
            logits = network(inputs)
        taught = None
        if self.teacher is not None:
            weak = (targets or {})["weak"]
            self.teacher.eval()
            with torch.no_grad():
                if self.consensus is None:
                    known = self.teacher.features(weak)
                    answer = self.teacher.segmentation_head(known)
                else:
                    answer = self.consensus(weak, self.teacher)
                    known = answer[:, :0]
                taught = AdaptationOutput(self.teacher, weak, known, answer)
        return AdaptationOutput(plain, inputs, head_input.features, logits, taught)
