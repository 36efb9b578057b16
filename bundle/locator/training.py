"""Training examples for the search for the disc."""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from monai.config import KeysCollection
from monai.data import MetaTensor
from monai.transforms import MapTransform, RandomizableTransform
from monai.utils import convert_to_tensor
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage
from skimage import draw

from bundle.errors import CallError
from bundle.io.files import atomic_write
from bundle.locator.search import MIN_PIXELS, padded_square
from bundle.synthetic.cameras import CAMERA_STYLES
from bundle.synthetic.phantoms.photographs import make_crop, make_photograph

__all__ = ["EXAMPLE_KINDS", "RandDiscViewd", "write_examples"]

EXAMPLE_KINDS = ("photograph", "crop", "no_disc", "clutter")
"""Kinds of examples: whole photographs and crops with a disc, photographs without one, pictures without an eye."""
# Tests, demonstration and documentation use other seeds, so none of their phantoms is a training example.
_FIRST_SEED = 700_000


class RandDiscViewd(RandomizableTransform, MapTransform):
    """Cut a random square out of a photograph; the disc has any size and any place in the views.

    The views of a whole photograph range from a reduced picture on black to a close-up of the disc; those of a crop
    range from a reduced crop on black to the crop itself.

    Args:
        keys: the image (C x W x W), then the label (1 x W x W, above 0 in the disc), both square.
        size: side of the view in pixels.
        share: smallest and largest diameter of the disc, as a share of the view's side; drawn log-uniformly.
        zoom: smallest and largest magnification of the whole picture, which limits ``share``.
        away: probability, in [0, 1], of a view that is placed without regard to the disc and mostly does not show it.

    Example:
        >>> data = {"image": torch.zeros(3, 96, 96), "label": torch.zeros(1, 96, 96)}
        >>> data["label"][0, 40:60, 40:60] = 1
        >>> view = RandDiscViewd(size=32, away=0.0)(data)
        >>> tuple(view["image"].shape), bool(view["label"].any())
        ((3, 32, 32), True)
    """

    def __init__(
        self,
        keys: KeysCollection = ("image", "label"),
        size: int = 256,
        share: tuple[float, float] = (1 / 12, 0.95),
        zoom: tuple[float, float] = (0.3, 3.0),
        away: float = 0.1,
    ) -> None:
        MapTransform.__init__(self, keys)
        RandomizableTransform.__init__(self, prob=1.0)
        self.size = size
        self.share = share
        self.zoom = zoom
        self.away = away
        self.box = (0, 0, size)

    def randomize(self, label: torch.Tensor) -> None:
        """Draw the view and set ``box`` to its left, top and side in pixels.

        Args:
            label: 1 x W x W, above 0 in the disc.
        """
        whole = label.shape[1]
        disc = label[0] > 0
        diameter = 2 * math.sqrt(float(disc.sum()) / math.pi)
        centred = self.R.random() >= self.away and diameter > 0
        if centred:
            low = max(self.share[0], self.zoom[0] * diameter / whole)
            high = max(low, min(self.share[1], self.zoom[1] * diameter / whole))
            side = diameter / self._log_uniform(low, high)
            middle = torch.nonzero(disc).float().mean(dim=0).numpy()
        else:
            side = whole / self._log_uniform(max(0.8, self.zoom[0]), self.zoom[1])
            middle = self.R.uniform(0, whole, size=2)
        corner = middle - side * self.R.uniform(0.05, 0.95, size=2)
        if self.R.random() < 0.7:
            # Show as little as possible of the black around the picture, like real photographs.
            corner = np.clip(corner, min(0, whole - side), max(0, whole - side))
        self.box = (round(corner[0]), round(corner[1]), max(MIN_PIXELS, round(side)))

    def _log_uniform(self, low: float, high: float) -> float:
        return float(np.exp(self.R.uniform(np.log(low), np.log(high))))

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        d = dict(data)
        image, label = self.keys
        self.randomize(convert_to_tensor(d[label], track_meta=False))
        for key in self.keys:
            picture = convert_to_tensor(d[key], track_meta=False)
            d[key] = MetaTensor(padded_square(picture, *self.box, self.size, nearest=key == label))
        return d


