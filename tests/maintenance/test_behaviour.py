"""Two recorded folders are the same if their files hold the same, however they were written."""

from __future__ import annotations

import json
import sys
from typing import Any

import numpy as np
import pytest
import torch

from bundle.errors import CallError
from bundle.maintenance import behaviour
from bundle.maintenance.behaviour import compare


def write(folder, values, weight=1.0, cells="a,b\n"):
    """What two runs leave; ``values`` are written in their own order."""
    (folder / "scores").mkdir(parents=True)
    (folder / "scores" / "metrics.json").write_text(json.dumps(values))
    (folder / "scores" / "metrics.csv").write_text(cells)
    (folder / "labels").mkdir()
    arrays: dict[str, Any] = {name: np.full(3, value) for name, value in values.items()}
    np.savez(folder / "labels" / "a.npz", **arrays)
    torch.save({name: torch.tensor([weight]) for name in values}, folder / "labels" / "model.pt")
    return folder


@pytest.fixture
def before(tmp_path):
    return write(tmp_path / "before", {"x": 1, "y": 2})


def test_order_packing_and_events_do_not_count(before, tmp_path, capsys):
    after = write(tmp_path / "after", {"y": 2, "x": 1})
    (after / "scores" / "events").mkdir()
    (after / "scores" / "events" / "host.1234").write_bytes(b"a time")
    (after / "scores.done").touch()
    assert compare(before, after) == {"labels": [], "scores": []}
    assert "labels                 2 files,   2 equal" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("change", "differing"),
    [
        ({"values": {"x": 1, "y": 3}}, ["labels/a.npz", "scores/metrics.json"]),
        ({"weight": 2.0}, ["labels/model.pt"]),
        ({"cells": "a,c\n"}, ["scores/metrics.csv"]),
    ],
)
def test_what_differs_is_named(change, differing, before, tmp_path, capsys):
    after = write(tmp_path / "after", **{"values": {"x": 1, "y": 2}} | change)
    assert [name for names in compare(before, after).values() for name in names] == differing
    assert all(name in capsys.readouterr().out for name in differing[-1:])


def test_a_file_that_only_one_has_differs(before, tmp_path):
    after = write(tmp_path / "after", {"x": 1, "y": 2})
    (after / "scores" / "metrics.csv").unlink()
    assert compare(before, after)["scores"] == ["scores/metrics.csv"]
    assert compare(after, before)["scores"] == ["scores/metrics.csv"]
    with pytest.raises(CallError, match="nothing in"):
        compare(tmp_path / "nowhere", tmp_path / "neither")


def test_recording_goes_on_where_it_stopped(tmp_path, monkeypatch):
    program = tmp_path / "python"
    program.write_text(f'#!/bin/sh\necho "$@" >> {tmp_path}/calls\ncase "$*" in *refinement*) exit 3;; esac\n')
    program.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(program))
    for _ in range(2):
        with pytest.raises(CallError, match="refinement ended with status 3"):
            behaviour.record(tmp_path, tmp_path / "record")
    stages = [line.split()[3] for line in (tmp_path / "calls").read_text().splitlines() if line.startswith("-m")]
    assert stages == ["inference", "evaluation", "refinement", "refinement"]
