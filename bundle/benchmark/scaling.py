"""How much faster two processes of one thread each adapt and segment than one.

    python -m bundle.benchmark.scaling [--photographs 16] [--processes 2] [--turns 1]

Each measurement runs a stage on made-up crops with the shipped model. It counts from the first photograph to the last
file, without the time to start Python and to import MONAI. Adaptation is two epochs of plus in batches of four. Runs
with one and with more processes alternate. On a machine that does other work at the same time, wall-clock seconds mean
little; the CPU seconds of the busiest process show how well the work is shared.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, cast

import ignite.distributed as idist
import torch
from monai.bundle import ConfigWorkflow

from bundle.stages import BUNDLE_ROOT, STAGES
from bundle.synthetic.phantoms.photographs import write_dataset

__all__ = ["main"]

SHORT = {"batch_size": 4, "recipes#plus#max_epochs": 2, "recipes#plus#least_steps": 0}
MARK = '{"seconds"'
"""Start of the line with the measurement, which distinguishes it from the lines that a stage prints."""
CLOCKS = ("the clock", "the processor, busiest process")


def main(arguments: Sequence[str] | None = None) -> None:
    """Print a table of the seconds in one and in several processes, and of their ratio."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photographs", type=int, default=16)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--turns", type=int, default=1)
    parser.add_argument("--measure", nargs=3, metavar=("STAGE", "DATA", "OUTPUT"), help="used by this program itself")
    call = parser.parse_args(arguments)
    if call.measure:
        measure(*call.measure)
        return
    print(f"| stage | seconds of | 1 process | {call.processes} processes | ratio |")
    print("| --- | --- | --- | --- | --- |")
    for row in rows(call.photographs, call.processes, call.turns):
        print(row, flush=True)


def rows(photographs: int, processes: int, turns: int) -> Iterator[str]:
    """Yield the rows of the table, each as soon as it is measured."""
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "data"
        write_dataset(data, photographs, kind="crop", cameras=("tight_red",), size=256, seed=0)
        for stage in ("adaptation", "inference"):
            found: dict[int, list[list[float]]] = {1: [], processes: []}
            for turn in range(turns):
                for number, measured in found.items():
                    measured.append(seconds(number, stage, data, Path(folder) / f"{stage}-{number}-{turn}"))
            for i, clock in enumerate(CLOCKS):
                one, more = (statistics.median(turn[i] for turn in measured) for measured in found.values())
                yield f"| {stage} | {clock} | {one:.1f} | {more:.1f} | {one / more:.2f} |"


def seconds(processes: int, stage: str, dataset_dir: Path, output_dir: Path) -> list[float]:
    """Run a stage in several processes and return its seconds by each of ``CLOCKS``."""
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc_per_node={processes}"]
    command += ["-m", "bundle.benchmark.scaling", "--measure", stage, str(dataset_dir), str(output_dir)]
    env = os.environ | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, env=env, stdout=subprocess.PIPE, text=True, check=True)
    return next(json.loads(line)["seconds"] for line in done.stdout.splitlines() if line.startswith(MARK))


def measure(stage: str, dataset_dir: str, output_dir: str) -> None:
    """Run a stage in this process, one of those that ``torchrun`` started; the first one prints the seconds."""
    torch.set_num_threads(1)
    configs, name = BUNDLE_ROOT / "configs", STAGES[stage]
    overrides: dict[str, Any] = SHORT if stage == "adaptation" else {}
    workflow = ConfigWorkflow(
        config_file=[str(configs / f"{name}.json"), str(configs / f"multi_gpu_{name}.json")],
        meta_file=str(configs / "metadata.json"),
        logging_file=str(configs / "logging.conf"),
        run_id=stage,
        **{"bundle_root": str(BUNDLE_ROOT), "dataset_dir": dataset_dir, "output_dir": output_dir, "view": "crop"},
        **overrides,
    )
    workflow.initialize()
    idist.barrier()
    clock, processor = time.perf_counter(), time.process_time()
    workflow.run()
    (busiest,) = max(cast(list[list[float]], idist.all_gather([time.process_time() - processor])))
    if idist.get_rank() == 0:
        print(json.dumps({"seconds": [time.perf_counter() - clock, busiest]}))
    workflow.finalize()


if __name__ == "__main__":
    main()
