"""A learned search for the optic disc, in whole photographs of any camera as in crops, and what it is trained on."""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import replace
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
from skimage import draw, measure
from torch.nn import functional

from bundle import phantoms
from bundle.errors import CallError
from bundle.folders import atomic_write, list_photographs, split_source
from bundle.network import DiscCupUNet, load_weights
from bundle.views import DiscLocation

__all__ = [
    "EXAMPLE_KINDS",
    "DiscLocator",
    "RandDiscViewd",
    "load_locator",
    "locator_network",
    "source_items",
    "write_examples",
]

EXAMPLE_KINDS = ("photograph", "crop", "no_disc", "clutter")
"""What ``write_examples`` makes: phantoms with a disc, phantoms without, and pictures that show no eye at all."""

# Far from the seeds that tests, demonstration and documentation use, so that none of their phantoms was trained on.
_FIRST_SEED = 700_000
_MIN_PIXELS = 12
# Blurred photographs have 0.9 at the first look, false findings up to 0.8: at the usual threshold this parts them.
_UNCONFIRMED = 0.6


def locator_network(pretrained: bool = False, dropout: float = 0.0) -> DiscCupUNet:
    """The locator's network: logits of background and disc.

    Args:
        pretrained: start the encoder from its ImageNet weights.
        dropout: as in ``DiscCupUNet``.
    """
    return DiscCupUNet(
        out_channels=2,
        backbone="efficientnet-lite0-small",
        pretrained=pretrained,
        decoder_channels=(64, 48, 32, 16),
        dropout=dropout,
    )


def load_locator(checkpoint: str | Path, device: torch.device | str = "cpu", **kwargs: Any) -> DiscLocator:
    """The locator with the weights of ``checkpoint``; ``kwargs`` are ``DiscLocator``'s.

    Raises:
        CallError: when the checkpoint is missing or unfit, see ``load_weights``.
    """
    return DiscLocator(load_weights(locator_network(), checkpoint), device=device, **kwargs)


