"""Feed mutated files through inference, from the readers to the report, and say what became of them.

Usage: python -m tests.robustness.fuzz --files 10000 [--first 0] [--batch 500] [--output output/fuzz]

The network is the shipped one's architecture at a size of 32 pixels with a small encoder and random weights: what is
tried here are readers, views, masks and tables. A batch that ends in an exception stays on disk and ends the run.
"""

from __future__ import annotations

import argparse
import csv
import resource
import shutil
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from bundle.networks.head import classifier_of
from bundle.networks.unet import DiscCupUNet
from bundle.stages import BUNDLE_ROOT, run_stage
from tests.robustness.fuzzing import mutant

SMALL: dict[str, Any] = {"backbone": "efficientnet-lite0-small", "decoder_channels": [16, 16, 8, 8]}


def main(arguments: Sequence[str] | None = None) -> None:
    """Run and print a line of figures.

    Raises:
        SystemExit: with status 1, if a file has no row of its own.
    """
    parser = argparse.ArgumentParser(description="Feed mutated files through inference.")
    parser.add_argument("--files", type=int, default=10_000)
    parser.add_argument("--first", type=int, default=0, help="the first file's seed")
    parser.add_argument("--batch", type=int, default=500, help="files in a folder")
    parser.add_argument("--output", type=Path, default=BUNDLE_ROOT / "output" / "fuzz")
    call = parser.parse_args(arguments)
    call.output.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(0)
    network = DiscCupUNet(**SMALL)
    # A fresh head calls nearly everything background: measurements and contours would see nothing.
    classifier = classifier_of(network.segmentation_head)
    classifier.bias = torch.nn.Parameter(torch.tensor([-0.5, 0.5, 0.0]))
    torch.nn.init.normal_(classifier.weight, std=50)
    torch.save(network.state_dict(), call.output / "model.pt")
    found: Counter[str] = Counter()
    started = time.monotonic()
    for first in range(call.first, call.first + call.files, call.batch):
        seeds = range(first, min(first + call.batch, call.first + call.files))
        found += batch(seeds, call.output)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
        print(f"{found.total()} files: {dict(found)}; {time.monotonic() - started:.0f} s; {peak:.2f} GB", flush=True)


def batch(seeds: range, output: Path) -> Counter[str]:
    """How often each status was given to the files of these seeds, each of which must have one row."""
    folder, results = output / "in", output / "out"
    for path in (folder, results):
        shutil.rmtree(path, ignore_errors=True)
    folder.mkdir()
    names = set()
    for seed in seeds:
        name, content = mutant(seed)
        (folder / name).write_bytes(content)
        names.add(name)
    settings = {f"network_def#{key}": value for key, value in SMALL.items()} | {"image_size": 32, "view": "crop"}
    checkpoint = str(output / "model.pt")
    run_stage("inference", dataset_dir=str(folder), output_dir=str(results), checkpoint=checkpoint, **settings)
    with (results / "report.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    if {row["image"] for row in rows} != names or len(rows) != len(names):
        raise SystemExit(1)
    return Counter(row["status"] for row in rows)


if __name__ == "__main__":
    main()
