"""How many held-out source photographs, and photographs of other folders, exceed the limits on sharpness and distance.

    python -m bundle.benchmark.suitability --source DATA/refuge/train [--shifts blur_noise,severe] [FOLDER ...]

The limits are those of inference. The shifts are made from every other held-out photograph, in a temporary folder.
Labels are used to make the shifts only.
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

from bundle.benchmark.setup import chosen_photographs
from bundle.data.listing import list_photographs
from bundle.stages import BUNDLE_ROOT
from bundle.synthetic.shifts import write_shifted
from bundle.uncertainty.norm_distance import FirstNormInput
from bundle.uncertainty.sharpness import sharpness

__all__ = ["main", "row"]


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print a row for each set of photographs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--source", type=Path, required=True)
    parser.add_argument("--shifts", default="blur_noise,low_light,severe")
    parser.add_argument("folders", type=Path, nargs="*")
    call = parser.parse_args(arguments)
    torch.set_num_threads(1)
    held_out = chosen_photographs(call.source, "required", held_out=True)
    print("set | photographs | sharpness lowest, 2 %, median | distance median, 98 %, highest | blurred | unlike")
    print(row("source held out", held_out, "crop"), flush=True)
    for shift in filter(None, call.shifts.split(",")):
        with tempfile.TemporaryDirectory() as folder:
            write_shifted(held_out[::2], folder, shift)
            print(row(shift, list_photographs(folder), "crop"), flush=True)
    for folder in call.folders:
        print(row(str(folder), list_photographs(folder), "auto"), flush=True)


def row(name: str, items: Sequence[dict[str, Any]], view: str) -> str:
    """Measure a set of photographs and format its row of the table.

    Args:
        name: of the set.
        items: its photographs.
        view: see ``DiscViewd``.

    Returns:
        Quantiles of both measures, and the shares of photographs beyond the limits.
    """
    config = ConfigParser()
    config.read_config(BUNDLE_ROOT / "configs" / "inference.json")
    config.update({"bundle_root": str(BUNDLE_ROOT), "view": view})
    sharp, far = measure(config, items)
    blurred = np.mean(np.array(sharp) < config.get_parsed_content("min_sharpness"))
    unlike = np.mean(np.array(far) > config.get_parsed_content("max_distance"))
    values = [*np.quantile(sharp, (0, 0.02, 0.5)), *np.quantile(far, (0.5, 0.98, 1))]
    listed = " | ".join(", ".join(f"{value:.3f}" for value in part) for part in (values[:3], values[3:]))
    return f"{name} | {len(items)} | {listed} | {blurred:.1%} | {unlike:.1%}"


def measure(config: ConfigParser, items: Sequence[dict[str, Any]]) -> tuple[list[float], list[float]]:
    """Sharpness and distance of each photograph's view."""
    network, prepare = config.get_parsed_content("network").eval(), config.get_parsed_content("preprocessing")
    sharp, far = [], []
    with torch.no_grad(), FirstNormInput(network) as first:
        for item in items:
            image = prepare({"image": item["image"]})["image"].as_tensor()
            network(image[None])
            sharp.append(sharpness(image))
            assert first.distance is not None
            far.append(float(first.distance[0]))
    return sharp, far


if __name__ == "__main__":
    main()
