"""What was dealt to several processes comes back in order."""

from __future__ import annotations

import ignite.distributed as idist

from bundle.distributed.collect import collect_dealt, finish


def collected(values: list[list]) -> list:
    idist.initialize("gloo")
    found = collect_dealt(values[idist.get_rank()])
    finish()
    return found


def test_what_was_dealt_comes_back_in_order_without_gaps(processes):
    shares = [["a", None, "e"], ["b", "d", None]]
    assert processes(collected, shares) == [["a", "b", "d", "e"]] * 2
    assert collect_dealt(["a", None, "b"]) == ["a", "b"]
