"""Freed memory is kept while an engine runs, and given back at its end."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest
from ignite.engine import Engine

from bundle.handlers.memory import KeepFreedMemory

FAULTS = """
import resource, sys
import torch
from ignite.engine import Engine, Events
from bundle.handlers.memory import KeepFreedMemory

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
    """In processes of their own, because the thresholds hold for a whole process."""
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

    monkeypatch.setattr("bundle.handlers.memory.ctypes.CDLL", Library)
    engine = Engine(lambda engine, batch: batch)
    KeepFreedMemory().attach(engine)
    assert engine.run([1, 2]).iteration == 2
