"""The engine of stage 1, which makes pseudo-labels, and the handler that averages its measures."""

from __future__ import annotations

import math
from typing import Any

import torch
from ignite.engine import Engine, Events
from monai.data import MetaTensor
from monai.engines import SupervisedEvaluator
from monai.utils import CommonKeys

from bundle.networks.head import HeadInput, require_head
from bundle.networks.nested_classes import CLASSES
from bundle.networks.unet import DiscCupUNet
from bundle.refinement.labeller import PseudoLabeller
from bundle.refinement.prototypes import PrototypeSums
from bundle.refinement.pseudo_labels import PseudoLabelStore

__all__ = ["RefinementEvaluator", "RefinementMeasures"]


class RefinementEvaluator(SupervisedEvaluator):
    """``SupervisedEvaluator`` whose iteration labels a batch and adds the result to a ``PseudoLabelStore``.

    The encoder and the decoder run once per photograph; all stochastic passes and the class gradients go through the
    head alone. The output of an iteration also holds ``area_share``, ``reliable_share`` and ``agreement`` (B x 2, disc
    and cup, in [0, 1]). When the run is over, ``PseudoLabelStore.finish`` writes the pseudo-labels.

    Args:
        store: receives the results of each photograph.
        labeller: computes labels, uncertainty and class features of a batch.
        kwargs: other arguments of ``SupervisedEvaluator``.

    Example:
        >>> import tempfile
        >>> from bundle.refinement.class_features import GradientFeatures
        >>> network = DiscCupUNet(backbone="efficientnet-lite0-small", decoder_channels=(16, 16, 8, 8))
        >>> photographs = [{"image": torch.zeros(1, 3, 32, 32), "name": ["eye"]}]
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     store = PseudoLabelStore(folder, fingerprint="of this run")
        ...     pending = store.pending([{"name": "eye"}])
        ...     RefinementEvaluator(
        ...         store,
        ...         PseudoLabeller(GradientFeatures(), passes=2),
        ...         device=torch.device("cpu"),
        ...         val_data_loader=photographs,
        ...         network=network,
        ...     ).run()
        ...     prototypes = store.finish()
        ...     [path.name for path in store.final.iterdir()]
        ['eye.npz']
    """

    network: DiscCupUNet

    def __init__(self, store: PseudoLabelStore, labeller: PseudoLabeller, **kwargs: Any) -> None:
        super().__init__(decollate=False, **kwargs)
        self.store = store
        self.labeller = labeller

    def run(self, global_epoch: int = 1) -> None:  # type: ignore[override]
        """Refine all photographs.

        Args:
            global_epoch: see ``SupervisedEvaluator``.

        Raises:
            CallError: the network has no head, see ``has_head``.
        """
        require_head(self.network, "refinement")
        super().run(global_epoch)

    @torch.no_grad()
    def _iteration(self, engine: Any, batchdata: dict[str, Any]) -> dict:
        if not batchdata:
            return {}
        with HeadInput(self.network) as head_input:
            output = super()._iteration(engine, batchdata)
        images, features = _plain(output[CommonKeys.IMAGE]), _plain(head_input.features)
        names = batchdata["name"]
        found = self.labeller(self.network, images, features, names)
        for i, name in enumerate(names):
            sums = PrototypeSums.of(found.features[i].float(), found.reliable[i], found.label[i], found.probability[i])
            self.store.add(
                name,
                label=found.label[i].cpu().numpy(),
                reliable=found.reliable[i].cpu().numpy(),
                probability=found.probability[i].half().cpu().numpy(),
                uncertainty=found.uncertainty[i].half().cpu().numpy(),
                features=found.features[i].cpu().numpy(),
                sums=sums.sums.cpu().numpy(),
                weights=sums.weights.cpu().numpy(),
                agreement=found.agreement[i].cpu().numpy(),
            )
        shares = {"area_share": found.label, "reliable_share": found.reliable}
        return {
            **output,
            **{name: mask.float().mean(dim=(2, 3)) for name, mask in shares.items()},
            "agreement": found.agreement,
        }


class RefinementMeasures:
    """Ignite handler for ``RefinementEvaluator`` that averages its measures over the photographs of one run.

    ``engine.state.metrics`` receives ``area_share_<structure>`` and ``reliable_share_<structure>`` (shares of the
    view's pixels) and ``agreement_<structure>`` (between the passes), all in [0, 1]. They are the means of the columns
    of ``refinement.csv``, without the photographs that an earlier, interrupted run finished.

    Example:
        >>> engine = Engine(lambda engine, batch: batch)
        >>> RefinementMeasures().attach(engine)
        >>> shares = torch.tensor([[0.25, 0.5], [0.75, 1.0]])
        >>> batch = {"area_share": shares / 5, "reliable_share": shares, "agreement": shares}
        >>> engine.run([batch]).metrics["reliable_share_optic_cup"]
        0.75
    """

    def __init__(self) -> None:
        self.rows: dict[str, list[list[float]]] = {}

    def attach(self, engine: Engine) -> None:
        """Attach the handler to an engine."""
        engine.add_event_handler(Events.EPOCH_STARTED, lambda: self.rows.clear())
        engine.add_event_handler(Events.ITERATION_COMPLETED, self.collect)
        engine.add_event_handler(Events.EPOCH_COMPLETED, self.summarise)

    def collect(self, engine: Engine) -> None:
        """Collect the measures of one batch."""
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
