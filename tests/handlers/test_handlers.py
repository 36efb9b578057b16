"""A resumed run ends where an undisturbed one does, bit for bit, and leaves nothing but its result."""

from __future__ import annotations

import errno
import logging
import platform
import subprocess
import sys
import threading

import numpy as np
import pytest
import torch
from ignite.engine import Engine, Events
from ignite.handlers import EMAHandler
from monai.transforms import Compose, RandScaleIntensityd
from torch import nn

from bundle.data.items import finished_items
from bundle.errors import CallError
from bundle.handlers.checkpoint import AverageStart, ResumableCheckpoint, WeightsSaver
from bundle.handlers.determinism import EpochSeed
from bundle.handlers.divergence import DivergenceGuard
from bundle.handlers.memory import KeepFreedMemory
from bundle.handlers.write_errors import WriteErrors
from bundle.io.files import save_atomically
from bundle.networks.weights import has_finite_weights, save_weights

pytestmark = pytest.mark.usefixtures("_determinism")


class Run:
    """A small training that draws from every random source."""

    def __init__(self, path, fingerprint: str = "f", stop: tuple[int, int] | None = None, seed: int = 3) -> None:
        self.model = nn.Linear(4, 1)
        nn.init.constant_(self.model.weight, 0.1)
        nn.init.zeros_(self.model.bias)
        self.optimizer = torch.optim.Adam(self.model.parameters(), lr=0.05)
        self.schedule = torch.optim.lr_scheduler.ExponentialLR(self.optimizer, 0.5)
        self.jitter = Compose([RandScaleIntensityd("x", factors=0.9, prob=1.0)])
        self.draws: list[tuple] = []
        self.stop = stop
        self.engine = Engine(self.step)
        EpochSeed(seed, self.jitter).attach(self.engine)
        self.engine.add_event_handler(Events.EPOCH_COMPLETED, lambda: self.schedule.step())
        objects = {"network": self.model, "optimizer": self.optimizer, "schedule": self.schedule}
        ResumableCheckpoint(path, objects, fingerprint).attach(self.engine)

    def step(self, engine: Engine, batch: torch.Tensor) -> None:
        if (engine.state.epoch, len(self.draws)) == self.stop:
            raise KeyboardInterrupt
        scaled = self.jitter({"x": torch.ones(1)})["x"].item()
        self.draws.append((engine.state.epoch, torch.rand(1).item(), np.random.rand(), scaled))  # noqa: NPY002
        loss = (self.model(batch + self.draws[-1][1]) - sum(self.draws[-1][2:])).square().mean()
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()

    def run(self, max_epochs: int = 4) -> Run:
        generator = torch.Generator().manual_seed(0)
        self.engine.run([torch.randn(5, 4, generator=generator) for _ in range(3)], max_epochs=max_epochs)
        return self

    def state(self) -> list[torch.Tensor]:
        moments = [value for state in self.optimizer.state.values() for value in state.values()]
        return [*self.model.state_dict().values(), *moments, torch.tensor(self.optimizer.param_groups[0]["lr"])]


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


def test_epochs_and_seeds_draw_differently(tmp_path):
    one, other = Run(tmp_path / "a.pt").run(), Run(tmp_path / "b.pt", seed=4).run()
    assert len({draw[1:] for draw in one.draws + other.draws}) == 24
    assert len({draw[3] for draw in one.draws}) == 12


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


def test_what_is_not_finite_is_found_in_parameters_and_buffers():
    layer = nn.BatchNorm1d(2)
    assert has_finite_weights(layer)
    for tensor in (layer.weight, layer.running_var):
        with torch.no_grad():
            tensor[1] = float("inf")
        assert not has_finite_weights(layer)
        with torch.no_grad():
            tensor[1] = 1
    assert has_finite_weights(layer)


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
    assert run.result.weight.item() == (taught if teacher else weight)
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


def test_weights_are_written_contiguous_and_what_is_obsolete_goes(tmp_path):
    model = nn.Conv2d(3, 8, 3).to(memory_format=torch.channels_last)
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


