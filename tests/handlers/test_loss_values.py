"""The losses of an epoch are reported one by one, and what is left of an iteration is its loss."""

from __future__ import annotations

from typing import Any

import torch

from bundle.handlers.loss_values import KeepLoss
from tests.support.engines import one_batch


def test_what_is_left_of_an_iteration_is_its_loss_as_stock_handlers_expect_it():
    engine = one_batch(torch.zeros(1, 3, 8, 8), None, {})
    KeepLoss().attach(engine)
    engine.run([0])
    output: Any = engine.state.output
    assert output == [{"loss": 0.25}]
    assert isinstance(output[0]["loss"], float)
