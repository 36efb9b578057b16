"""How bright, sharp and familiar photographs are, and how many are marked for it.

    python -m bundle.benchmark.suitability --source DATA/refuge/train [--shifts blur_noise,severe] [FOLDER ...]

The first row is that of the source's held-out photographs. The limits are those of inference. The shifts are made from
every other held-out photograph, in a temporary folder. Labels are used to make the shifts only.
"""

from __future__ import annotations

import argparse
import tempfile
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from monai.bundle import ConfigParser

from bundle.benchmark.markdown import table
from bundle.benchmark.setup import chosen_photographs
from bundle.data.listing import list_photographs
from bundle.stages import BUNDLE_ROOT
from bundle.synthetic.shifts import write_shifted
from bundle.uncertainty.norm_distance import NormDistances
from bundle.uncertainty.quality import Quality, QualityLimits, quality_of_view

__all__ = ["main", "row"]

HEADER = ["photographs", "number", "brightness: lowest, 2 %, median", "overexposed: median, 98 %, highest"]
HEADER += ["sharpness: lowest, 2 %, median", "distance: median, 98 %, highest"]
HEADER += ["fundus distance: median, 98 %, highest"]
LOW, HIGH = (0, 0.02, 0.5), (0.5, 0.98, 1)
SHOWN = {"brightness": LOW, "overexposed": HIGH, "sharpness": LOW, "norm_distance": HIGH, "fundus_distance": HIGH}
"""Measures in the order of the columns, and the quantiles that are shown of each."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure each set of photographs and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--source", type=Path, required=True)
    parser.add_argument("--shifts", default="blur_noise,low_light,severe")
    parser.add_argument("folders", type=Path, nargs="*")
    call = parser.parse_args(arguments)
    torch.set_num_threads(1)
    held_out = chosen_photographs(call.source, "required", held_out=True)
    rows = [row("source held out", held_out, "crop")]
    for shift in filter(None, call.shifts.split(",")):
        with tempfile.TemporaryDirectory() as folder:
            write_shifted(held_out[::2], folder, shift)
            rows.append(row(shift, list_photographs(folder), "crop"))
    for folder in call.folders:
        rows.append(row("/".join(folder.parts[-2:]), list_photographs(folder), "auto"))
    print("\n".join(table([*HEADER, "marked"], rows)))


def row(name: str, items: Sequence[dict[str, str]], view: str) -> list[str]:
    """Measure a set of photographs.

    Args:
        name: of the set.
        items: its photographs.
        view: see ``DiscViewd``.

    Returns:
        The cells of its row, see ``HEADER``, and how many are marked for what.
    """
    config = ConfigParser()
    config.read_config(BUNDLE_ROOT / "configs" / "inference.json")
    config.update({"bundle_root": str(BUNDLE_ROOT), "view": view})
    found = measure(config, items)
    limits: QualityLimits = config.get_parsed_content("quality")
    faults = Counter(fault for quality in found for fault in limits.faults(quality))
    faults["out of focus"] = sum(quality.sharpness < config["min_sharpness"] for quality in found)
    faults["unlike anything seen in training"] = sum(q.norm_distance > config["max_distance"] for q in found)
    cells = (np.quantile([getattr(quality, key) for quality in found], q) for key, q in SHOWN.items())
    marked = ", ".join(f"{number} {fault}" for fault, number in faults.items() if number)
    return [name, str(len(items)), *(", ".join(f"{value:.3f}" for value in cell) for cell in cells), marked or "none"]


def measure(config: ConfigParser, items: Sequence[dict[str, str]]) -> list[Quality]:
    """What the network's view of each photograph, and the network, tell of its quality."""
    network, prepare = config.get_parsed_content("network").eval(), config.get_parsed_content("preprocessing")
    found = []
    with torch.no_grad(), NormDistances(network) as distances:
        for item in items:
            image = prepare({"image": item["image"]})["image"].as_tensor()
            network(image[None])
            assert distances.first is not None
            first, over_all = float(distances.first[0]), float(distances.over_all()[0])
            found.append(quality_of_view(image)._replace(norm_distance=first, fundus_distance=over_all))
    return found


if __name__ == "__main__":
    main()
