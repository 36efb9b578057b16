"""Stage 2: adaptation of the source model by a recipe, and what can be said about it without labels."""

from __future__ import annotations

import json
import logging
import math
import statistics
from collections.abc import Hashable, Mapping
from pathlib import Path
from typing import Any, cast

import ignite.distributed as idist
import torch
from ignite.engine import Engine, Events
from monai.data import MetaTensor
from monai.engines import SupervisedEvaluator
from monai.inferers import Inferer
from monai.transforms import MapTransform
from monai.utils import CommonKeys
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from bundle.consensus import ViewConsensus
from bundle.datasets import PhotographDataset
from bundle.errors import CallError
from bundle.folders import atomic_write
from bundle.handlers import DivergenceGuard, has_finite_weights, save_weights
from bundle.losses import AdaptationOutput
from bundle.network import DiscCupUNet, load_weights
from bundle.passes import (
    HeadInput,
    agreement,
    channel_masks,
    dropout_of,
    expected_dice,
    stochastic_log_odds,
    stochastic_logits,
)
from bundle.provenance import model_identity
from bundle.refinement import load_pseudo_label
from bundle.regions import CLASSES, nested_probabilities
from bundle.suitability import FirstNormInput

__all__ = [
    "AdaptationInferer",
    "AdaptationResult",
    "AgreementEvaluator",
    "LoadPseudoLabeld",
    "LossValues",
    "MeasuresWithoutLabels",
    "choose_recipe",
    "prepare_batch",
    "trainable_parameters",
    "uncertainty_scale",
]

logger = logging.getLogger(__name__)

TRAINABLE = ("all", "norm", "all_but_head")
PSEUDO_LABEL = ("label", "mask", "probability")
SMALLEST_SCALE = 0.1
"""A model that is ten times surer of itself has collapsed rather than learned."""


