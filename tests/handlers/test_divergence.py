"""A run that diverges ends with its last good weights, and a sound one is left alone."""

from __future__ import annotations

import logging

import pytest
import torch
from ignite.engine import Engine
from ignite.handlers import EMAHandler
from torch import nn

from bundle.handlers.divergence import DivergenceGuard


class Descent:
    """Three batches an epoch; batch ``at`` (counted from 1) does ``what`` to the loss or to the weights."""

    def __init__(self, at: int = 0, what: str = "nan", teacher: bool = False, result: nn.Module | None = None) -> None:
        self.model, self.at, self.what = nn.Linear(1, 1, bias=False), at, what
        nn.init.ones_(self.model.weight)
        self.average = EMAHandler(self.model, momentum=0.5)
        self.engine = Engine(self.step)
        if teacher:
            self.average.attach(self.engine)
        self.result = result or (self.average.ema_model if teacher else self.model)
        self.guard = DivergenceGuard(self.result, self.model, limit=100.0)
        self.guard.attach(self.engine)

    def step(self, engine: Engine, _: object) -> dict:
        loss = 1.0
        with torch.no_grad():
            self.model.weight += 1
            if engine.state.iteration == self.at:
                loss = {"nan": float("nan"), "inf": float("inf"), "exploding": 101.0, "weights": 1.0}[self.what]
                self.model.weight *= float("nan") if self.what == "weights" else 1000.0
        return {"loss": torch.tensor(loss)}

    def run(self) -> Descent:
        self.engine.run([0, 0, 0], max_epochs=3)
        return self


@pytest.mark.parametrize("teacher", [False, True])
@pytest.mark.parametrize(
    ("at", "what", "epoch", "weight", "taught"),
    [(5, "nan", 1, 4.0, 3.125), (7, "inf", 2, 7.0, 6.015625), (2, "exploding", 0, 1.0, 1.0)]
    + [(9, "weights", 2, 7.0, 6.015625), (3, "weights", 0, 1.0, 1.0)],
)
def test_a_run_that_diverges_ends_with_its_last_good_weights(teacher, at, what, epoch, weight, taught, caplog):
    with caplog.at_level(logging.WARNING):
        run = Descent(at, what, teacher).run()
    assert run.engine.state.iteration == at
    assert run.guard.epoch == epoch
    assert run.result.get_parameter("weight").item() == (taught if teacher else weight)
    assert run.guard.stopped.endswith(f"in epoch {epoch + 1}")
    assert run.guard.stopped in caplog.text


def test_a_run_is_stopped_too_where_only_what_is_trained_is_spoilt():
    run = Descent(4, "weights", result=nn.Linear(1, 1)).run()
    assert (run.engine.state.epoch, run.guard.epoch) == (2, 1)
    assert "weights" in run.guard.stopped


def test_the_loss_is_found_in_a_decollated_output_too():
    engine = Engine(lambda *_: [{"loss": torch.tensor(float("nan"))}] * 2)
    guard = DivergenceGuard(nn.Linear(1, 1))
    guard.attach(engine)
    engine.run([0], max_epochs=2)
    assert guard.stopped == "the loss became nan in epoch 1"


def test_a_sound_run_is_left_alone(caplog):
    with caplog.at_level(logging.WARNING):
        run = Descent().run()
    assert run.engine.state.iteration == 9
    assert run.model.weight.item() == 10
    assert (run.guard.stopped, run.guard.epoch, caplog.text) == ("", 3, "")
