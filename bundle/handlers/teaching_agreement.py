"""An Ignite handler: how far a student agrees with its teacher."""

from __future__ import annotations

from typing import Any

import torch
from ignite.engine import Engine, Events
from monai.engines.utils import IterationEvents
from monai.metrics import compute_dice
from monai.utils import CommonKeys

from bundle.networks.nested_classes import CLASSES, nested_probabilities
from bundle.networks.outputs import AdaptationOutput

__all__ = ["TeachingAgreement"]


class TeachingAgreement:
    """Ignite handler: how far what is trained agrees with what teaches it, averaged over an epoch's photographs.

    It compares what training computes anyway and runs no network. The student's side is what it says in training: of
    photographs with changed colours, its dropout on. ``engine.state.metrics`` receives, in [0, 1],
    ``teacher_agreement_<structure>`` (Dice with the mean teacher's structure) where the recipe has a teacher, and
    ``label_agreement_<structure>`` (Dice with the pseudo-label) where it has pseudo-labels; two empty ones agree.

    Attach it before ``KeepLoss``.
    """

    def __init__(self) -> None:
        self.rows: list[dict[str, torch.Tensor]] = []

    def attach(self, engine: Engine) -> None:
        engine.add_event_handler(Events.EPOCH_STARTED, self.rows.clear)
        engine.add_event_handler(IterationEvents.MODEL_COMPLETED, self.collect)
        engine.add_event_handler(Events.EPOCH_COMPLETED, self.summarise)

    @torch.no_grad()
    def collect(self, engine: Engine) -> None:
        """Compare one batch."""
        state: Any = engine.state.output
        output: AdaptationOutput = state[CommonKeys.PRED]
        others = {}
        if output.teacher is not None:
            others["teacher"] = structures(output.teacher.logits)
        if "label" in state[CommonKeys.LABEL]:
            others["label"] = state[CommonKeys.LABEL]["label"]
        own = structures(output.logits)
        # MONAI gives an empty prediction of an empty structure a Dice of 1 only if it is told not to ignore it.
        found = {name: compute_dice(own, other.to(own), ignore_empty=False) for name, other in others.items()}
        self.rows.append(found)

    def summarise(self, engine: Engine) -> None:
        """Average over the photographs."""
        for kind in self.rows[0] if self.rows else ():
            means = torch.cat([row[kind] for row in self.rows]).mean(dim=0)
            engine.state.metrics |= {
                f"{kind}_agreement_{name}": float(value) for name, value in zip(CLASSES, means, strict=True)
            }


def structures(logits: torch.Tensor) -> torch.Tensor:
    """Masks of disc and cup, B x 2 x W x H of 0 and 1, from logits B x 3 x W x H."""
    return (nested_probabilities(logits) > 0.5).float()
