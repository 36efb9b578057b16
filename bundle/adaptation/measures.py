"""Measures of a model on a target that need no labels, averaged over its photographs."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from typing import Any, cast

import ignite.distributed as idist
import torch
from ignite.engine import Engine, Events

from bundle.handlers.validation import spread
from bundle.networks.nested_classes import CLASSES, nested_probabilities

__all__ = ["MeasuresWithoutLabels", "measured_names"]


def measured_names(items: Sequence[Mapping[str, Any]], most: int | None) -> list[str]:
    """Names of the photographs that are measured, spread evenly over a folder: so the time does not grow with it.

    Args:
        items: the photographs, with ``name``.
        most: largest number of names, at least 1; None for all.

    Example:
        >>> measured_names([{"name": name} for name in "abcdef"], 3)
        ['a', 'c', 'e']
    """
    chosen = range(len(items)) if most is None else spread(len(items), most)
    return [items[index]["name"] for index in chosen]


class MeasuresWithoutLabels:
    """Ignite handler for ``AgreementEvaluator`` that averages measures without labels over the target's photographs.

    The means also go to ``engine.state.metrics``, as scalars called ``predicted_dice_optic_disc`` and so on.

    Args:
        gather: whether each of several processes evaluates a share of the photographs; False if only one process
            evaluates.

    Attributes:
        summary: ``predicted_dice`` of disc and cup (agreement of the views, or of the passes if there are no views) and
            ``pass_agreement``, both in [0, 1], the latter None for a network without a head; ``entropy`` (nats per
            pixel); ``area_share``, the shares of the view that disc and cup cover, in [0, 1]; ``uncertainty``, the
            median of the uncertainties that inference reports; and the number of ``photographs``. Without photographs,
            all but the number are NaN.

    Example:
        >>> output = {"pred": torch.zeros(3, 4, 4), "agreement": torch.tensor([0.75, 0.5])}
        >>> engine = Engine(lambda engine, batch: [{**output, "expected_dice": torch.tensor([0.75, 0.5])}])
        >>> MeasuresWithoutLabels().attach(engine)
        >>> engine.run([0]).metrics["predicted_dice_optic_cup"]
        0.5
    """

    def __init__(self, gather: bool = True) -> None:
        self.gather = gather
        self.rows: list[list[float]] = []
        self.summary: dict[str, Any] = {}

    def attach(self, engine: Engine) -> None:
        """Attach the handler to an engine."""
        engine.add_event_handler(Events.EPOCH_STARTED, self.rows.clear)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self.collect)
        engine.add_event_handler(Events.EPOCH_COMPLETED, self.summarise)

    def collect(self, engine: Engine) -> None:
        """Collect the measures of one batch."""
        for output in engine.state.output or []:  # type: ignore[union-attr]
            logits = torch.as_tensor(output["pred"])[None]
            p = logits.softmax(dim=1)
            entropy = -(p * p.clamp(min=1e-12).log()).sum(dim=1).mean()
            share = (nested_probabilities(logits) > 0.5).float().mean(dim=(0, 2, 3))
            # A network without a head has no stochastic passes.
            passes = output.get("agreement", torch.full((2,), math.nan))
            predicted = output.get("view_agreement", passes)
            uncertainty = 1 - float(min(output["expected_dice"]))
            self.rows.append([*predicted.tolist(), *passes.tolist(), entropy.item(), *share.tolist(), uncertainty])

    def summarise(self, engine: Engine) -> None:
        """Average over the photographs of all processes."""
        shares = cast(list, idist.all_gather(self.rows)) if self.gather else [self.rows]
        rows = [row for share in shares for row in share]
        count = len(rows)
        means = [math.fsum(column) / count for column in zip(*rows, strict=True)] if count else [math.nan] * 8
        self.summary = {
            "predicted_dice": dict(zip(CLASSES, means[:2], strict=True)),
            "pass_agreement": {
                name: None if count and math.isnan(mean) else mean
                for name, mean in zip(CLASSES, means[2:4], strict=True)
            },
            "entropy": means[4],
            "area_share": dict(zip(CLASSES, means[5:7], strict=True)),
            "uncertainty": statistics.median(row[7] for row in rows) if count else math.nan,
            "photographs": count,
        }
        if count:
            for name, value in self.summary.items():
                parts = value if isinstance(value, dict) else {"": value}
                numbers = {f"{name}_{part}".rstrip("_"): number for part, number in parts.items()}
                engine.state.metrics |= {key: number for key, number in numbers.items() if number is not None}
