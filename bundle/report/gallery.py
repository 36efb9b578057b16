"""Pictures in a grid, with captions."""

from __future__ import annotations

import math
from collections.abc import Sequence

from PIL import Image, ImageDraw, ImageFont

from bundle.report.contours import Colour

__all__ = ["gallery"]


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


def _shortened(text: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont, width: float) -> str:
    if font.getlength(text) <= width:
        return text
    while text and font.getlength(text + "...") > width:
        text = text[:-1]
    return text + "..."
