"""An Ignite handler that measures how far a student agrees with its teacher and its pseudo-labels."""

from __future__ import annotations

from typing import Any

import torch
from ignite.engine import Engine, Events
from monai.engines.utils import IterationEvents
from monai.metrics import compute_dice
from monai.utils import CommonKeys

from bundle.networks.nested_classes import CLASSES, nested_probabilities
from bundle.networks.outputs import AdaptationOutput

__all__ = ["TeachingAgreement", "structures"]


class TeachingAgreement:
    """Ignite handler that measures how far a student agrees with its teacher and its pseudo-labels in each epoch.

    The handler compares outputs that training computes anyway and runs no network itself. The student's output is that
    of training: for photographs with changed colours, and with active dropout. ``engine.state.metrics`` receives the
    means over the epoch's photographs, in [0, 1]: ``teacher_agreement_<structure>`` (Dice with the mean teacher) if the
    recipe has a teacher, and ``label_agreement_<structure>`` (Dice with the pseudo-label) if it has pseudo-labels. Two
    empty structures count as full agreement.

    Attach it before ``KeepLoss``.

    Example:
        >>> images, features = torch.zeros(1, 3, 4, 4), torch.zeros(1, 8, 4, 4)
        >>> cup = torch.zeros(1, 3, 4, 4)
        >>> cup[:, 2] = 9  # disc and cup everywhere
        >>> output = AdaptationOutput(torch.nn.Identity(), images, features, cup)
        >>> label = torch.tensor([1.0, 0.0])[None, :, None, None].expand(1, 2, 4, 4)  # a disc without a cup
        >>> trainer = Engine(lambda engine, batch: None)
        >>> trainer.state.output = {"pred": output, "label": {"label": label}}
        >>> agreement = TeachingAgreement()
        >>> agreement.collect(trainer)
        >>> agreement.summarise(trainer)
        >>> trainer.state.metrics
        {'label_agreement_optic_disc': 1.0, 'label_agreement_optic_cup': 0.0}
    """

    def __init__(self) -> None:
        self.rows: list[dict[str, torch.Tensor]] = []

    def attach(self, engine: Engine) -> None:
        """Attach the handler to an engine."""
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
        # Without ignore_empty=False MONAI does not give two empty structures a Dice of 1.
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
    """Masks of disc and cup, B x 2 x W x H of 0 and 1, from logits B x 3 x W x H.

    Example:
        >>> structures(torch.tensor([0.0, 9.0, 0.0])[None, :, None, None]).flatten()  # rim: disc, but not cup
        tensor([1., 0.])
    """
    return (nested_probabilities(logits) > 0.5).float()
