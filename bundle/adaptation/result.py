"""The result of an adaptation: the weights that are kept, and a record of how they were made."""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import ignite.distributed as idist
from torch import nn

from bundle.adaptation.measures import MeasuresWithoutLabels
from bundle.data.dataset import PhotographDataset
from bundle.handlers.divergence import DivergenceGuard
from bundle.io.files import atomic_write
from bundle.io.provenance import model_identity
from bundle.networks.nested_classes import CLASSES
from bundle.networks.notes import notes_of
from bundle.networks.weights import has_finite_weights, load_weights, save_weights
from bundle.uncertainty.scale import SCALE_NOTE, scale_of_change, uncertainty_scale

__all__ = ["AdaptationResult"]

logger = logging.getLogger(__name__)


class AdaptationResult:
    """Write the adapted weights, and ``adaptation.json``, which records how they were made and all measures.

    If the measures predict that the adaptation did harm, the source's weights are written instead; if training
    diverged, those of the last good epoch. The record (``kept`` and ``reason``) and the log then say so.

    Args:
        output_dir: receives ``model.pt``, whose notes hold the ``uncertainty_scale``, and ``adaptation.json``.
        network: the adapted network.
        facts: entries of the record besides the measures, such as recipe and seed.
        checkpoint: file with the source's weights.
        tolerance: harm is predicted if the predicted Dice of disc or cup falls by more than this; None ignores the
            predicted Dice, like published methods.
        collapse: independent of the tolerance, harm is predicted if background, disc or cup keeps less than this share
            of its area; in [0, 1]. The predicted Dice does not show this, because views that all miss a structure
            agree.
        least_disc: the source's weights are kept if the disc that they find covers on average a smaller share of the
            view than this, because the effect of the adaptation cannot be judged then; in [0, 1].
        guard: the handler that stops a diverging training; None if there was none.

    Example:
        >>> import tempfile
        >>> from types import SimpleNamespace
        >>> summary = {"predicted_dice": dict.fromkeys(CLASSES, 0.9), "area_share": dict.fromkeys(CLASSES, 0.2)}
        >>> before, after = (SimpleNamespace(summary=summary | {"uncertainty": u}) for u in (0.10, 0.08))
        >>> dataset, network = SimpleNamespace(unreadable={}, without_disc=set()), nn.Linear(1, 1)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     save_weights(network, f"{folder}/source.pt", {SCALE_NOTE: 1.0})
        ...     AdaptationResult(folder, network, {"recipe": "tent"}, f"{folder}/source.pt")(before, after, dataset)
        ...     record = json.loads(Path(folder, "adaptation.json").read_text())
        >>> record["recipe"], record["kept"], round(record["uncertainty_scale"], 2)
        ('tent', 'adapted', 0.8)
    """

    def __init__(
        self,
        output_dir: str | Path,
        network: nn.Module,
        facts: Mapping[str, Any],
        checkpoint: str | Path,
        tolerance: float | None = None,
        collapse: float = 0.1,
        least_disc: float = 0.01,
        guard: DivergenceGuard | None = None,
    ) -> None:
        self.output_dir = Path(output_dir)
        self.network = network
        self.facts = facts
        self.checkpoint = checkpoint
        self.tolerance = tolerance
        self.collapse = collapse
        self.least_disc = least_disc
        self.guard = guard

    @idist.one_rank_only(with_barrier=True)
    def __call__(self, before: MeasuresWithoutLabels, after: MeasuresWithoutLabels, dataset: PhotographDataset) -> None:
        """Write both files, each as a whole, and remove the file that only an interrupted run needs.

        Only the first of several processes writes.

        Args:
            before: measures of the source's weights.
            after: measures of the adapted weights.
            dataset: the data set, which records the photographs that were left out, and why.
        """
        change = {
            name: after.summary["predicted_dice"][name] - before.summary["predicted_dice"][name] for name in CLASSES
        }
        stopped = self.guard.stopped if self.guard is not None else ""
        harm = self._harm(before.summary, after.summary)
        if harm:
            load_weights(self.network, self.checkpoint)
        scale = uncertainty_scale(self.checkpoint)
        if not harm:
            scale = scale_of_change(before.summary["uncertainty"], after.summary["uncertainty"], scale)
        save_weights(self.network, self.output_dir / "model.pt", {**notes_of(self.checkpoint), SCALE_NOTE: scale})
        kept = "source" if harm else f"epoch {self.guard.epoch}" if self.guard is not None and stopped else "adapted"
        reason = "; ".join(filter(None, (stopped, harm)))
        content = {**self.facts, "kept": kept, "reason": reason, "tolerance": self.tolerance}
        content |= {"model": model_identity(self.output_dir / "model.pt")}
        content |= {"uncertainty_scale": scale}
        content |= {"before": before.summary, "after": after.summary}
        content |= {"unreadable": dataset.unreadable, "without_disc": sorted(dataset.without_disc)}
        with atomic_write(self.output_dir / "adaptation.json") as path:
            path.write_text(json.dumps(content, indent=2, ensure_ascii=True) + "\n", encoding="utf-8")
        (self.output_dir / "resume.pt").unlink(missing_ok=True)
        logger.info("predicted Dice changes by %+.3f (disc) and %+.3f (cup); see %s", *change.values(), self.output_dir)
        if harm:
            logger.warning(
                "adapting is predicted to harm: the source's weights are kept in %s (%s)", self.output_dir, reason
            )
        elif stopped:
            logger.warning("training diverged: the weights of %s are kept in %s (%s)", kept, self.output_dir, reason)

    def _harm(self, before: Mapping[str, Any], after: Mapping[str, Any]) -> str:
        """Why the source's weights are kept; empty if the adapted ones are."""
        if self.guard is not None and self.guard.stopped and not self.guard.epoch:
            return "no epoch was completed"
        dice, areas = ((before[key], after[key]) for key in ("predicted_dice", "area_share"))
        if not (has_finite_weights(self.network) and all(map(math.isfinite, dice[1].values()))):
            return "the adapted weights or their answers are not finite"
        if areas[0]["optic_disc"] < self.least_disc:
            return f"the source's weights see next to no optic disc ({areas[0]['optic_disc']:.4f} of the view)"
        for name in CLASSES:
            if self.tolerance is not None and dice[1][name] - dice[0][name] < -self.tolerance:
                return f"the predicted Dice of the {name} fell from {dice[0][name]:.3f} to {dice[1][name]:.3f}"
        had_areas, has_areas = map(_with_background, areas)
        for name, had in had_areas.items():
            if (has := has_areas[name]) < self.collapse * had:
                return f"the {name}'s share of the view fell from {had:.4f} to {has:.4f}"
        return ""


def _with_background(shares: Mapping[str, float]) -> dict[str, float]:
    return {"background": 1 - shares["optic_disc"], **shares}
