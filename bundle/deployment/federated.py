"""Federated training: hospitals train one model together, and no photograph leaves any of them.

NVFlare moves the weights, and ``monai_nvflare.ClientAlgoExecutor`` calls this client at each site.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from monai.fl.client import MonaiAlgo
from monai.fl.utils.constants import ExtraItems
from monai.fl.utils.exchange_object import ExchangeObject

from bundle.errors import CallError, bare_call_errors
from bundle.io.files import save_atomically
from bundle.settings import check_overrides, known_keys
from bundle.stages import BUNDLE_ROOT

__all__ = ["FederatedSite"]

_METRICS = ("optic_disc_dice", "optic_cup_dice")


class FederatedSite(MonaiAlgo):
    """``MonaiAlgo`` with the settings that this bundle's training needs in a federation.

    * The learning rate falls once over all rounds; that of a single stage would fall to zero in every other round.
    * Nothing is resumed, for ``resume.pt`` would overwrite the weights that the server has sent.
    * ``best.pt`` in ``output_dir`` holds the global model that was best on the site's own held-out photographs, and is
      what the server gets when it asks for the site's best model. ``model.pt`` is what the site trained last.
    * A site that cannot train, because its folder is empty for instance, answers every task with its error in one line,
      so that the server ends the job.

    Args:
        dataset_dir: the site's photographs (``image/``) and labels (``label/``).
        output_dir: receives the site's weights and scores.
        rounds: of the whole federation.
        local_epochs: epochs that the site trains in each round.
        settings: keys of ``configs/train.json``, such as ``batch_size`` and ``view``.

    Raises:
        CallError: there is no such key, or a value is out of range.
    """

    def __init__(
        self,
        dataset_dir: str,
        output_dir: str,
        rounds: int,
        local_epochs: int = 1,
        settings: Mapping[str, Any] | None = None,
    ) -> None:
        # NVFlare writes the job from attributes that are named as the arguments.
        self.dataset_dir, self.output_dir, self.rounds = dataset_dir, output_dir, rounds
        self.settings = dict(settings or {})
        train = BUNDLE_ROOT / "configs" / "train.json"
        check_overrides("training", self.settings, known_keys([train]))
        epochs = rounds * local_epochs
        super().__init__(
            bundle_root=str(BUNDLE_ROOT),
            local_epochs=local_epochs,
            config_train_filename=str(train),
            train_kwargs={
                "quiet": True,
                "warmup_epochs": epochs // 10,
                "val_interval": epochs + 1,
                **self.settings,
                "dataset_dir": dataset_dir,
                "output_dir": output_dir,
                "resume": False,
                "lr_scheduler#t_total": f"${epochs} * len(@train#dataloader)",
            },
            config_evaluate_filename=None,
            best_model_filepath=str(Path(output_dir).absolute() / "best.pt"),
            final_model_filepath=str(Path(output_dir).absolute() / "model.pt"),
        )
        self.best = -1.0
        self.fault: CallError | None = None

    def initialize(self, extra: dict[str, Any] | None = None) -> None:
        """Prepare the site's trainer; what is wrong with its photographs is told at the first task."""
        try:
            with bare_call_errors():
                super().initialize(extra)
                if self.train_workflow is not None:
                    self.evaluator = self.train_workflow.evaluator
        except CallError as error:
            self.fault = error
            self.logger.error("%s: %s", (extra or {}).get(ExtraItems.CLIENT_NAME, "this site"), error)

    def train(self, data: ExchangeObject, extra: dict[str, Any] | None = None) -> None:
        """Train on the site's photographs, from the weights that the server has sent.

        Raises:
            CallError: the site cannot train.
        """
        self._require_data()
        with bare_call_errors():
            super().train(data, extra)

    def evaluate(self, data: ExchangeObject, extra: dict[str, Any] | None = None) -> ExchangeObject:
        """Score the weights that the server has sent on the site's held-out photographs, and keep the best ones.

        Returns:
            metrics with ``optic_disc_dice``, ``optic_cup_dice``, and ``mean_dice`` of both.

        Raises:
            CallError: the site cannot train.
        """
        self._require_data()
        with bare_call_errors():
            scored = super().evaluate(data, extra)
        found = [float(scored.metrics[name]) for name in _METRICS if name in scored.metrics]
        scored.metrics["mean_dice"] = sum(found) / len(found) if found else 0.0
        if scored.metrics["mean_dice"] > self.best and self.evaluator is not None:
            self.best = scored.metrics["mean_dice"]
            state = {
                name: value.detach().cpu().contiguous() for name, value in self.evaluator.network.state_dict().items()
            }
            save_atomically(state, Path(self.output_dir) / "best.pt")
        return scored

    def _require_data(self) -> None:
        if self.fault is not None:
            raise self.fault