def choose_recipe(
    recipes: Mapping[str, Mapping[str, Any]], name: str, defaults: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """The settings of the recipe called ``name``.

    Args:
        recipes: for each recipe the settings in which it differs from ``defaults``.
        name: one of their names.
        defaults: every setting there is; None takes the recipe as it stands.

    Raises:
        CallError: when there is no such recipe.
        ValueError: when a recipe has a setting that ``defaults`` has not.
    """
    if name not in recipes:
        raise CallError(f"--recipe {name} is unknown.", f"Use one of {', '.join(sorted(recipes))}.")
    unknown = sorted(set(recipes[name]) - set(defaults)) if defaults is not None else []
    if unknown:
        raise ValueError(f"recipe {name} has unknown settings {unknown}; there are {sorted(defaults or ())}.")
    return {**(defaults or {}), **recipes[name]}


def trainable_parameters(network: nn.Module, which: str) -> list[nn.Parameter]:
    """Freeze everything of ``network`` but the chosen parameters, and return those.

    Args:
        network: changed in place.
        which: ``all``, ``norm`` for scale and shift of the norm layers, or ``all_but_head``, which leaves the
            pointwise head as it is.

    Raises:
        ValueError: when ``which`` is none of them.
    """
    if which not in TRAINABLE:
        raise ValueError(f"trainable must be one of {TRAINABLE}, not {which!r}.")
    chosen = set()
    head = set(network.segmentation_head.modules()) if which == "all_but_head" else set()  # type: ignore[union-attr]
    for module in network.modules():
        if (
            which == "all"
            or (which == "all_but_head" and module not in head)
            or (which == "norm" and isinstance(module, nn.modules.batchnorm._NormBase))
        ):
            chosen |= set(module.parameters(recurse=False))
    for parameter in network.parameters():
        parameter.requires_grad_(parameter in chosen)
    return [parameter for parameter in network.parameters() if parameter in chosen]


class LoadPseudoLabeld(MapTransform):
    """Load ``label``, ``mask`` and ``probability`` of a pseudo-label file (2 x W x H each) in the place of its path.

    Args:
        keys: the key that holds the path.
    """

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        d = dict(data)
        for key in self.key_iterator(d):
            arrays = load_pseudo_label(d.pop(key))
            d |= {name: arrays[name] for name in PSEUDO_LABEL}
        return d


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


class LossValues:
    """Ignite handler that puts each loss of an ``AdaptationLoss`` into ``engine.state.metrics``, averaged by epoch.

    Args:
        loss: the trainer's ``AdaptationLoss``.
    """

    def __init__(self, loss: Any) -> None:
        self.loss = loss
        self.values: list[dict[str, float]] = []

    def attach(self, engine: Engine) -> None:
        engine.add_event_handler(Events.EPOCH_STARTED, self.values.clear)
        engine.add_event_handler(Events.ITERATION_COMPLETED, lambda: self.values.append(dict(self.loss.values)))
        engine.add_event_handler(Events.EPOCH_COMPLETED, self.summarise)

    def summarise(self, engine: Engine) -> None:
        """Write the epoch's means."""
        for name in self.values[0] if self.values else ():
            engine.state.metrics[f"loss_{name}"] = math.fsum(v[name] for v in self.values) / len(self.values)


class AgreementEvaluator(SupervisedEvaluator):
    """``SupervisedEvaluator`` that adds to each prediction what can be said without labels of how good it is.

    The output gets, B x 2 each (disc, cup) and in [0, 1], ``expected_dice`` (see there), and if there are passes or
    views ``agreement`` or ``view_agreement``: the mean Dice between each of them and what all of them say together. It
    also gets ``norm_distance`` (B): how far the photograph lies from the training data (see ``FirstNormInput``).

    Args:
        passes: T; 0 for none.
        seed: of the dropout masks.
        views: which views; None for none, which costs one forward pass less for each.
        kwargs: arguments of ``SupervisedEvaluator``.
    """

    network: DiscCupUNet

    def __init__(self, passes: int = 10, seed: int = 0, views: ViewConsensus | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.passes = passes
        self.seed = seed
        self.views = views

    def _iteration(self, engine: Any, batchdata: dict[str, Any]) -> Any:
        if not batchdata:
            engine.state.batch, engine.state.output = [], []
            return engine.state.output
        names = batchdata["name"]
        # The head's input is only known inside the pass, and the output is decollated at its end: measure in between.
        with HeadInput(self.network) as head_input, FirstNormInput(self.network) as first_norm:
            inferer, self.inferer = self.inferer, self._measuring(self.inferer, head_input, first_norm, names)
            try:
                return super()._iteration(engine, batchdata)
            finally:
                self.inferer = inferer

    def _measuring(self, inferer: Any, head_input: HeadInput, first_norm: FirstNormInput, names: list[str]) -> Any:
        def infer(inputs: torch.Tensor, network: DiscCupUNet, *args: Any, **kwargs: Any) -> torch.Tensor:
            prediction = inferer(inputs, network, *args, **kwargs)
            logits = prediction.as_tensor() if isinstance(prediction, MetaTensor) else prediction
            self.state.output["expected_dice"] = expected_dice(logits)
            if first_norm.distance is not None:
                self.state.output["norm_distance"] = first_norm.distance
            if self.passes:
                features = head_input.features
                features = features.as_tensor() if isinstance(features, MetaTensor) else features
                head = network.segmentation_head
                masks = channel_masks(names, self.passes, features.shape[1], dropout_of(head), self.seed).to(features)
                z = stochastic_log_odds(stochastic_logits(head, features, masks))
                self.state.output["agreement"] = agreement(z)
            if self.views is not None:
                plain = inputs.as_tensor() if isinstance(inputs, MetaTensor) else inputs
                self.state.output["view_agreement"] = self.views.agreement(plain, network)
            return prediction

        return infer


class MeasuresWithoutLabels:
    """Ignite handler for ``AgreementEvaluator``: means over the target of what can be measured without labels.

    Those of the network also go to ``engine.state.metrics``, as scalars named ``predicted_dice_optic_disc`` and so on.

    Args:
        gather: whether several processes each look at a share of the photographs; False where one alone looks.

    Attributes:
        summary: predicted Dice of disc and cup (how far views agree, or passes where there are no views), the passes'
            agreement, entropy (nats a pixel), share of the view that disc and cup take, the median of the uncertainty
            that inference reports, number of photographs.
    """

    def __init__(self, gather: bool = True) -> None:
        self.gather = gather
        self.rows: list[list[float]] = []
        self.summary: dict[str, Any] = {}

    def attach(self, engine: Engine) -> None:
        engine.add_event_handler(Events.EPOCH_STARTED, self.rows.clear)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self.collect)
        engine.add_event_handler(Events.EPOCH_COMPLETED, self.summarise)

    def collect(self, engine: Engine) -> None:
        """Measure one batch."""
        for output in engine.state.output or []:  # type: ignore[union-attr]
            logits = torch.as_tensor(output["pred"])[None]
            p = logits.softmax(dim=1)
            entropy = -(p * p.clamp(min=1e-12).log()).sum(dim=1).mean()
            share = (nested_probabilities(logits) > 0.5).float().mean(dim=(0, 2, 3))
            passes, predicted = output["agreement"], output.get("view_agreement", output["agreement"])
            uncertainty = 1 - float(min(output["expected_dice"]))
            self.rows.append([*predicted.tolist(), *passes.tolist(), entropy.item(), *share.tolist(), uncertainty])

    def summarise(self, engine: Engine) -> None:
        """Average over the photographs, those of all processes."""
        shares = cast(list, idist.all_gather(self.rows)) if self.gather else [self.rows]
        rows = [row for share in shares for row in share]
        count = len(rows)
        means = [math.fsum(column) / count for column in zip(*rows, strict=True)] if count else [math.nan] * 8
        self.summary = {
            "predicted_dice": dict(zip(CLASSES, means[:2], strict=True)),
            "pass_agreement": dict(zip(CLASSES, means[2:4], strict=True)),
            "entropy": means[4],
            "area_share": dict(zip(CLASSES, means[5:7], strict=True)),
            "uncertainty": statistics.median(row[7] for row in rows) if count else math.nan,
            "photographs": count,
        }
        if count:
            for name, value in self.summary.items():
                parts = value if isinstance(value, dict) else {"": value}
                engine.state.metrics |= {f"{name}_{part}".rstrip("_"): number for part, number in parts.items()}


class AdaptationResult:
    """Write the adapted weights and ``adaptation.json``: how they were made and what was measured without labels.

    Where the measures predict that adapting did harm, the source's weights are written instead, and those of the last
    good epoch where training diverged. The record (``kept`` and ``reason``) and the log say so.

    Args:
        output_dir: receives ``model.pt`` and ``adaptation.json``.
        network: the adapted network.
        facts: what to record beside the measures, such as recipe and seed.
        checkpoint: the source's weights.
        tolerance: harm is predicted when the predicted Dice of disc or cup falls by more than this; None keeps the
            adapted weights whatever the measures say, as published methods do.
        collapse: harm, whatever the tolerance, is that background, disc or cup keeps less than this share of the area
            that it had; in [0, 1]. The predicted Dice does not tell: views agree on what none of them shows.
        least_disc: a target in which the source's disc takes a smaller share of the view teaches nothing that could be
            judged, and leaves the source's weights; in [0, 1].
        guard: knows whether training diverged; None where nothing watched.
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
        """Write both files, each as a whole, and remove what only a resumed run needs.

        Of several processes the first does so.

        Args:
            before: measured with the source weights.
            after: measured with the adapted weights.
            dataset: knows which photographs were left out, and why.
        """
        change = {
            name: after.summary["predicted_dice"][name] - before.summary["predicted_dice"][name] for name in CLASSES
        }
        stopped = self.guard.stopped if self.guard is not None else ""
        harm = self._harm(before.summary, after.summary)
        if harm:
            load_weights(self.network, self.checkpoint)
        save_weights(self.network, self.output_dir / "model.pt")
        kept = "source" if harm else f"epoch {self.guard.epoch}" if self.guard is not None and stopped else "adapted"
        reason = "; ".join(filter(None, (stopped, harm)))
        content = {**self.facts, "kept": kept, "reason": reason, "tolerance": self.tolerance}
        content |= {"model": model_identity(self.output_dir / "model.pt")}
        scale = 1.0 if harm else _scale(before.summary["uncertainty"], after.summary["uncertainty"])
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
        """Why the source's weights are to be kept; empty where the adapted ones are."""
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


def _scale(before: float, after: float) -> float:
    """``uncertainty_scale`` of weights with which the median uncertainty fell from ``before`` to ``after``."""
    scale = after / before if before > 0 else 1.0
    return min(max(scale, SMALLEST_SCALE), 1.0) if math.isfinite(scale) else 1.0


def uncertainty_scale(checkpoint: str | Path) -> float:
    """How much smaller a model's uncertainty is for having been taught by its own answers.

    Who learns from their own answers grows surer of them, right or wrong: by about the same factor on all photographs,
    so that their order stays, but not what a threshold means. The factor is that of the median over the photographs
    that were adapted to, known without labels, and ``adaptation.json`` beside the weights holds it. A model that
    adapting made less sure of itself is taken at its word.

    Args:
        checkpoint: file of the weights.

    Returns:
        In [0.1, 1]; 1 for weights that no adaptation wrote, or without its ``adaptation.json`` beside them.
    """
    path = Path(checkpoint)
    try:
        content = json.loads((path.parent / "adaptation.json").read_text(encoding="utf-8"))
        # By the hash alone: a file may be renamed.
        same = content["model"].rpartition("(")[2] == model_identity(path).rpartition("(")[2]
        scale = float(content["uncertainty_scale"])
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return 1.0
    return min(max(scale, SMALLEST_SCALE), 1.0) if same and math.isfinite(scale) else 1.0


def _with_background(shares: Mapping[str, float]) -> dict[str, float]:
    return {"background": 1 - shares["optic_disc"], **shares}
