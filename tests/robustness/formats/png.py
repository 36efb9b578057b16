"""Variants of PNG, written by pypng; the second decoder is libpng, or pypng for interlaced ones."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import png

from tests.robustness.formats.variant import HEIGHT, WIDTH, Variant, colour_levels, shown_levels

__all__ = ["png_variants"]

DEPTHS = {"grey": (1, 2, 4, 8, 16), "RGB": (8, 16), "grey and alpha": (8, 16), "RGBA": (8, 16), "palette": (1, 2, 4, 8)}
CHANNELS = {"grey": 1, "RGB": 3, "grey and alpha": 2, "RGBA": 4, "palette": 1}
TOPS = {16: {"16 bits": 65535, "16 bits, values of 12": 4095, "16 bits, values of 8": 255}}


def png_variants() -> Iterator[Variant]:
    """Colour types by depths, values, interlacing, gamma and transparency by key."""
    for colour, depths in DEPTHS.items():
        for depth, interlaced, gamma, key in product(depths, (False, True), (None, 0.45455), (False, True)):
            if key and colour not in ("grey", "RGB", "palette"):
                continue
            for name, top in TOPS.get(depth, {f"{depth} bit{'s' if depth > 1 else ''}": 2**depth - 1}).items():
                values = _values(colour, top)
                options = _options(colour, depth, values) | {"interlace": interlaced, "gamma": gamma}
                if key and colour != "palette":
                    options["transparent"] = tuple(int(part) for part in values[0, 0])
                elif key:
                    options["palette"] = [(*entry, 7 * index % 256) for index, entry in enumerate(options["palette"])]
                yield Variant(
                    f"PNG, {colour}, {name}",
                    f"interlaced {interlaced}, gamma {gamma}, key {key}",
                    ".png",
                    partial(_write, values=values, options=options),
                    partial(_shown, wide=depth == 16, interlaced=interlaced),
                    _meant(colour, depth, values, options),
                )


def _values(colour: str, top: int) -> np.ndarray:
    levels = colour_levels()
    alpha = np.broadcast_to(np.linspace(0, 1, WIDTH)[None, :, None], (HEIGHT, WIDTH, 1))
    parts = np.concatenate([levels, alpha], axis=-1) if colour == "RGBA" else levels
    if colour == "grey and alpha":
        parts = np.concatenate([levels[..., :1], alpha], axis=-1)
    values: np.ndarray = np.rint(parts * top).astype(np.uint16)[..., : CHANNELS[colour]]
    return values


def _options(colour: str, depth: int, values: np.ndarray) -> dict[str, Any]:
    if colour == "palette":
        table = np.random.default_rng(2).integers(0, 256, (2**depth, 3)).tolist()
        return {"palette": [tuple(entry) for entry in table], "bitdepth": depth}
    return {"greyscale": colour.startswith("grey"), "alpha": CHANNELS[colour] in (2, 4), "bitdepth": depth}


def _write(path: Path, values: np.ndarray, options: dict[str, Any]) -> None:
    with path.open("wb") as file:
        png.Writer(WIDTH, HEIGHT, **options).write(file, values.reshape(HEIGHT, -1).tolist())


def _shown(path: Path, wide: bool, interlaced: bool) -> np.ndarray:
    """The samples, without transparency."""
    if interlaced:
        _, _, rows, found = png.Reader(filename=str(path)).asDirect()
        values = np.vstack([np.asarray(row, np.uint16) for row in rows]).reshape(HEIGHT, WIDTH, found["planes"])
        factor = 1 if wide else 255 / (2 ** found["bitdepth"] - 1)
        values = values * factor if factor != 1 else values
    else:
        values = imagecodecs.png_decode(path.read_bytes())
    if values.ndim == 3:
        values = values[..., 0] if values.shape[-1] < 3 else values[..., :3]
    return shown_levels(values) if wide else values.astype(float)


def _meant(colour: str, depth: int, values: np.ndarray, options: dict[str, Any]) -> np.ndarray:
    if colour == "palette":
        return np.array([entry[:3] for entry in options["palette"]], float)[values[..., 0]]
    shown = values[..., : 1 if colour.startswith("grey") else 3]
    return (shown_levels(shown) if depth == 16 else shown * (255 / (2**depth - 1))).squeeze()