def write_examples(
    folder: str | Path, counts: Mapping[str, int], size: int = 640, seed: int = 0, share: float = 1.0
) -> list[dict[str, Any]]:
    """Write synthetic pictures with labels of the disc, unless they exist already, and list them.

    Args:
        folder: receives ``<size>px_seed<seed>/image/<kind>_<number>.png`` and the same under ``label/``; pictures of
            another size or seed are therefore never confused with these.
        counts: number of pictures of each of ``EXAMPLE_KINDS``.
        size: width of the pictures in pixels, at least 64.
        seed: the same seed gives the same pictures.
        share: their part of all draws in training, see ``Source``.

    Returns:
        One dict per picture with ``image``, ``label``, ``name``, ``structures`` and ``weight``.

    Raises:
        CallError: ``counts`` has an unknown kind.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     [item["name"] for item in write_examples(folder, {"clutter": 2}, size=64)]
        ['clutter_0000', 'clutter_0001']
    """
    unknown = set(counts) - set(EXAMPLE_KINDS)
    if unknown:
        raise CallError(f"there are no examples of kind {sorted(unknown)}.", f"Use {', '.join(EXAMPLE_KINDS)}.")
    items: list[dict[str, Any]] = []
    for kind, count in counts.items():
        for number in range(count):
            name = f"{kind}_{number:04d}"
            own = Path(folder) / f"{size}px_seed{seed}"
            item = {key: str(own / key / f"{name}.png") for key in ("image", "label")}
            if not all(Path(path).is_file() for path in item.values()):
                for path, pixels in zip(item.values(), _example(kind, number, size, seed), strict=True):
                    with atomic_write(path) as temporary:
                        Image.fromarray(pixels).save(temporary)
            about = {"name": name, "structures": "both", "weight": share / sum(counts.values())}
            items.append({**item, **about})
    return items


def _example(kind: str, number: int, size: int, seed: int) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Picture (H x W x 3) and label (H x W) number ``number`` of a kind."""
    own_seed = _FIRST_SEED + 10_000 * seed + number
    if kind == "clutter":
        picture = _clutter(np.random.default_rng(own_seed), size)
        return picture, np.zeros(picture.shape[:2], np.uint8)
    cameras = tuple(CAMERA_STYLES)
    camera = cameras[number % len(cameras)]
    if kind == "crop":
        phantom = make_crop(own_seed, camera=camera, size=size)
    else:
        phantom = make_photograph(
            own_seed,
            camera=camera,
            size=(size, size * (3 if number % 2 else 4) // 4),
            visible_disc=kind == "photograph",
            surround=number % 3 != 0,
        )
    return phantom.image, phantom.label


def _clutter(rng: np.random.Generator, size: int) -> NDArray[np.uint8]:
    """A picture without an eye (size x size x 3): clouds or stripes in two colours, shapes, writing, vignetting."""
    colours = rng.uniform(0, 255, size=(2, 3))
    # Uniformly drawn colours are rarely grey and rarely as warm as a retina; the locator must learn that a warm colour
    # alone does not make a retina.
    palette = rng.random()
    if palette < 0.3:
        colours = np.repeat(colours.mean(axis=1, keepdims=True), 3, axis=1)
    elif palette < 0.6:
        colours = np.array([255, 170, 90]) * rng.uniform(0.2, 1.0, size=(2, 1)) * rng.uniform(0.7, 1.0, size=(2, 3))
    mix = _clouds(rng, size)[..., None]
    picture = mix * colours[0] + (1 - mix) * colours[1]
    if rng.random() < 0.7:
        shapes = _shapes(rng, size)
        covered = (shapes != 255).any(axis=2)[..., None] * rng.uniform(0.4, 1.0)
        picture = picture * (1 - covered) + shapes * covered
    picture = ndimage.gaussian_filter(picture, (*[rng.choice([0.0, 1.0, 4.0])] * 2, 0))
    if rng.random() < 0.4:
        picture[_writing(rng, size)] = rng.uniform(0, 255, size=3)
    if rng.random() < 0.4:
        picture *= _round_field(size)[..., None]
    return (picture + rng.normal(0, rng.uniform(0, 12), size=picture.shape)).clip(0, 255).astype(np.uint8)


def _clouds(rng: np.random.Generator, size: int) -> NDArray[np.floating[Any]]:
    """Noise of random coarseness and direction, size x size in [0, 1]."""
    sigma = size * np.exp(rng.uniform(np.log(0.003), np.log(0.2))) * rng.choice([0.3, 1.0, 3.0], size=2)
    clouds = ndimage.gaussian_filter(rng.normal(size=(size, size)), sigma, mode="wrap")
    clouds = (clouds - clouds.min()) / np.ptp(clouds)
    return (clouds > 0.5).astype(float) if rng.random() < 0.2 else clouds


def _shapes(rng: np.random.Generator, size: int) -> NDArray[np.uint8]:
    count = int(rng.choice([1, 2, 5, 20]))
    return draw.random_shapes(
        (size, size),
        max_shapes=count,
        min_shapes=1,
        min_size=max(4, size // 20),
        max_size=size // (2 if count < 5 else 4),
        # White would count as background.
        intensity_range=((0, 254),) * 3,
        allow_overlap=True,
        rng=rng,
    )[0]


def _writing(rng: np.random.Generator, size: int) -> NDArray[np.bool_]:
    """A mask of rows of strokes that resemble writing, size x size."""
    height = int(rng.integers(max(4, size // 60), max(6, size // 15)))
    strokes = ndimage.gaussian_filter(rng.normal(size=(size, size)), (height / 6, height / 10))
    rows = (np.arange(size) // height) % 2 == 0
    return (strokes > strokes.std() * 0.6) & rows[:, None]


def _round_field(size: int) -> NDArray[np.bool_]:
    field = np.zeros((size, size), dtype=bool)
    field[draw.disk(((size - 1) / 2, (size - 1) / 2), size * 0.49, shape=field.shape)] = True
    return field
