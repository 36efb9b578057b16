"""Processes of their own, for which importing MONAI is paid once."""

from __future__ import annotations

import multiprocessing
import os
import socket
import traceback
from collections.abc import Callable
from multiprocessing.context import ForkServerContext
from typing import Any

import torch


def forkserver() -> ForkServerContext:
    """A context whose processes are forked from one server, which imports MONAI and the stages once for all of them.

    Forking from the test process itself would be sooner still, but autograd forbids it after the first backward pass.
    """
    context = multiprocessing.get_context("forkserver")
    # The last is what the first optimiser of a process imports.
    context.set_forkserver_preload(["bundle.stages", "ignite.distributed", "monai.bundle", "torch._dynamo"])
    return context


class Processes:
    """``count`` workers on loopback, which form a group of PyTorch's for each job.

    Call it with a function of a module and its arguments. The function runs in as many of them as asked for, with the
    environment that ``torchrun`` would give it.
    """

    def __init__(self, count: int) -> None:
        self.pipes: list[Any] = [None] * count
        self.workers: list[Any] = [None] * count
        for rank in range(count):
            self.restart(rank)

    def restart(self, rank: int) -> None:
        """A new worker in the place of one that was killed."""
        context = forkserver()
        self.pipes[rank], there = context.Pipe()
        self.workers[rank] = context.Process(target=_serve, args=(rank, there), daemon=True)
        self.workers[rank].start()
        # Held here too, it would keep the pipe of a killed worker open.
        there.close()

    def __call__(
        self, job: Callable, *args: Any, count: int | None = None, timeout: float = 240, **kwargs: Any
    ) -> list:
        """What ``job`` returns in each process, by rank.

        Raises:
            AssertionError: when it raised in one of them, or did not return in time.
        """
        pipes = self.pipes[:count]
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        for pipe in pipes:
            pipe.send((job, args, kwargs, len(pipes), port))
        found = []
        for pipe in pipes:
            assert pipe.poll(timeout), "a process does not answer: it hangs"
            try:
                found.append(pipe.recv())
            except EOFError:
                found.append(("a process was killed", None))
        errors = [error for error, _ in found if error]
        assert not errors, "\n".join(errors)
        return [value for _, value in found]

    def close(self) -> None:
        for worker in self.workers:
            worker.kill()


def _serve(rank: int, pipe: Any) -> None:
    torch.set_num_threads(1)
    while True:
        job, args, kwargs, count, port = pipe.recv()
        settings = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": count, "MASTER_ADDR": "127.0.0.1"}
        os.environ |= {key: str(value) for key, value in (settings | {"MASTER_PORT": port}).items()}
        try:
            pipe.send((None, job(*args, **kwargs)))
        except BaseException:
            pipe.send((traceback.format_exc(), None))
