"""What an inference is summed up to."""

from __future__ import annotations

import pytest
import torch
from ignite.engine import Engine
from monai.transforms import Compose

from bundle.data.dataset import PhotographDataset
from bundle.handlers.inference_measures import InferenceMeasures


def test_an_inference_is_summed_up_without_names():
    outputs = [([0.9, 0.8], 1), ([0.7, 0.0], 2), ([0.0, 0.0], 0)]

    def iterate(engine, given):
        engine.state.batch = [{"name": "jane_doe"}]
        return [{"expected_dice": torch.tensor(given[0]), "pred": torch.full((4, 4), given[1], dtype=torch.uint8)}]

    engine = Engine(iterate)
    dataset = PhotographDataset([], Compose())
    dataset.unreadable["x"] = "cut short"
    InferenceMeasures(dataset).attach(engine)
    engine.run(outputs)
    expected = {"photographs": 3, "without_disc": 1, "unreadable": 1}
    assert engine.state.metrics == pytest.approx(
        expected | {"expected_dice_optic_disc": 0.8, "expected_dice_optic_cup": 0.4}
    )
    engine.run(outputs[2:])
    assert engine.state.metrics["photographs"] == engine.state.metrics["without_disc"] == 1
