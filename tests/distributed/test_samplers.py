"""Processes share out the batches of one."""

from __future__ import annotations

import ignite.distributed as idist
import pytest
import torch
from monai.data import Dataset
from torch.utils.data import DataLoader

from bundle.distributed.samplers import DealtBatches, SplitBatches
from bundle.errors import CallError


@pytest.fixture
def as_process(monkeypatch):
    """``as_process(rank, count)`` makes this process one of several, as far as samplers ask."""

    def become(rank: int, count: int) -> None:
        monkeypatch.setattr(idist, "get_rank", lambda: rank)
        monkeypatch.setattr(idist, "get_world_size", lambda: count)

    return become


@pytest.mark.parametrize(
    ("photographs", "batch_size", "count"), [(5, 1, 2), (7, 2, 2), (7, 3, 4), (4, 2, 2), (1, 8, 3)]
)
def test_dealt_batches_are_those_of_one_process(photographs, batch_size, count, as_process):
    whole = list(DealtBatches(range(photographs), batch_size))
    assert [i for batch in whole for i in batch] == list(range(photographs))
    shares = []
    for rank in range(count):
        as_process(rank, count)
        sampler = DealtBatches(range(photographs), batch_size)
        shares.append(list(sampler))
        assert len(sampler) == len(shares[-1]) == len(shares[0])
    assert [share[i] for i in range(len(shares[0])) for share in shares if share[i]] == whole


@pytest.mark.parametrize("at_most", [None, 100, 4])
@pytest.mark.parametrize(("photographs", "batch_size", "count"), [(5, 4, 2), (8, 4, 2), (9, 4, 3), (7, 3, 3)])
def test_split_batches_are_those_of_one_process(photographs, batch_size, count, at_most, as_process):
    data = Dataset(range(photographs))
    torch.manual_seed(3)
    whole = [batch.tolist() for batch in DataLoader(data, batch_size, shuffle=True)]
    if at_most == 4:
        first = [i for batch in whole for i in batch][:at_most]
        whole = [first[i : i + batch_size] for i in range(0, at_most, batch_size)]
    shares = []
    for rank in range(count):
        as_process(rank, count)
        torch.manual_seed(3)
        split = SplitBatches(data, batch_size, photographs=at_most)
        shares.append([batch.tolist() for batch in DataLoader(data, batch_sampler=split)])
    for batch, parts in zip(whole, zip(*shares, strict=True), strict=True):
        rows = [i for part in parts for i in part]
        assert set(rows) == set(batch)
        assert all(parts)
        # Only a batch of fewer rows than processes has a row twice.
        assert rows == batch or len(batch) < count
    as_process(0, count)
    assert len(SplitBatches(data, batch_size, drop_last=True)) == photographs // batch_size


def test_more_processes_than_rows_are_a_wrong_call(as_process):
    as_process(0, 3)
    for photographs, batch_size in ((2, 8), (9, 2)):
        with pytest.raises(CallError, match="3 processes cannot share"):
            SplitBatches(range(photographs), batch_size)
    assert len(SplitBatches([], 8)) == 0
