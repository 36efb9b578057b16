"""Engines of one iteration."""

from __future__ import annotations

from typing import Any

import torch
from ignite.engine import Engine
from monai.engines.utils import IterationEvents

from bundle.networks.outputs import AdaptationOutput
from tests.support.losses import NO_NETWORK


def one_batch(student: torch.Tensor, teacher: AdaptationOutput | None, target: dict[str, Any]) -> Engine:
    """An engine whose single iteration gives a batch as an adaptation does.

    Args:
        student: logits, B x 3 x W x H.
        teacher: what the mean teacher gave, where there is one.
        target: what the losses compare with.
    """
    output = AdaptationOutput(NO_NETWORK, student, student, student, teacher)

    def iterate(engine: Any, _: Any) -> Any:
        engine.state.output = {"label": target, "pred": output, "loss": torch.tensor(0.25, requires_grad=True)}
        engine.fire_event(IterationEvents.MODEL_COMPLETED)
        return engine.state.output

    engine = Engine(iterate)
    engine.register_events(*IterationEvents)
    return engine
