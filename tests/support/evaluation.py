"""An evaluation without labels."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from bundle.networks.unet import DiscCupUNet
from bundle.uncertainty.evaluator import AgreementEvaluator


def evaluate(network: DiscCupUNet, batches: Collection[dict], **settings: Any) -> tuple[AgreementEvaluator, list[dict]]:
    """Run the evaluator over the batches, by four passes unless the settings say otherwise.

    Returns:
        The evaluator, and the output for each photograph.
    """
    outputs: list[dict] = []
    evaluator = AgreementEvaluator(
        **{"passes": 4, "seed": 3, "device": "cpu", "val_data_loader": batches, "epoch_length": len(batches)}
        | {"network": network}
        | settings
    )
    evaluator.add_event_handler("ITERATION_COMPLETED", lambda engine: outputs.extend(engine.state.output))
    evaluator.run()
    return evaluator, outputs
