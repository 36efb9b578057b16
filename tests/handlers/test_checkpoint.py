"""A resumed run ends where an undisturbed one does, bit for bit, and leaves nothing but its result."""

from __future__ import annotations

import logging

import pytest
import torch
from ignite.engine import Engine, Events
from ignite.handlers import EMAHandler
from torch import nn

from bundle.handlers.checkpoint import AverageStart, WeightsSaver
from tests.support.resumable import Run

pytestmark = pytest.mark.usefixtures("_determinism")


@pytest.mark.parametrize("stop", [(2, 4), (3, 6), (4, 11)])
def test_a_resumed_run_equals_an_undisturbed_one_bit_for_bit(tmp_path, stop):
    straight = Run(tmp_path / "straight.pt").run()
    with pytest.raises(KeyboardInterrupt):
        Run(tmp_path / "broken.pt", stop=stop).run()
    torch.rand(7)
    resumed = Run(tmp_path / "broken.pt").run()
    assert resumed.engine.state.epoch == 4
    assert resumed.draws == straight.draws[3 * (stop[0] - 1) :]
    assert len(resumed.state()) == len(straight.state())
    assert all(torch.equal(a, b) for a, b in zip(resumed.state(), straight.state(), strict=True))


def test_a_complete_run_is_not_run_again(tmp_path):
    straight = Run(tmp_path / "a.pt").run()
    again = Run(tmp_path / "a.pt").run()
    assert again.draws == []
    assert all(torch.equal(a, b) for a, b in zip(again.state(), straight.state(), strict=True))


def test_a_finished_run_can_be_given_more_epochs(tmp_path):
    longer = Run(tmp_path / "long.pt").run(4)
    Run(tmp_path / "a.pt").run(2)
    more = Run(tmp_path / "a.pt").run(4)
    assert [draw[0] for draw in more.draws] == [3] * 3 + [4] * 3
    assert all(torch.equal(a, b) for a, b in zip(more.state(), longer.state(), strict=True))


def test_a_checkpoint_of_another_run_is_passed_over(tmp_path, caplog):
    Run(tmp_path / "a.pt", fingerprint="f").run(2)
    with caplog.at_level(logging.WARNING):
        other = Run(tmp_path / "a.pt", fingerprint="g").run()
    assert len(other.draws) == 12
    assert "belongs to another run" in caplog.text
    straight = Run(tmp_path / "straight.pt").run()
    assert all(torch.equal(a, b) for a, b in zip(other.state(), straight.state(), strict=True))


def test_a_checkpoint_never_holds_weights_that_are_no_numbers(tmp_path, caplog):
    run = Run(tmp_path / "a.pt")

    def spoil(engine):
        if engine.state.epoch == 3:
            with torch.no_grad():
                run.model.weight[0, 0] = float("nan")

    run.engine.add_event_handler(Events.ITERATION_COMPLETED, spoil)
    with caplog.at_level(logging.WARNING):
        run.run()
    stored = torch.load(tmp_path / "a.pt", weights_only=True)
    assert stored["trainer"]["iteration"] == 6
    assert torch.isfinite(stored["network"]["weight"]).all()
    assert "network is not finite after epoch 3" in caplog.text


def test_weights_are_written_contiguous_and_what_is_obsolete_goes(tmp_path):
    model = nn.Conv2d(3, 8, 3)
    model.weight.data = model.weight.data.contiguous(memory_format=torch.channels_last)
    assert not model.weight.is_contiguous()
    (tmp_path / "resume.pt").write_bytes(b"")
    engine = Engine(lambda *_: None)
    saver = WeightsSaver(
        tmp_path / "new" / "model.pt", model, (str(tmp_path / "resume.pt"), str(tmp_path / "never.pt"))
    )
    saver.attach(engine)
    engine.run([0], max_epochs=1)
    stored = torch.load(tmp_path / "new" / "model.pt", weights_only=True)
    assert all(value.is_contiguous() and not value.requires_grad for value in stored.values())
    assert torch.equal(stored["weight"], model.weight)
    assert [path.name for path in tmp_path.iterdir()] == ["new"]


def test_no_weights_are_written_by_a_run_that_breaks(tmp_path):
    def fail(*_):
        raise KeyboardInterrupt

    engine = Engine(fail)
    WeightsSaver(tmp_path / "model.pt", nn.Linear(1, 1)).attach(engine)
    with pytest.raises(KeyboardInterrupt):
        engine.run([0], max_epochs=1)
    assert not (tmp_path / "model.pt").exists()


def test_an_average_starts_from_weights_that_a_handler_loads():
    model = nn.Linear(2, 1)
    average = EMAHandler(model, momentum=0.5)
    engine = Engine(lambda *_: None)
    engine.add_event_handler(Events.STARTED, lambda: nn.init.constant_(model.weight, 3.0))
    average.attach(engine)
    AverageStart(average).attach(engine)
    engine.run([0])
    assert torch.equal(average.ema_model.get_parameter("weight"), torch.full((1, 2), 3.0))
