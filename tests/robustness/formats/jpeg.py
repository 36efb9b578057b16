"""Variants of JPEG, written by Pillow; the second decoder is libjpeg-turbo by itself."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
from PIL import Image

from tests.robustness.formats.variant import Variant, colour_levels, turned

__all__ = ["jpeg_variants"]

_EXTRAS: tuple[dict[str, Any], ...] = ({}, {"restart_marker_rows": 1}, {"optimize": True})


def jpeg_variants() -> Iterator[Variant]:
    """Grey and colour by subsampling, progressive, quality, restarts, orientation; CMYK; what is not baseline."""
    levels = np.rint(colour_levels() * 255).astype(np.uint8)
    pictures = {"grey": levels[..., 0], "colour": levels}
    for (colour, values), progressive, quality in product(pictures.items(), (False, True), (30, 75, 100)):
        for sampling, more in product((0, 1, 2), _EXTRAS):
            if colour == "grey" and sampling:
                continue
            options: dict[str, Any] = {"quality": quality, "subsampling": sampling, "progressive": progressive} | more
            name = f"{quality}, {sampling}, progressive {progressive}, {more}"
            write = partial(_write, values=values, options=options)
            yield Variant(f"JPEG, {colour}", name, ".jpg", write, _shown, None, 3)
    for (colour, values), orientation, suffix in product(pictures.items(), range(1, 9), (".jpg", ".jfif", ".jpe")):
        exif = Image.Exif()
        exif[0x0112] = orientation
        yield Variant(
            "JPEG, orientations",
            f"{colour}, {orientation}",
            suffix,
            partial(_write, values=values, options={"quality": 90, "exif": exif}),
            partial(_shown, orientation=orientation),
            None,
            3,
        )
    inks = np.dstack([levels, levels[..., 2] // 2])
    for quality, progressive, subsampling in product((75, 100), (False, True), (0, 2)):
        options = {"quality": quality, "progressive": progressive, "subsampling": subsampling}
        yield Variant(
            "JPEG, CMYK",
            f"{quality}, {progressive}, {subsampling}",
            ".jpg",
            partial(_write, values=inks, options=options),
            _inks_shown,
            None,
            4,
        )
    spaces = {"Adobe RGB": (levels, "RGB", "RGB", _shown), "Adobe YCCK": (inks, "CMYK", "YCCK", _inks_shown)}
    for (name, (values, given, kept, shown)), level in product(spaces.items(), (75, 100)):
        options = {"colorspace": given, "outcolorspace": kept, "level": level}
        yield Variant(
            f"JPEG, {name}", f"{level}", ".jpg", partial(_encode, values=values, options=options), shown, None, 4
        )
    for name, (write, second) in {
        "first picture largest": (levels, levels[::2, ::2]),
        "both of a size": (levels, levels[::-1]),
        "first picture a thumbnail": (levels[::2, ::2], levels),
    }.items():
        yield Variant(
            "JPEG, several pictures (MPO)", name, ".mpo", partial(_write_row, pictures=(write, second)), _shown, None, 3
        )
    others = {
        "12 bits": lambda: imagecodecs.jpeg_encode((levels[..., 0].astype(np.uint16) * 16), bitspersample=12),
        "lossless": lambda: imagecodecs.ljpeg_encode(levels[..., 0]),
        "JPEG-LS": lambda: imagecodecs.jpegls_encode(levels),
        "JPEG XL": lambda: imagecodecs.jpegxl_encode(levels),
    }
    for name, encode in others.items():
        yield Variant(f"JPEG, {name}", "", ".jpg", partial(_write_encoded, encode=encode), _shown)


def _write(path: Path, values: np.ndarray, options: dict[str, Any]) -> None:
    mode = "CMYK" if values.shape[2:] == (4,) else None
    picture = Image.frombytes("CMYK", values.shape[1::-1], values.tobytes()) if mode else Image.fromarray(values)
    picture.save(path, "JPEG", **options)


def _write_row(path: Path, pictures: tuple[np.ndarray, np.ndarray]) -> None:
    first, second = (Image.fromarray(np.ascontiguousarray(picture)) for picture in pictures)
    first.save(path, "MPO", save_all=True, append_images=[second])


def _write_encoded(path: Path, encode: Callable[[], Any]) -> None:
    path.write_bytes(encode())


def _encode(path: Path, values: np.ndarray, options: dict[str, Any]) -> None:
    path.write_bytes(imagecodecs.jpeg8_encode(values, **options))


def _shown(path: Path, orientation: int = 1) -> np.ndarray:
    return turned(imagecodecs.jpeg8_decode(path.read_bytes()).astype(float), orientation)


def _inks_shown(path: Path) -> np.ndarray:
    """Adobe's inks are stored the other way round, hence as light."""
    light = imagecodecs.jpeg8_decode(path.read_bytes(), outcolorspace="CMYK").astype(float)
    return light[..., :3] * light[..., 3:] / 255
