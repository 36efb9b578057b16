"""Contours drawn on photographs: the overlay in full resolution, the close-up for the report, and galleries of tiles.

The disc is a solid cyan line; the cup is a light yellow dashed line. They differ in pattern and in lightness as well as
in hue, so they stay apart for colour-blind readers and on a grey print, and a dark edge keeps them visible on the
bright nerve head. Photographs are ``H x W x 3`` ``uint8`` RGB, label maps ``H x W`` ``uint8`` (0 background, 1 disc
rim, 2 cup).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from scipy import ndimage

from bundle.morphometry.cup_disc import Borders, Contour, Label, find_borders

__all__ = [
    "CUP_COLOUR",
    "DISC_COLOUR",
    "Outlines",
    "close_up",
    "draw_overlay",
    "gallery",
    "outlined_close_up",
    "overlay_pixels",
]

Colour = tuple[int, int, int]
DISC_COLOUR: Colour = (0, 229, 255)
CUP_COLOUR: Colour = (255, 240, 120)
_HALO_COLOUR: Colour = (10, 22, 32)
_HALO_ALPHA = 0.75
_HALO_WIDTH = 2.1
"""Width of the dark edge in line widths."""
_DASH, _GAP = 4.5, 3.0
"""Length of the cup's dashes and of what lies between them, in line widths."""
_STEP = 0.3
"""Points that a smooth contour keeps are this many roots of their number apart, 0.06 pixels off a circle."""
_SMOOTHING = 1.5
"""Standard deviation in contour points (about one pixel) by which the stairs of a pixel mask are smoothed away; where
the points that are kept are farther apart it is half of that, so that what lies between them counts too."""
_LARGEST_SHARE_OF_DISC = 0.015
"""A line is never wider than this share of the disc's height: a wider one would hide the border it marks."""
_PATH_UNITS = 10
"""SVG coordinates are whole numbers of this part of a pixel, which is shorter than decimals."""


class Outlines(NamedTuple):
    """The borders of disc and cup as SVG paths, to be laid over the picture that they were made for.

    Attributes:
        width: width of the picture in the paths' units.
        height: height of the picture in the paths' units.
        disc: path data, closed; empty if there is no disc.
        cup: path data, closed; empty if there is no cup.
    """

    width: int
    height: int
    disc: str
    cup: str


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
    _check_pair(image, label)
    borders = borders or find_borders(label)
    if borders.box is None:
        picture = Image.fromarray(image)
        _draw_banner(picture, "no disc found")
        return np.asarray(picture)
    height = borders.box[0].stop - borders.box[0].start
    width = max(1.0, min(width_share * min(label.shape), _LARGEST_SHARE_OF_DISC * height))
    # Pillow copies what it draws on, there and back: only the part that the lines may touch.
    reach = math.ceil(_HALO_WIDTH * width) + 4
    window = tuple(slice(max(0, axis.start - reach), axis.stop + reach) for axis in borders.box)
    picture = Image.fromarray(np.ascontiguousarray(image[window]))
    origin = (float(window[1].start), float(window[0].start))
    _draw_contours(picture, borders, scale=1.0, origin=origin, width=width)
    drawn = image.copy()
    drawn[window] = np.asarray(picture)
    return drawn


def close_up(image: NDArray[np.uint8], label: Label, size: int = 384, margin: float = 0.6) -> Image.Image | None:
    """Cut out a square around the disc and draw the contours at the close-up's own scale.

    Args:
        image: ``H x W x 3`` ``uint8``.
        label: ``H x W``, values 0, 1, 2.
        size: side of the close-up in pixels.
        margin: what is shown on each side of the disc, as a share of the disc's larger extent. The square stays inside
            the photograph where the disc leaves room for that; what lies outside is black.

    Returns:
        PIL.Image.Image | None: RGB, ``size x size``; None if the label has no disc.

    Raises:
        ValueError: if the shapes do not fit.
    """
    borders = find_borders(label)
    cut = _cut_around_disc(image, label, borders, size, margin)
    if cut is None:
        return None
    picture, scale, origin = cut
    _draw_contours(picture, borders, scale=scale, origin=origin, width=max(1.2, size / 190))
    return picture


