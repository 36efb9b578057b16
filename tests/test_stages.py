"""How a stage ends."""

from __future__ import annotations

from typing import Any

import pytest

from bundle.errors import CallError, SomeUnreadableError
from bundle.stages import exit_status, run_stage


def test_a_command_ends_with_status_1_if_something_was_unreadable(monkeypatch):
    monkeypatch.setattr("bundle.stages.is_command", lambda: True)
    exit_status({})
    with pytest.raises(SystemExit) as raised:
        exit_status({"b": "empty"})
    assert raised.value.code == 1


def test_any_other_program_gets_an_exception_that_names_what_was_unreadable():
    exit_status({})
    with pytest.raises(SomeUnreadableError, match="2 unreadable, all others are done: a, b"):
        exit_status({"a": "empty", "b": "empty"})


def test_a_nested_key_that_leads_nowhere_is_a_wrong_call(tmp_path):
    wrong: dict[str, Any] = {"train#optimiser#lr": 1.0}
    with pytest.raises(CallError, match="training lacks a part of train#optimiser#lr .*optimiser"):
        run_stage("training", dataset_dir=tmp_path, output_dir=tmp_path / "out", **wrong)
    assert not (tmp_path / "out").exists()
