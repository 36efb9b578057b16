"""Stage 1 of Grad-CL: an evaluator whose iteration turns photographs into pseudo-labels."""

from __future__ import annotations

import math
from typing import Any

import torch
from ignite.engine import Engine, Events
from monai.data import MetaTensor
from monai.engines import SupervisedEvaluator
from monai.utils import CommonKeys

from bundle.networks.head import HeadInput, dropout_of
from bundle.networks.nested_classes import CLASSES
from bundle.networks.unet import DiscCupUNet
from bundle.refinement.class_features import GradientFeatures, heat_maps
from bundle.refinement.prototypes import PrototypeSums
from bundle.refinement.pseudo_labels import PseudoLabelStore
from bundle.uncertainty.agreement import agreement
from bundle.uncertainty.dropout_passes import channel_masks, stochastic_log_odds, stochastic_logits

__all__ = ["RefinementEvaluator", "RefinementMeasures", "UNCERTAINTIES"]

UNCERTAINTIES = ("prob", "prob+cam")


class RefinementEvaluator(SupervisedEvaluator):
    """``SupervisedEvaluator`` whose iteration turns a batch into pseudo-labels in a ``PseudoLabelStore``.

    Encoder and decoder run once a photograph; all stochastic passes and the class gradients go through the head alone.

    Args:
        store: where the pseudo-labels go.
        gradient_features: gives the class-specific features.
        passes: T.
        seed: of the dropout masks.
        label_threshold: y^c = [p^c > label_threshold] (DPL: 0.75).
        uncertainty_threshold: R^c = [u^c < uncertainty_threshold] (DPL: 0.05).
        uncertainty: ``prob`` (standard deviation of sigma(z / 2) over the passes, DPL) or ``prob+cam`` (the larger of
            it and the standard deviation of the class's heat map).
        kwargs: arguments of ``SupervisedEvaluator``.

    Raises:
        ValueError: when ``uncertainty`` is neither, when ``prob+cam`` meets gradient features of another layer than the
            head's input, or when there are fewer than two passes.
    """

    network: DiscCupUNet

    def __init__(
        self,
        store: PseudoLabelStore,
        gradient_features: GradientFeatures,
        passes: int = 10,
        seed: int = 0,
        label_threshold: float = 0.75,
        uncertainty_threshold: float = 0.05,
        uncertainty: str = "prob",
        **kwargs: Any,
    ) -> None:
        if uncertainty not in UNCERTAINTIES:
            raise ValueError(f"uncertainty must be one of {UNCERTAINTIES}, not {uncertainty!r}.")
        if uncertainty == "prob+cam" and gradient_features.layer != "head":
            raise ValueError("uncertainty 'prob+cam' needs gradient features of layer 'head', which differ by pass.")
        if passes < 2:
            raise ValueError(f"uncertainty needs at least two passes, not {passes}.")
        super().__init__(decollate=False, **kwargs)
        self.store = store
        self.gradient_features = gradient_features
        self.passes = passes
        self.seed = seed
        self.label_threshold = label_threshold
        self.uncertainty_threshold = uncertainty_threshold
        self.uncertainty = uncertainty

    @torch.no_grad()
    def _iteration(self, engine: Any, batchdata: dict[str, Any]) -> dict:
        if not batchdata:
            return {}
        with HeadInput(self.network) as head_input:
            output = super()._iteration(engine, batchdata)
        images, features = _plain(output[CommonKeys.IMAGE]), _plain(head_input.features)
        names = batchdata["name"]
        head = self.network.segmentation_head
        dropout = channel_masks(names, self.passes, features.shape[1], dropout_of(head), self.seed).to(features)
        logits = stochastic_logits(head, features, dropout)
        z = stochastic_log_odds(logits)
        probability = z.sigmoid().mean(dim=1)
        label = probability > self.label_threshold
        found = self.gradient_features(self.network, images, features, logits, dropout, label)
        uncertainty = (z / 2).sigmoid().std(dim=1)
        if self.uncertainty == "prob+cam":
            uncertainty = uncertainty.maximum(heat_maps(found.weights, features).std(dim=1))
        reliable = uncertainty < self.uncertainty_threshold
        # What is stored and what the prototypes are made from must be the same numbers, or a resumed run would differ.
        a = found.features.half()
        agreements = agreement(z)
        for i, name in enumerate(names):
            sums = PrototypeSums.of(a[i].float(), reliable[i], label[i], probability[i])
            self.store.add(
                name,
                label=label[i].cpu().numpy(),
                reliable=reliable[i].cpu().numpy(),
                probability=probability[i].half().cpu().numpy(),
                uncertainty=uncertainty[i].half().cpu().numpy(),
                features=a[i].cpu().numpy(),
                sums=sums.sums.cpu().numpy(),
                weights=sums.weights.cpu().numpy(),
                agreement=agreements[i].cpu().numpy(),
            )
        shares = {"area_share": label, "reliable_share": reliable}
        return {
            **output,
            **{name: mask.float().mean(dim=(2, 3)) for name, mask in shares.items()},
            "agreement": agreements,
        }


class RefinementMeasures:
    """Ignite handler for ``RefinementEvaluator``: means over the photographs of one run, for ``engine.state.metrics``.

    ``area_share_<structure>`` and ``reliable_share_<structure>`` (of the view's pixels) and ``agreement_<structure>``
    (of the passes), in [0, 1]: the means of the columns of ``refinement.csv``, less those that an interrupted run left.
    """

    def __init__(self) -> None:
        self.rows: dict[str, list[list[float]]] = {}

    def attach(self, engine: Engine) -> None:
        engine.add_event_handler(Events.EPOCH_STARTED, lambda: self.rows.clear())
        engine.add_event_handler(Events.ITERATION_COMPLETED, self.collect)
        engine.add_event_handler(Events.EPOCH_COMPLETED, self.summarise)

    def collect(self, engine: Engine) -> None:
        """Take what one batch gave."""
        output: Any = engine.state.output
        for quantity in ("area_share", "reliable_share", "agreement") if output else ():
            self.rows.setdefault(quantity, []).extend(output[quantity].tolist())

    def summarise(self, engine: Engine) -> None:
        """Average over the photographs."""
        for quantity, rows in self.rows.items():
            for name, values in zip(CLASSES, zip(*rows, strict=True), strict=True):
                engine.state.metrics[f"{quantity}_{name}"] = math.fsum(values) / len(values)


def _plain(tensor: torch.Tensor) -> torch.Tensor:
    return tensor.as_tensor() if isinstance(tensor, MetaTensor) else tensor
