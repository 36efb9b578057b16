"""A step of two processes is that of one: loss, gradient, norm statistics and dropout."""

from __future__ import annotations

import ignite.distributed as idist
import pytest
import torch
from torch import nn

from bundle.distributed.collect import finish
from bundle.distributed.loss import GlobalBatchLoss
from bundle.distributed.network import parallel
from bundle.networks.outputs import AdaptationOutput


class Layers(nn.Module):
    """Everything that looks at the batch as a whole, with the head's place where ``AdaptationInferer`` expects it."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8, momentum=0.3), nn.ReLU())
        self.segmentation_head = nn.Sequential(nn.Dropout2d(0.5), nn.Conv2d(8, 3, 1))

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        return self.segmentation_head(self.body(inputs))


class Lopsided(nn.Module):
    """A loss that divides by what it counts in the batch, and sees output, teacher, target and names."""

    def forward(self, output: AdaptationOutput, target: dict) -> torch.Tensor:
        assert len(set(target["name"])) == len(target["name"]) == len(output.logits) == len(output.images)
        weight = target["mask"] * torch.tensor([float(len(name)) for name in target["name"]])[:, None, None, None]
        assert output.teacher is not None
        assert output.teacher.features.shape[0] == len(output.logits)
        difference = (output.logits - output.teacher.logits).square() + output.features.square().mean()
        return (difference * weight).sum() / weight.sum()


def one_step(rows: list[list[int]]) -> dict:
    """One step on five photographs, of which this process has ``rows[rank]``."""
    idist.initialize("gloo")
    torch.manual_seed(0)
    network = Layers().double()
    images = torch.randn(5, 3, 12, 10, dtype=torch.float64)
    mask = (torch.rand(5, 1, 10, 8) > 0.7).double()
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
    model: nn.Module = parallel(network, optimizer).train()
    torch.manual_seed(7)
    own = rows[idist.get_rank()]
    kept: list[torch.Tensor] = []
    network.segmentation_head.register_forward_pre_hook(lambda _, inputs: kept.append(inputs[0]))
    logits = model(images[own])
    teacher = AdaptationOutput(None, images[own], logits.detach()[:, :0], images[own, :, 1:-1, 1:-1])  # type: ignore
    output = AdaptationOutput(network, images[own], kept[0], logits, teacher)  # type: ignore[arg-type]
    target = {"mask": mask[own], "name": ["x" * (i + 1) for i in own]}
    loss = GlobalBatchLoss(Lopsided())(output, target)
    loss.backward()
    optimizer.step()
    finish()
    return {"loss": loss.item(), "state": {key: value.clone() for key, value in network.state_dict().items()}}


def test_a_step_is_that_of_one_process_whatever_the_shares(processes):
    """Loss, gradient, norm statistics and dropout of unequal shares, also where a row is in both: 1e-12 in doubles."""
    (one,) = processes(one_step, [[0, 1, 2, 3, 4]], count=1)
    for shares in ([[0, 1], [2, 3, 4]], [[0, 1, 2, 3], [4]]):
        for two in processes(one_step, shares):
            assert two["loss"] == pytest.approx(one["loss"], rel=1e-12)
            for key, value in one["state"].items():
                torch.testing.assert_close(two["state"][key], value, rtol=1e-10, atol=1e-12, msg=key)
