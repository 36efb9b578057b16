"""An evaluation without labels."""

from __future__ import annotations

from typing import Any

import torch

from bundle.networks.unet import DiscCupUNet
from bundle.uncertainty.evaluator import AgreementEvaluator


def evaluate(network: DiscCupUNet, batches: Any, **settings: Any) -> tuple[AgreementEvaluator, list[dict]]:
    """Run the evaluator, by four passes unless the settings say otherwise.

    Args:
        network: what is evaluated.
        batches: a list of batches, or a loader.
        settings: further arguments of ``AgreementEvaluator``.

    Returns:
        The evaluator, and the output for each photograph.
    """
    outputs: list[dict] = []
    arguments: dict[str, Any] = {"passes": 4, "seed": 3, "device": torch.device("cpu"), "network": network}
    arguments |= {"val_data_loader": batches, "epoch_length": len(batches)} | settings
    evaluator = AgreementEvaluator(**arguments)
    evaluator.add_event_handler("ITERATION_COMPLETED", lambda engine: outputs.extend(engine.state.output))
    evaluator.run()
    return evaluator, outputs