def test_a_failed_write_leaves_the_old_file(tmp_path):
    path = tmp_path / "model.pt"
    save_weights(nn.Linear(2, 1), path)
    before = path.read_bytes()
    with pytest.raises(AttributeError):
        save_atomically({"a": lambda: None}, path)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_items_go_with_their_outputs_and_none_is_lost():
    engine = Engine(lambda *_: None)
    engine.state.batch, engine.state.output = [{"name": "a"}, {"name": "b"}], [{"pred": 1}, {"pred": 2}]
    assert [(item["name"], output["pred"]) for item, output in finished_items(engine)] == [("a", 1), ("b", 2)]
    engine.state.output.pop()
    with pytest.raises(ValueError, match="shorter"):
        list(finished_items(engine))


def test_an_average_starts_from_weights_that_a_handler_loads():
    model = nn.Linear(2, 1)
    average = EMAHandler(model, momentum=0.5)
    engine = Engine(lambda *_: None)
    engine.add_event_handler(Events.STARTED, lambda: nn.init.constant_(model.weight, 3.0))
    average.attach(engine)
    AverageStart(average).attach(engine)
    engine.run([0])
    assert torch.equal(average.ema_model.weight, torch.full((1, 2), 3.0))


def test_the_same_weights_are_the_same_bytes(network, tmp_path):
    for name in ("a.pt", "b.pt"):
        save_weights(network, tmp_path / name)
    assert (tmp_path / "a.pt").read_bytes() == (tmp_path / "b.pt").read_bytes()


@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "full"), ValueError("a fault"), OSError(errno.EIO, "broken")])
def test_of_a_thread_s_errors_only_a_full_disk_is_not_shown(error, monkeypatch, tmp_path):
    shown = []
    monkeypatch.setattr(threading, "excepthook", shown.append)
    for _ in range(2):
        WriteErrors(tmp_path).attach(Engine(lambda engine, batch: None))

    def fail():
        raise error

    thread = threading.Thread(target=fail)
    thread.start()
    thread.join()
    assert [args.exc_value for args in shown] == ([] if getattr(error, "errno", 0) == errno.ENOSPC else [error])


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (OSError(errno.ENOSPC, "full"), "no room is left in"),
        (CallError("It is wrong.", "Mend it."), "It is wrong. Mend it."),
        (ValueError("a fault"), None),
    ],
)
def test_a_run_ends_with_one_line_only_where_nothing_can_be_written(error, line, tmp_path):
    def step(engine, batch):
        raise error

    engine = Engine(step)
    WriteErrors(tmp_path).attach(engine)
    later = []
    engine.add_event_handler(Events.EXCEPTION_RAISED, later.append)
    with pytest.raises(CallError if line else ValueError, match=line or "a fault"):
        engine.run([0])
    assert later == []


FAULTS = """
import resource, sys
import torch
from ignite.engine import Engine, Events
from bundle.handlers import KeepFreedMemory

faults = []

def step(engine, batch):
    torch.ones(10 * 2**20)  # 40 MiB, above what glibc keeps by itself
    faults.append(resource.getrusage(resource.RUSAGE_SELF).ru_minflt)

engine = Engine(step)
if sys.argv[1] == "keep":
    KeepFreedMemory().attach(engine)
resident = lambda: int(open("/proc/self/statm").read().split()[1]) * resource.getpagesize() >> 20
engine.add_event_handler(Events.ITERATION_COMPLETED, lambda: setattr(engine.state, "kept", resident()))
engine.run([0] * 12)
print(faults[-1] - faults[1], engine.state.kept - resident())
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another C library has no such thresholds")
def test_freed_memory_is_kept_while_the_engine_runs_and_given_back_then():
    """In processes of their own, for the thresholds hold for a whole process."""
    faults, given_back = {}, {}
    for choice in ("keep", "leave"):
        command = [sys.executable, "-c", FAULTS, choice]
        said = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
        faults[choice], given_back[choice] = map(int, said)
    assert faults["leave"] > 100
    assert faults["keep"] < faults["leave"] / 10
    assert given_back["keep"] > 30
    assert given_back["leave"] < 10


@pytest.mark.parametrize("error", [AttributeError, OSError, TypeError])
def test_where_the_c_library_is_another_freed_memory_is_left_as_it_is(error, monkeypatch):
    class Library:
        def __init__(self, name):
            if error is not AttributeError:
                raise error

    monkeypatch.setattr("bundle.handlers.ctypes.CDLL", Library)
    engine = Engine(lambda engine, batch: batch)
    KeepFreedMemory().attach(engine)
    assert engine.run([1, 2]).iteration == 2
