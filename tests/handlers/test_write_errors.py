"""Where nothing can be written a run ends with one line, and other errors pass."""

from __future__ import annotations

import errno
import threading

import pytest
from ignite.engine import Engine, Events

from bundle.errors import CallError
from bundle.handlers.write_errors import WriteErrors


@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "full"), ValueError("a fault"), OSError(errno.EIO, "broken")])
def test_of_a_thread_s_errors_only_a_full_disk_is_not_shown(error, monkeypatch, tmp_path):
    shown: list[threading.ExceptHookArgs] = []
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
    later: list[Exception] = []
    engine.add_event_handler(Events.EXCEPTION_RAISED, later.append)
    with pytest.raises(CallError if line else ValueError, match=line or "a fault"):
        engine.run([0])
    assert later == []
