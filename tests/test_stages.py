"""How a stage ends."""

from __future__ import annotations

import pytest

from bundle.stages import exit_status


def test_exit_status_is_1_if_something_was_unreadable():
    exit_status({})
    with pytest.raises(SystemExit) as raised:
        exit_status({"b": "empty"})
    assert raised.value.code == 1
