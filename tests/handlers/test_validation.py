"""When a run is looked at, and at which photographs."""

from __future__ import annotations

import torch
from ignite.engine import Engine, Events
from monai.engines import SupervisedEvaluator
from torch import nn

from bundle.handlers.validation import LookAtTarget, spread


def test_photographs_are_spread_over_the_folder():
    assert spread(100, 4) == [0, 25, 50, 75]
    assert spread(7, 3) == [0, 2, 4]
    assert spread(3, 3) == spread(3, 9) == [0, 1, 2]
    assert spread(3, 0) == spread(0, 3) == []


def evaluator(runs, network):
    found = SupervisedEvaluator(
        device=torch.device("cpu"), val_data_loader=[{"image": torch.zeros(1, 1)}], network=network
    )
    found.add_event_handler(Events.EPOCH_COMPLETED, lambda e: runs.append((e.state.epoch, e.network)))
    return found


def test_an_evaluator_that_is_asked_for_epoch_0_runs_once():
    runs: list[tuple[int, nn.Module]] = []
    network = nn.Linear(1, 1)
    validator = evaluator(runs, network)
    validator.run(0)
    assert runs == [(0, network)]
    validator.run(3)
    assert runs == [(0, network), (3, network)]


def test_looks_come_at_every_interval_and_after_the_last_epoch_at_the_kept_network():
    runs: list[tuple[int, nn.Module]] = []
    before, kept = nn.Linear(1, 1), nn.Linear(1, 1)
    validator = evaluator(runs, before)
    trainer = Engine(lambda *_: None)
    LookAtTarget(kept, validator, interval=3).attach(trainer)
    trainer.run([0], max_epochs=7)
    assert [epoch for epoch, _ in runs] == [3, 6, 7]
    assert all(network is kept for _, network in runs)
