"""Segment photographs and adapt to their camera from Python: python docs/python_example.py [FOLDER]

FOLDER holds photographs; without it, made-up ones are drawn.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image

from bundle import adapt, load, segment
from bundle.synthetic.phantoms.photographs import make_crop, make_photograph


def draw(folder: Path) -> None:
    """Three photographs of one made-up camera, and a file that is none."""
    for number in range(2):
        Image.fromarray(make_crop(30 + number, camera="tight_red", size=256).image).save(folder / f"crop_{number}.png")
    Image.fromarray(make_photograph(32, camera="tight_red", size=(600, 450)).image).save(folder / "whole.png")
    (folder / "broken.png").write_bytes(b"")


def main(folder: Path, output: Path) -> None:
    """Segment, adapt, and segment again."""
    model = load()
    for result in segment(folder, model):
        print(result.image, f"vCDR {result.measurements.vcdr:.2f}", result.status, result.reason or "-", sep=" | ")

    # bn trains nothing and is the quickest; the default, plus, is the best and takes minutes.
    adapted = adapt(folder, output, recipe="bn", model=model, view="crop", batch_size=4)
    print(f"adapted by {adapted.record['recipe']} to {adapted.record['after']['photographs']} photographs")

    photograph = np.asarray(Image.open(folder / "crop_0.png").convert("RGB"))
    (before,), (after,) = (segment(photograph, which, view="crop") for which in (model, adapted.model))
    for name, result in (("before", before), ("after", after)):
        assert result.label is not None
        print(f"{name}: cup {np.mean(result.label == 2):.2f} of the picture, uncertainty {result.uncertainty:.2f}")


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as temporary:
        photographs = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(temporary, "photographs")
        if len(sys.argv) == 1:
            photographs.mkdir()
            draw(photographs)
        main(photographs, Path(temporary, "adapted"))
