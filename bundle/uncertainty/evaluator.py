"""An evaluator that estimates, without labels, how good each prediction is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from monai.data import MetaTensor, decollate_batch
from monai.engines import SupervisedEvaluator

from bundle.data.dataset import collate_readable
from bundle.networks.head import HeadInput, dropout_of, has_head
from bundle.networks.unet import DiscCupUNet
from bundle.uncertainty.agreement import agreement, expected_dice
from bundle.uncertainty.dropout_passes import channel_masks, stochastic_log_odds, stochastic_logits
from bundle.uncertainty.norm_distance import NormDistances
from bundle.uncertainty.view_consensus import ViewConsensus

__all__ = ["AgreementEvaluator"]


class AgreementEvaluator(SupervisedEvaluator):
    """``SupervisedEvaluator`` that estimates, without labels, how good each prediction is.

    The output of an iteration also holds, B x 2 each (disc, cup) and in [0, 1]:

    * ``expected_dice`` (see the function of this name);
    * with stochastic passes, in a network with a head, ``agreement``, the mean Dice between each pass and the mean of
      all passes;
    * with views ``view_agreement``, the mean Dice between each view and the consensus of all views;

    and ``norm_distance`` and ``fundus_distance`` (B, at least 0), the photograph's distance from the training data at
    the first norm layer and over all of them (see ``NormDistances``).

    Args:
        passes: T, the number of stochastic passes; 0 for none.
        seed: seed of the dropout masks.
        views: the views to compare, each of which costs one forward pass; None for none.
        only: names of the photographs to evaluate, while all others are loaded and passed over; None for all.
        kwargs: other arguments of ``SupervisedEvaluator``.

    Example:
        >>> network = DiscCupUNet(backbone="efficientnet-lite0-small", decoder_channels=(16, 16, 8, 8))
        >>> photographs = [{"image": torch.zeros(1, 3, 32, 32), "name": ["eye"]}]
        >>> evaluator = AgreementEvaluator(
        ...     device=torch.device("cpu"), val_data_loader=photographs, network=network, passes=4, decollate=False
        ... )
        >>> evaluator.run()
        >>> evaluator.state.output["agreement"].shape, evaluator.state.output["norm_distance"].shape
        (torch.Size([1, 2]), torch.Size([1]))
    """

    network: DiscCupUNet

    def __init__(
        self,
        passes: int = 10,
        seed: int = 0,
        views: ViewConsensus | None = None,
        only: Sequence[str] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.passes = passes
        self.seed = seed
        self.views = views
        self.only = None if only is None else frozenset(only)

    def _iteration(self, engine: Any, batchdata: dict[str, Any]) -> Any:
        if batchdata and self.only is not None and not self.only.issuperset(batchdata["name"]):
            batchdata = collate_readable([item for item in decollate_batch(batchdata) if item["name"] in self.only])
            engine.state.batch = batchdata
        if not batchdata:
            engine.state.batch, engine.state.output = [], []
            return engine.state.output
        names = batchdata["name"]
        # The head's input is known only after the forward pass, and the output is decollated at the end of the
        # iteration; the measuring inferer runs between the two.
        with HeadInput(self.network) as head_input, NormDistances(self.network) as distances:
            inferer, self.inferer = self.inferer, self._measuring(self.inferer, head_input, distances, names)
            try:
                return super()._iteration(engine, batchdata)
            finally:
                self.inferer = inferer

    def _measuring(self, inferer: Any, head_input: HeadInput, distances: NormDistances, names: list[str]) -> Any:
        def infer(inputs: torch.Tensor, network: DiscCupUNet, *args: Any, **kwargs: Any) -> torch.Tensor:
            prediction = inferer(inputs, network, *args, **kwargs)
            logits = prediction.as_tensor() if isinstance(prediction, MetaTensor) else prediction
            self.state.output["expected_dice"] = expected_dice(logits)
            if distances.first is not None:
                self.state.output["norm_distance"] = distances.first
                self.state.output["fundus_distance"] = distances.over_all()
            if self.passes and has_head(network):
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
