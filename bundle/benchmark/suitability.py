"""What the limits of `inference` on sharpness and distance say of held-out source photographs and of other folders.

Usage: python -m bundle.benchmark.suitability --source DATA/refuge/train [--shifts blur_noise,severe] [FOLDER ...]

The shifts are made of the held-out photographs, every other one, in a temporary folder. Nothing looks at labels, except
that the shifts are made with them (`bundle.shifts`).
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from monai.bundle import ConfigParser

from bundle.data.listing import list_photographs
from bundle.data.splits import split_source
from bundle.stages import BUNDLE_ROOT
from bundle.synthetic.shifts import write_shifted
from bundle.uncertainty.norm_distance import FirstNormInput
from bundle.uncertainty.sharpness import sharpness


def main() -> None:
    """Measure and print a row for each set of photographs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--source", type=Path, required=True)
    parser.add_argument("--shifts", default="blur_noise,low_light,severe")
    parser.add_argument("folders", type=Path, nargs="*")
    args = parser.parse_args()
    torch.set_num_threads(1)
    held_out = split_source(list_photographs(args.source, labels="required"), 0.2, 0)[1]
    print("set | photographs | sharpness lowest, 2 %, median | distance median, 98 %, highest | blurred | unlike")
    show("source held out", held_out, "crop")
    for shift in filter(None, args.shifts.split(",")):
        with tempfile.TemporaryDirectory() as folder:
            write_shifted(held_out[::2], folder, shift)
            show(shift, list_photographs(folder), "crop")
    for folder in args.folders:
        show(str(folder), list_photographs(folder), "auto")


def show(name: str, items: Sequence[dict[str, Any]], view: str) -> None:
    """Print the row of a set."""
    config = ConfigParser()
    config.read_config(BUNDLE_ROOT / "configs" / "inference.json")
    config.update({"bundle_root": str(BUNDLE_ROOT), "view": view})
    network, prepare = config.get_parsed_content("network").eval(), config.get_parsed_content("preprocessing")
    sharp, far = [], []
    with torch.no_grad(), FirstNormInput(network) as first:
        for item in items:
            image = prepare({"image": item["image"]})["image"].as_tensor()
            network(image[None])
            sharp.append(sharpness(image))
            far.append(float(first.distance[0]))
    blurred = np.mean(np.array(sharp) < config.get_parsed_content("min_sharpness"))
    unlike = np.mean(np.array(far) > config.get_parsed_content("max_distance"))
    values = [*np.quantile(sharp, (0, 0.02, 0.5)), *np.quantile(far, (0.5, 0.98, 1))]
    listed = " | ".join(", ".join(f"{value:.3f}" for value in part) for part in (values[:3], values[3:]))
    print(f"{name} | {len(items)} | {listed} | {blurred:.1%} | {unlike:.1%}", flush=True)


if __name__ == "__main__":
    main()