def outlined_close_up(
    image: NDArray[np.uint8], label: Label, size: int = 512, margin: float = 0.6, borders: Borders | None = None
) -> tuple[Image.Image, Outlines] | None:
    """As :func:`close_up`, but with the contours beside the picture instead of in it, for a viewer that can hide them.

    Args:
        image: ``H x W x 3`` ``uint8``.
        label: ``H x W``, values 0, 1, 2.
        size: side of the close-up in pixels.
        margin: see :func:`close_up`.
        borders: of the label, if they were found already.

    Returns:
        tuple | None: RGB, ``size x size``, and its outlines; None if the label has no disc.

    Raises:
        ValueError: if the shapes do not fit.
    """
    borders = borders or find_borders(label)
    cut = _cut_around_disc(image, label, borders, size, margin)
    if cut is None:
        return None
    picture, scale, origin = cut
    disc, cup = (
        "".join(_path(_to_picture(contour, scale, origin)) for contour in contours)
        for contours in (borders.disc, borders.cup)
    )
    return picture, Outlines(size * _PATH_UNITS, size * _PATH_UNITS, disc, cup)


def gallery(
    tiles: Sequence[tuple[Image.Image, str]], columns: int, *, gap: int = 16, background: Colour = (255, 255, 255)
) -> Image.Image:
    """Put pictures in a grid with their captions beneath.

    Args:
        tiles: pictures of any size and their captions, which may hold several lines; one too long for its tile is cut.
        columns: tiles in a row, at least 1.
        gap: pixels between the tiles and around them.
        background: RGB, 0 to 255.

    Returns:
        PIL.Image.Image: RGB; every cell is as large as the largest picture.

    Raises:
        ValueError: if there are no tiles or no columns.
    """
    if not tiles or columns < 1:
        raise ValueError("a gallery needs at least one tile and one column")
    cell_width = max(picture.width for picture, _ in tiles)
    cell_height = max(picture.height for picture, _ in tiles)
    font_size = max(12, cell_width // 20)
    font = ImageFont.load_default(font_size)
    lines = max(caption.count("\n") + 1 for _, caption in tiles)
    caption_height = round(font_size * (0.6 + 1.3 * lines))
    columns = min(columns, len(tiles))
    rows = math.ceil(len(tiles) / columns)
    step_x, step_y = cell_width + gap, cell_height + caption_height + gap
    sheet = Image.new("RGB", (gap + columns * step_x, gap + rows * step_y), background)
    draw = ImageDraw.Draw(sheet)
    ink = (32, 38, 42) if sum(background) > 384 else (236, 240, 242)
    for index, (picture, caption) in enumerate(tiles):
        x, y = gap + index % columns * step_x, gap + index // columns * step_y
        sheet.paste(picture.convert("RGB"), (x + (cell_width - picture.width) // 2, y + cell_height - picture.height))
        for number, line in enumerate(caption.split("\n")):
            text = _shortened(line, font, cell_width)
            draw.text((x + cell_width / 2, y + cell_height + font_size * (0.4 + 1.3 * number)), text, ink, font, "ma")
    return sheet


def _cut_around_disc(
    image: NDArray[np.uint8], label: Label, borders: Borders, size: int, margin: float
) -> tuple[Image.Image, float, tuple[float, float]] | None:
    """A close-up without contours, its pixels per pixel of the photograph, and where in that it starts (x, y)."""
    _check_pair(image, label)
    box = borders.box
    if box is None:
        return None
    extent = max(axis.stop - axis.start for axis in box)
    side = max(extent, min(round(extent * (1 + 2 * margin)), *label.shape))
    top, left = (_start(axis, side, length) for axis, length in zip(box, label.shape, strict=True))
    # Sliced before it becomes a picture: only the crop is copied, not the photograph.
    rows, columns = (slice(max(start, 0), start + side) for start in (top, left))
    crop = Image.fromarray(np.ascontiguousarray(image[rows, columns]))
    crop = crop.crop((left - columns.start, top - rows.start, left - columns.start + side, top - rows.start + side))
    # Lanczos' filter takes twice the time, for what nobody sees in a picture that shrinks.
    smooth = Image.Resampling.HAMMING if side > size else Image.Resampling.LANCZOS
    return crop.resize((size, size), smooth), size / side, (float(left), float(top))


def _path(points: Contour) -> str:
    """A closed contour, (x, y) in pixel corners, as SVG path data: an absolute start and relative lines."""
    # Steps between rounded points: rounding the steps themselves would let the line drift.
    corners = np.rint(points * _PATH_UNITS).astype(int)
    steps = np.diff(corners[:-1], axis=0)
    return f"M{corners[0, 0]} {corners[0, 1]}l" + " ".join(f"{x} {y}" for x, y in steps) + "z"


def _draw_contours(
    picture: Image.Image, borders: Borders, *, scale: float, origin: tuple[float, float], width: float
) -> None:
    """Draw both borders on ``picture``, whose pixel (0, 0) starts at ``origin`` (x, y) of the label's pixel corners."""
    disc = [_to_picture(contour, scale, origin) for contour in borders.disc]
    cup = [_to_picture(contour, scale, origin) for contour in borders.cup]
    dashes = [dash for contour in cup for dash in _dashes(contour, _DASH * width, _GAP * width)]
    _stroke(picture, disc, _HALO_COLOUR, _HALO_WIDTH * width, _HALO_ALPHA)
    _stroke(picture, disc, DISC_COLOUR, width)
    # The dark edge runs on between the dashes: dark and light in turn are seen on any ground, the pale cup included.
    _stroke(picture, cup, _HALO_COLOUR, _HALO_WIDTH * width, _HALO_ALPHA)
    _stroke(picture, dashes, CUP_COLOUR, width)


def _to_picture(contour: Contour, scale: float, origin: tuple[float, float]) -> Contour:
    """A contour's (row, column) as (x, y) in pixel corners of the picture, without the stairs of the pixel mask."""
    points = contour[:, ::-1]
    if len(points) > 10 * _SMOOTHING:
        step = max(1, int(_STEP * math.sqrt(len(points))))
        ring = ndimage.gaussian_filter1d(points[:-1], max(_SMOOTHING, step / 2), axis=0, mode="wrap")[::step]
        points = np.concatenate([ring, ring[:1]])
    return (points + 0.5 - np.asarray(origin)) * scale


def _dashes(points: Contour, dash: float, gap: float) -> Iterator[Contour]:
    """Cut a closed line into dashes; their number is whole, so that the seam does not show."""
    along = np.concatenate([[0.0], np.cumsum(np.hypot(*np.diff(points, axis=0).T))])
    count = max(1, round(along[-1] / (dash + gap)))
    period = along[-1] / count
    length = period * dash / (dash + gap)
    for start in np.arange(count) * period:
        inside = along[(along > start) & (along < start + length)]
        at = np.concatenate([[start], inside, [start + length]])
        yield np.stack([np.interp(at, along, axis) for axis in points.T], axis=1)


def _stroke(picture: Image.Image, lines: Iterable[Contour], colour: Colour, width: float, alpha: float = 1.0) -> None:
    """Draw anti-aliased lines, (x, y) in pixel corners, in place."""
    lines = list(lines)
    if not lines:
        return
    points = np.concatenate(lines)
    reach = width + 2
    left, top = (max(0, math.floor(low - reach)) for low in points.min(axis=0))
    right, bottom = (
        min(length, math.ceil(high + reach)) for high, length in zip(points.max(axis=0), picture.size, strict=True)
    )
    if right <= left or bottom <= top:
        return
    # Pillow draws without anti-aliasing, hence larger and then reduced; a wide line needs fewer steps to look smooth.
    factor = 4 if width < 6 else 2
    coverage = Image.new("L", ((right - left) * factor, (bottom - top) * factor))
    draw = ImageDraw.Draw(coverage)
    for line in lines:
        path = [(float(x), float(y)) for x, y in (line - (left, top)) * factor - 0.5]
        draw.line(path, fill=round(255 * alpha), width=max(1, round(width * factor)), joint="curve")
    picture.paste(colour, (left, top, right, bottom), coverage.reduce(factor))


def _draw_banner(picture: Image.Image, text: str) -> None:
    """Write a line of text on a translucent plate at the lower edge, in place."""
    size = max(11, min(picture.size) // 28)
    font = ImageFont.load_default(size)
    text_width = math.ceil(font.getlength(text))
    plate_width, plate_height = text_width + 2 * size, 2 * size
    left, top = (picture.width - plate_width) // 2, picture.height - plate_height - size
    plate = Image.new("L", (plate_width * 4, plate_height * 4))
    ImageDraw.Draw(plate).rounded_rectangle((0, 0, plate.width - 1, plate.height - 1), radius=4 * size, fill=170)
    picture.paste(_HALO_COLOUR, (left, top, left + plate_width, top + plate_height), plate.reduce(4))
    centre = (left + plate_width / 2, top + plate_height / 2)
    ImageDraw.Draw(picture).text(centre, text, (238, 242, 244), font, "mm")


def _start(axis: slice, side: int, length: int) -> int:
    """Where a window of ``side`` pixels around ``axis`` starts: inside [0, length) if it fits, else centred."""
    start = (axis.start + axis.stop - side) // 2
    return min(max(start, 0), length - side) if side <= length else start


def _shortened(text: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont, width: float) -> str:
    if font.getlength(text) <= width:
        return text
    while text and font.getlength(text + "...") > width:
        text = text[:-1]
    return text + "..."


def _check_pair(image: NDArray[np.uint8], label: Label) -> None:
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8:
        raise ValueError(f"a photograph must be H x W x 3 uint8, not {image.shape} {image.dtype}")
    if label.shape != image.shape[:2]:
        raise ValueError(f"the label map is {label.shape}, its photograph {image.shape[:2]}")
