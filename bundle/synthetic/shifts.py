"""Synthetic shifts of labelled crops, the development targets on which recipes are chosen instead of real targets.

The shifts imitate cameras that change colours and sharpness, sites that crop more tightly, and glaucoma clinics, whose
patients have larger cups.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from scipy import ndimage

from bundle.io.files import atomic_write
from bundle.synthetic.cameras import CameraStyle, as_jpeg, through_camera
from bundle.transforms.cup_size import cup_ratio, cup_size_grid

__all__ = ["SHIFTS", "Shift", "write_shifted"]


@dataclass(frozen=True)
class Shift:
    """A synthetic shift: a camera, the tightness of its crops, and the cup size of its patients.

    Args:
        style: the camera; None leaves the colours as they are.
        zoom: magnification of the middle of the picture, at least 1.
        cup: factor by which the cup's radius grows, up to 0.85 of the disc's radius.

    Example:
        >>> SHIFTS["tight_crop"]
        Shift(style=None, zoom=1.45, cup=1.0)
    """

    style: CameraStyle | None = None
    zoom: float = 1.0
    cup: float = 1.0


_CLEAN: dict[str, Any] = {"blur": 0.0, "vignetting": 0.0, "noise": 0.0, "jpeg_quality": 95}
_ALL = CameraStyle(
    "all", blur=0.016, gain=(1.1, 0.8, 0.6), brightness=0.7, gamma=1.25, vignetting=0.4, noise=0.02, jpeg_quality=70
)
_SEVERE = CameraStyle(
    "severe", blur=0.03, gain=(1.2, 0.65, 0.4), brightness=0.5, gamma=1.4, vignetting=0.5, noise=0.03, jpeg_quality=50
)
_CLINIC = CameraStyle("clinic", **_CLEAN | {"gain": (1.1, 0.9, 0.75), "gamma": 1.2, "vignetting": 0.2})
SHIFTS: Mapping[str, Shift] = {
    "none": Shift(),
    "colour_cast": Shift(CameraStyle("colour_cast", **_CLEAN | {"gain": (1.15, 0.75, 0.5)})),
    "gamma_contrast": Shift(CameraStyle("gamma_contrast", **_CLEAN | {"gamma": 1.7, "contrast": 1.3})),
    "blur_noise": Shift(CameraStyle("blur_noise", **_CLEAN | {"blur": 0.03, "noise": 0.05, "jpeg_quality": 50})),
    "low_light": Shift(CameraStyle("low_light", **_CLEAN | {"brightness": 0.45, "vignetting": 0.6})),
    "tight_crop": Shift(zoom=1.45),
    "disc_fills_crop": Shift(zoom=1.7),
    "large_cups": Shift(_CLINIC, zoom=1.2, cup=1.4),
    "all": Shift(_ALL, zoom=1.25),
    "severe": Shift(_SEVERE, zoom=1.25),
}
"""All shifts by name, from none to the strongest."""


def write_shifted(items: Sequence[Mapping[str, Any]], folder: str | Path, shift: str, seed: int = 0) -> None:
    """Apply a shift to labelled crops and write the results to ``folder/image`` and ``folder/label``.

    Args:
        items: dicts of ``name``, ``image`` (path of a square, 8-bit picture) and ``label`` (path of its label map with
            values 0, 1, 2).
        folder: folder to write to; pictures that exist already are kept.
        shift: a name in ``SHIFTS``.
        seed: seed of the grain, which also depends on the shift and on the photograph's name.

    Raises:
        ValueError: there is no such shift.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     item = {"name": "eye", "image": f"{folder}/eye.png", "label": f"{folder}/eye_label.png"}
        ...     Image.new("RGB", (64, 64), (150, 80, 40)).save(item["image"])
        ...     Image.new("L", (64, 64), 1).save(item["label"])
        ...     write_shifted([item], f"{folder}/dark", "low_light")
        ...     dark = Image.open(f"{folder}/dark/image/eye.png").getpixel((32, 32))
        >>> dark[0] < 75  # less than half as bright
        True
    """
    if shift not in SHIFTS:
        raise ValueError(f"shift is {shift!r}; allowed are {', '.join(SHIFTS)}.")
    for item in items:
        image_path, label_path = (Path(folder) / kind / f"{item['name']}.png" for kind in ("image", "label"))
        if image_path.is_file() and label_path.is_file():
            continue
        rng = np.random.default_rng([seed, zlib.crc32(f"{shift}:{item['name']}".encode())])
        image, label = _shifted(Image.open(item["image"]).convert("RGB"), Image.open(item["label"]), SHIFTS[shift], rng)
        for path, picture in ((image_path, image), (label_path, label)):
            with atomic_write(path) as temporary:
                picture.save(temporary)


def _shifted(
    image: Image.Image, label: Image.Image, shift: Shift, rng: np.random.Generator
) -> tuple[Image.Image, Image.Image]:
    width, height = image.size
    if shift.cup != 1:
        image, label = _with_cup(image, label, shift.cup)
    margin_x, margin_y = (side * (1 - 1 / shift.zoom) / 2 for side in image.size)
    box = (margin_x, margin_y, width - margin_x, height - margin_y)
    image = image.resize(image.size, Image.Resampling.BICUBIC, box=box)
    label = label.resize(label.size, Image.Resampling.NEAREST, box=box)
    if shift.style is None:
        return image, label
    pixels = np.asarray(image, dtype=np.float32) / 255
    disc = np.flatnonzero(np.asarray(label).any(axis=1))
    disc_height = float(np.ptp(disc) + 1) if disc.size else height / 2
    axis = ((width - 1) / 2, (height - 1) / 2)
    taken = through_camera(pixels, shift.style, disc_height, rng, axis, width / 2, field_edge=False)
    return Image.fromarray(as_jpeg(taken, shift.style.jpeg_quality)), label


def _with_cup(image: Image.Image, label: Image.Image, factor: float) -> tuple[Image.Image, Image.Image]:
    pixels, classes = np.asarray(image), np.asarray(label)
    ratio = cup_ratio(classes)
    grid = cup_size_grid(classes, min(ratio * factor, max(ratio, 0.85))) if ratio else None
    if grid is None:
        return image, label
    moved = [ndimage.map_coordinates(pixels[..., c], grid, order=1, mode="nearest") for c in range(3)]
    moved_label = ndimage.map_coordinates(classes, grid, order=0, mode="nearest")
    return Image.fromarray(np.stack(moved, axis=-1)), Image.fromarray(moved_label)
