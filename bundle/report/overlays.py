"""Contours drawn on the whole photograph, in its own resolution.

Photographs are ``H x W x 3`` ``uint8`` RGB, label maps ``H x W`` ``uint8`` (0 background, 1 disc rim, 2 cup).
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from bundle.morphometry.cup_disc import Borders, Label, find_borders
from bundle.report.contours import HALO_COLOUR, HALO_WIDTH, draw_contours

__all__ = ["check_pair", "draw_overlay", "overlay_pixels"]

_LARGEST_SHARE_OF_DISC = 0.015
"""A line is never wider than this share of the disc's height: a wider one would hide the border it marks."""


def draw_overlay(
    image: NDArray[np.uint8], label: Label, *, width_share: float = 0.004, borders: Borders | None = None
) -> Image.Image:
    """Draw the borders of disc and cup on a photograph, or a note that there is no disc.

    Args:
        image: ``H x W x 3`` ``uint8``.
        label: ``H x W``, values 0, 1, 2.
        width_share: width of the lines as a share of the photograph's shorter side; they are at least one pixel wide
            and thinner on a small disc.
        borders: of the label, if they were found already.

    Returns:
        PIL.Image.Image: RGB, ``W x H``; pixels away from the lines keep their values.

    Raises:
        ValueError: if the shapes do not fit.
    """
    return Image.fromarray(overlay_pixels(image, label, width_share=width_share, borders=borders))


def overlay_pixels(
    image: NDArray[np.uint8], label: Label, *, width_share: float = 0.004, borders: Borders | None = None
) -> NDArray[np.uint8]:
    """As :func:`draw_overlay`, but an array ``H x W x 3`` ``uint8``, without a copy of the photograph as a picture."""
    check_pair(image, label)
    borders = borders or find_borders(label)
    if borders.box is None:
        picture = Image.fromarray(image)
        _draw_banner(picture, "no disc found")
        return np.asarray(picture)
    height = borders.box[0].stop - borders.box[0].start
    width = max(1.0, min(width_share * min(label.shape), _LARGEST_SHARE_OF_DISC * height))
    # Pillow copies what it draws on, there and back: only the part that the lines may touch.
    reach = math.ceil(HALO_WIDTH * width) + 4
    window = tuple(slice(max(0, axis.start - reach), axis.stop + reach) for axis in borders.box)
    picture = Image.fromarray(np.ascontiguousarray(image[window]))
    origin = (float(window[1].start), float(window[0].start))
    draw_contours(picture, borders, scale=1.0, origin=origin, width=width)
    drawn = image.copy()
    drawn[window] = np.asarray(picture)
    return drawn


def check_pair(image: NDArray[np.uint8], label: Label) -> None:
    """Refuse what is no photograph with its label map.

    Raises:
        ValueError: if a type is wrong or the shapes do not fit.
    """
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8:
        raise ValueError(f"a photograph must be H x W x 3 uint8, not {image.shape} {image.dtype}")
    if label.shape != image.shape[:2]:
        raise ValueError(f"the label map is {label.shape}, its photograph {image.shape[:2]}")


def _draw_banner(picture: Image.Image, text: str) -> None:
    """Write a line of text on a translucent plate at the lower edge, in place."""
    size = max(11, min(picture.size) // 28)
    font = ImageFont.load_default(size)
    text_width = math.ceil(font.getlength(text))
    plate_width, plate_height = text_width + 2 * size, 2 * size
    left, top = (picture.width - plate_width) // 2, picture.height - plate_height - size
    plate = Image.new("L", (plate_width * 4, plate_height * 4))
    ImageDraw.Draw(plate).rounded_rectangle((0, 0, plate.width - 1, plate.height - 1), radius=4 * size, fill=170)
    picture.paste(HALO_COLOUR, (left, top, left + plate_width, top + plate_height), plate.reduce(4))
    centre = (left + plate_width / 2, top + plate_height / 2)
    ImageDraw.Draw(picture).text(centre, text, (238, 242, 244), font, "mm")
