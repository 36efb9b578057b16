"""Sample photographs: the real one that scikit-image ships, and synthetic ones of several cameras."""

from __future__ import annotations

from pathlib import Path

import skimage
from PIL import Image

from bundle.synthetic.phantoms.photographs import make_crop, make_photograph

__all__ = ["write_samples"]

CROPS = (("plain", 3), ("tight_red", 4), ("cool_hazy", 5))
PHOTOGRAPHS = (("plain", 11), ("dim_blurred", 12), ("tight_red", 13))
"""Camera style and seed of each synthetic sample."""


def write_samples(folder: Path) -> None:
    """Write sample crops and whole photographs, one of them without a disc; the files are the same every time.

    Args:
        folder: receives ``retina.jpg``, ``crop_<camera>.png`` and ``photograph_<camera>.png``; created if necessary.
    """
    folder.mkdir(parents=True, exist_ok=True)
    Image.fromarray(skimage.data.retina()).save(folder / "retina.jpg", quality=95)
    for camera, seed in CROPS:
        Image.fromarray(make_crop(seed, camera=camera).image).save(folder / f"crop_{camera}.png")
    for camera, seed in PHOTOGRAPHS:
        Image.fromarray(make_photograph(seed, camera=camera).image).save(folder / f"photograph_{camera}.png")
    without = make_photograph(21, visible_disc=False)
    Image.fromarray(without.image).save(folder / "photograph_without_disc.png")
