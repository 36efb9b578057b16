"""Variants of BMP, GIF, WebP, JPEG 2000, PPM and AVIF; the second decoder is imagecodecs, which has one of each."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
from PIL import Image

from tests.robustness.formats.variant import Variant, colour_levels, known, shown_levels

__all__ = ["other_variants"]


def other_variants() -> Iterator[Variant]:
    """All of them."""
    levels = np.rint(colour_levels() * 255).astype(np.uint8)
    grey = levels[..., 0]
    alpha = np.dstack([levels, grey // 2 + 1])
    for name, mode in (("1 bit", "1"), ("grey", "L"), ("palette", "P"), ("colour", "RGB"), ("alpha", "RGBA")):
        picture = Image.fromarray(alpha).convert(mode)
        yield _variant("BMP", name, ".bmp", partial(_save, picture=picture), _bmp, 0.01)
    for name, picture in (("grey", Image.fromarray(grey)), ("palette", Image.fromarray(levels).quantize(64))):
        yield _variant("GIF", name, ".gif", partial(_save, picture=picture), _plain(imagecodecs.gif_decode), 0.01)
    moving: dict[str, Any] = {"save_all": True, "append_images": [Image.fromarray(levels[::-1].copy())]}
    for suffix in (".gif", ".webp"):
        write = partial(_save, picture=Image.fromarray(levels), **moving)
        yield _variant(f"{suffix[1:].upper()}, animated", "", suffix, write, _bmp, 0.01)
    for values, lossless in product((levels, alpha), (False, True)):
        write = partial(_save, picture=Image.fromarray(values), lossless=lossless, exact=True)
        name = f"{values.shape[-1]} channels, lossless {lossless}"
        yield _variant("WebP", name, ".webp", write, _plain(imagecodecs.webp_decode), 3)
    for values, suffix, reversible in product((grey, levels, alpha), (".jp2", ".j2k"), (False, True)):
        options: dict[str, Any] = {
            "codecformat": suffix[1:],
            "reversible": reversible,
            "level": None if reversible else 40,
        }
        write = partial(_encode, encode=imagecodecs.jpeg2k_encode, values=values, **options)
        name = f"{values.shape}, {suffix}, {reversible}"
        yield _variant("JPEG 2000", name, suffix, write, _plain(imagecodecs.jpeg2k_decode), 2)
    for top, suffix, values in product(
        (65535, 4095, 255), (".jp2", ".j2k"), (colour_levels()[..., 0], colour_levels())
    ):
        wide = np.rint(values * top).astype(np.uint16)
        write = partial(_encode, encode=imagecodecs.jpeg2k_encode, values=wide, codecformat=suffix[1:], reversible=True)
        kind = "JPEG 2000, 16 bits, " + ("grey" if wide.ndim == 2 else "RGB")
        yield _variant(kind, f"{suffix}, {top}", suffix, write, _plain(imagecodecs.jpeg2k_decode), 0.01)
    for values, top in product((grey, levels), (255, 4095, 65535)):
        stored = np.rint(values / 255 * top).astype(">u2" if top > 255 else "u1")
        stated = f"P{5 if values.ndim == 2 else 6}\n{values.shape[1]} {values.shape[0]}\n{top}\n".encode()
        kind = f"PPM and PGM, {'more than 8' if top > 255 else '8'} bits, {'grey' if values.ndim == 2 else 'RGB'}"
        shown = partial(known, values=stored.astype(float) * (255 / top))
        yield _variant(kind, f"{top}", ".ppm", partial(_write, content=stated + stored.tobytes()), shown, 0.01)
    for values, quality in product((levels, alpha), (60, 100)):
        write = partial(_save, picture=Image.fromarray(values), quality=quality)
        yield _variant("AVIF", f"{values.shape[-1]}, {quality}", ".avif", write, _plain(imagecodecs.avif_decode), 4)


def _variant(
    kind: str, name: str, suffix: str, write: Callable[[Path], None], shown: Callable[[Path], np.ndarray], off: float
) -> Variant:
    return Variant(kind, name, suffix, write, shown, tolerance=off)


def _save(path: Path, picture: Image.Image, **options: Any) -> None:
    picture.save(path, **options)


def _encode(path: Path, encode: Callable[..., Any], values: np.ndarray, **options: Any) -> None:
    path.write_bytes(encode(values, **options))


def _write(path: Path, content: bytes) -> None:
    path.write_bytes(content)


def _plain(decode: Callable[[bytes], np.ndarray]) -> Callable[[Path], np.ndarray]:
    """Without transparency, in 0 to 255."""
    return lambda path: _without_alpha(decode(path.read_bytes()))


def _without_alpha(values: np.ndarray) -> np.ndarray:
    values = values[0] if values.ndim == 4 else values
    colours = values[..., :3] if values.ndim == 3 and values.shape[-1] > 2 else values
    return shown_levels(colours) if colours.dtype != np.uint8 else colours.astype(float)


def _bmp(path: Path) -> np.ndarray:
    values = imagecodecs.bmp_decode(path.read_bytes())
    return _without_alpha(values)
