"""How much faster two processes of one thread each adapt and segment than one: ``python -m bundle.benchmark.scaling``.

Each measurement is the run of a stage on made-up crops with the shipped model, from the first photograph to the last
file; starting Python and importing MONAI is left out. Adaptation is two epochs of ``plus`` in batches of four. The
numbers of processes take turns. On a machine that does other work too the seconds on the clock say little; the
processor's own seconds of the process that has most to do show how far the work is shared.
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
from pathlib import Path

import ignite.distributed as idist
import torch
from monai.bundle import ConfigWorkflow

from bundle.stages import BUNDLE_ROOT, STAGES
from bundle.synthetic.phantoms.photographs import write_dataset

SHORT = {"batch_size": 4, "recipes#plus#max_epochs": 2, "recipes#plus#least_steps": 0}


def measure(stage: str, dataset_dir: str, output_dir: str) -> None:
    """Run a stage in this process, one of those that ``torchrun`` started; the first one prints the seconds."""
    torch.set_num_threads(1)
    configs = BUNDLE_ROOT / "configs"
    name = STAGES[stage]
    workflow = ConfigWorkflow(
        config_file=[str(configs / f"{name}.json"), str(configs / f"multi_gpu_{name}.json")],
        meta_file=str(configs / "metadata.json"),
        logging_file=str(configs / "logging.conf"),
        run_id=stage,
        **{"bundle_root": str(BUNDLE_ROOT), "dataset_dir": dataset_dir, "output_dir": output_dir, "view": "crop"},
        **(SHORT if stage == "adaptation" else {}),
    )
    workflow.initialize()
    idist.barrier()
    clock, processor = time.perf_counter(), time.process_time()
    workflow.run()
    processor = max(idist.all_gather([time.process_time() - processor]))[0]
    if idist.get_rank() == 0:
        print(json.dumps({"seconds": [time.perf_counter() - clock, processor]}))
    workflow.finalize()


def seconds(processes: int, stage: str, dataset_dir: Path, output_dir: Path) -> list[float]:
    """Seconds that a stage takes in so many processes: on the clock, and of the processor in the busiest of them."""
    call = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc_per_node={processes}"]
    call += [__file__, "--measure", stage, str(dataset_dir), str(output_dir)]
    done = subprocess.run(
        call, env=os.environ | {"OMP_NUM_THREADS": "1"}, stdout=subprocess.PIPE, text=True, check=True
    )
    return next(json.loads(line)["seconds"] for line in done.stdout.splitlines() if line.startswith('{"seconds"'))


def main() -> None:
    """Print a table: seconds in one and in more processes, and how many times faster more are."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--photographs", type=int, default=16)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--turns", type=int, default=1)
    parser.add_argument("--measure", nargs=3, metavar=("STAGE", "DATA", "OUTPUT"), help="used by this script itself")
    arguments = parser.parse_args()
    if arguments.measure:
        measure(*arguments.measure)
        return
    print(f"| stage | seconds of | 1 process | {arguments.processes} processes | ratio |")
    print("| --- | --- | --- | --- | --- |")
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "data"
        write_dataset(data, arguments.photographs, kind="crop", cameras=("tight_red",), size=256, seed=0)
        for stage in ("adaptation", "inference"):
            found: dict[int, list[list[float]]] = {1: [], arguments.processes: []}
            for turn in range(arguments.turns):
                for processes in found:
                    output = Path(folder) / f"{stage}-{processes}-{turn}"
                    found[processes].append(seconds(processes, stage, data, output))
            for i, what in enumerate(("the clock", "the processor, busiest process")):
                one, more = (statistics.median(turn[i] for turn in found[processes]) for processes in found)
                print(f"| {stage} | {what} | {one:.1f} | {more:.1f} | {one / more:.2f} |", flush=True)


if __name__ == "__main__":
    main()