class DiscLocator:
    """Find the optic disc in a photograph by segmenting it coarsely.

    The photograph is padded to a square, reduced, and segmented once; the largest component is the disc. A disc that
    is small in the picture is looked at a second time, in the square of four diameters around it. If that shows no disc
    there, or another one, the first finding stands with 0.6 of its confidence.

    The confidence is the product of three shares, each 1 for a plain disc: the mean probability within the component,
    the component's part of everything that was called disc, and its area's part of its convex hull's.

    Args:
        network: gives logits of background and disc, B x 2 x size x size.
        size: side of what the network sees, in pixels, a multiple of 32.
        min_confidence: below it nothing is found, in [0, 1].
        min_diameter: of a disc, as a share of the photograph's longer side.
        max_diameter: the same; a component that fills nearly the whole picture is no disc.
        second_look_below: diameter below which a disc is looked at again, as a share of the longer side; 0 for never.
        device: where the network runs.
    """

    def __init__(
        self,
        network: torch.nn.Module,
        size: int = 256,
        min_confidence: float = 0.5,
        min_diameter: float = 0.04,
        max_diameter: float = 1.05,
        second_look_below: float = 0.2,
        device: torch.device | str = "cpu",
    ) -> None:
        self.network = network.to(device).eval()
        self.network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.size = size
        self.min_confidence = min_confidence
        self.min_diameter = min_diameter
        self.max_diameter = max_diameter
        self.second_look_below = second_look_below
        self.device = device

    def __call__(self, image: torch.Tensor) -> DiscLocation | None:
        """Where the disc lies in ``image`` (3 x W x H, 0..255), in its pixels; None when no disc was found."""
        picture = convert_to_tensor(image, track_meta=False)
        width, height = picture.shape[1:]
        whole = max(width, height)
        disc = self._look(picture, (width - whole) // 2, (height - whole) // 2, whole)
        if disc is not None and disc.diameter < self.second_look_below * whole:
            disc = self._look_again(picture, disc)
        if disc is None or disc.confidence < self.min_confidence:
            return None
        return disc if self.min_diameter * whole <= disc.diameter <= self.max_diameter * whole else None

    def _look_again(self, picture: torch.Tensor, first: DiscLocation) -> DiscLocation:
        """The disc as seen from close by; ``first`` with less confidence where that is no such disc."""
        side = max(_MIN_PIXELS, round(4 * first.diameter))
        second = self._look(picture, round(first.x - side / 2), round(first.y - side / 2), side)
        if (
            second is not None
            and math.dist((first.x, first.y), (second.x, second.y)) < first.diameter / 2
            and 0.6 < second.diameter / first.diameter < 1.6
        ):
            return second
        # From close by, a blurred photograph shows less of a disc than from afar.
        return replace(first, confidence=_UNCONFIRMED * first.confidence)

    def _look(self, picture: torch.Tensor, left: int, top: int, side: int) -> DiscLocation | None:
        """The disc in a square of ``picture``, in the pixels of ``picture``; None when it is too unsure."""
        view = _square(picture, left, top, side, self.size)
        p = self._disc_probability(view)
        components, count = measure.label(p >= 0.5, return_num=True)
        if not count:
            return None
        found = max(measure.regionprops(components, intensity_image=p), key=lambda region: region.area)
        if found.area < _MIN_PIXELS:
            return None
        x, y = found.centroid_weighted
        scale = side / self.size
        confidence = found.intensity_mean * found.area / (p >= 0.5).sum() * found.area / found.area_convex
        if confidence < self.min_confidence:
            return None
        return DiscLocation(
            # Resizing maps the outer edges onto each other, so that pixel centres are half a pixel in from them.
            x=float(left + (x + 0.5) * scale - 0.5),
            y=float(top + (y + 0.5) * scale - 0.5),
            diameter=2 * math.sqrt(found.area / math.pi) * scale,
            confidence=min(float(confidence), 1.0),
        )

    def _disc_probability(self, view: torch.Tensor) -> NDArray[np.float32]:
        """Probability of the disc, size x size, of ``view`` (3 x size x size, 0..255)."""
        scaled = (view.clamp(0, 255)[None].to(self.device) - 127) / 128
        with torch.inference_mode():
            p = self.network(scaled).softmax(dim=1)[0, 1]
        return np.asarray(p.float().cpu())


def _square(picture: torch.Tensor, left: int, top: int, side: int, size: int, nearest: bool = False) -> torch.Tensor:
    """The square of ``picture`` (C x W x H) at (left, top), 0 beyond the picture, as C x size x size in float32."""
    if picture.stride(1) < picture.stride(2):
        # As files are decoded, row by row: along the columns, to read many megapixels takes twice the time.
        return _square(picture.transpose(1, 2), top, left, side, size, nearest).transpose(1, 2).contiguous()
    width, height = picture.shape[1:]
    # Negative padding cuts off. Padding by nothing would copy the whole photograph.
    edges = (-top, top + side - height, -left, left + side - width)
    square = functional.pad(picture, edges) if any(edges) else picture
    # Averaging over areas is the anti-aliasing that stays fast at 12 megapixels; it is coarse where it hardly reduces.
    mode = "nearest" if nearest else "area" if side >= 2 * size else "bilinear"
    # Channel by channel in one place: in floats, a photograph takes four times the memory of its bytes.
    floats = torch.empty((1, 1, side, side), device=square.device)
    resized = torch.empty((len(square), size, size), device=square.device)
    for channel, out in zip(square, resized, strict=True):
        out.copy_(functional.interpolate(floats.copy_(channel[None, None]), size=(size, size), mode=mode)[0, 0])
    return resized


class RandDiscViewd(RandomizableTransform, MapTransform):
    """Cut a random square out of a photograph, such that its disc is seen at any size and anywhere in the view.

    A whole photograph gives views from "further away than usual" to close-ups, a crop gives itself and smaller
    versions of itself on black.

    Args:
        keys: the image, then the label (1 x W x W, disc is above 0), both square.
        size: side of the view in pixels.
        share: smallest and largest diameter of the disc, as a share of the view's side; drawn log-uniformly.
        zoom: smallest and largest magnification of the whole picture, which limits ``share``.
        away: probability of a view that is placed regardless of the disc, and so mostly shows none of it.
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
        """Draw ``box``: left, top and side of the view in pixels."""
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
            # As little black as possible, as real photographs have it.
            corner = np.clip(corner, min(0, whole - side), max(0, whole - side))
        self.box = (round(corner[0]), round(corner[1]), max(_MIN_PIXELS, round(side)))

    def _log_uniform(self, low: float, high: float) -> float:
        return float(np.exp(self.R.uniform(np.log(low), np.log(high))))

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        d = dict(data)
        image, label = self.keys
        self.randomize(convert_to_tensor(d[label], track_meta=False))
        for key in self.keys:
            picture = convert_to_tensor(d[key], track_meta=False)
            d[key] = MetaTensor(_square(picture, *self.box, self.size, nearest=key == label))
        return d


def source_items(
    dataset_dir: str | Path,
    sources: Sequence[str],
    held_out: Mapping[str, float] | None = None,
    weights: Mapping[str, float] | None = None,
    most: int = 100,
    seed: int = 0,
) -> list[dict[str, Any]]:
    """Labelled photographs of several folders.

    Args:
        dataset_dir: the folder that contains the sources.
        sources: their folders, relative to ``dataset_dir``, each with ``image`` and ``label``.
        held_out: per source, the share that stays unseen because another training validates on it (``split_source``).
        weights: per source, how often one of its photographs is drawn, where 1 is usual.
        most: at most so many photographs of each source, spread evenly over their names.
        seed: of ``split_source``.

    Returns:
        dicts of ``image``, ``label``, ``name`` and ``weight``.

    Raises:
        CallError: a folder, its photographs or a label is missing.
    """
    held_out, weights = dict(held_out or {}), dict(weights or {})
    items: list[dict[str, Any]] = []
    for source in sources:
        found = list_photographs(Path(dataset_dir) / source, labels="required")
        if held_out.get(source):
            found = split_source(found, held_out[source], seed)[0]
        chosen = np.unique(np.linspace(0, len(found) - 1, min(most, len(found))).round().astype(int))
        items += [{**found[i], "weight": weights.get(source, 1.0)} for i in chosen]
    return items


def write_examples(
    folder: str | Path, counts: Mapping[str, int], size: int = 640, seed: int = 0
) -> list[dict[str, Any]]:
    """Write made-up pictures with labels of the disc, those that are not there yet, and list them.

    Args:
        folder: receives ``image/<kind>_<number>.png`` and ``label/<kind>_<number>.png``.
        counts: how many of each of ``EXAMPLE_KINDS``.
        size: width of the pictures in pixels, at least 64.
        seed: the same seed gives the same pictures.

    Returns:
        dicts of ``image``, ``label``, ``name`` and ``weight``, which is 1.

    Raises:
        CallError: ``counts`` has an unknown kind.
    """
    unknown = set(counts) - set(EXAMPLE_KINDS)
    if unknown:
        raise CallError(f"there are no examples of kind {sorted(unknown)}.", f"Use {', '.join(EXAMPLE_KINDS)}.")
    items: list[dict[str, Any]] = []
    for kind, count in counts.items():
        for number in range(count):
            name = f"{kind}_{number:04d}"
            item = {key: str(Path(folder) / key / f"{name}.png") for key in ("image", "label")}
            if not all(Path(path).is_file() for path in item.values()):
                for path, pixels in zip(item.values(), _example(kind, number, size, seed), strict=True):
                    with atomic_write(path) as temporary:
                        Image.fromarray(pixels).save(temporary)
            items.append({**item, "name": name, "weight": 1.0})
    return items


def _example(kind: str, number: int, size: int, seed: int) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Picture and label number ``number`` of ``kind``."""
    own_seed = _FIRST_SEED + 10_000 * seed + number
    if kind == "clutter":
        picture = _clutter(np.random.default_rng(own_seed), size)
        return picture, np.zeros(picture.shape[:2], np.uint8)
    cameras = tuple(phantoms.CAMERA_STYLES)
    camera = cameras[number % len(cameras)]
    if kind == "crop":
        phantom = phantoms.make_crop(own_seed, camera=camera, size=size)
    else:
        phantom = phantoms.make_photograph(
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
    # Uniform colours are rarely grey, and rarely as warm as a retina, by which alone nothing must be taken for one.
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
        # White would read as background.
        intensity_range=((0, 254),) * 3,
        allow_overlap=True,
        rng=rng,
    )[0]


def _writing(rng: np.random.Generator, size: int) -> NDArray[np.bool_]:
    """Where rows of strokes lie, size x size."""
    height = int(rng.integers(max(4, size // 60), max(6, size // 15)))
    strokes = ndimage.gaussian_filter(rng.normal(size=(size, size)), (height / 6, height / 10))
    rows = (np.arange(size) // height) % 2 == 0
    return (strokes > strokes.std() * 0.6) & rows[:, None]


def _round_field(size: int) -> NDArray[np.bool_]:
    field = np.zeros((size, size), dtype=bool)
    field[draw.disk(((size - 1) / 2, (size - 1) / 2), size * 0.49, shape=field.shape)] = True
    return field
