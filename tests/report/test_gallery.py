"""Pictures stand in a grid, each over its caption."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from bundle.report.gallery import gallery


def test_gallery_places_tiles_row_by_row_over_their_captions() -> None:
    colours = [(200, 0, 0), (0, 200, 0), (0, 0, 200)]
    tiles = [(Image.new("RGB", (80, 60), colour), f"tile {index}") for index, colour in enumerate(colours)]
    sheet = gallery(tiles, 2, gap=10)
    pixels = np.asarray(sheet)
    assert sheet.width == 10 + 2 * 90
    corners = {colour: tuple(np.argwhere((pixels == colour).all(axis=2)).min(axis=0)) for colour in colours}
    assert corners[colours[0]] == (10, 10)
    assert corners[colours[1]] == (10, 100)
    assert corners[colours[2]][0] > 70
    below = pixels[70 : corners[colours[2]][0] - 10, 10:90]
    assert below.min() < 100


def test_gallery_cuts_a_caption_that_is_too_long() -> None:
    sheet = gallery([(Image.new("RGB", (80, 60)), "a caption much wider than its tile " * 3)], 3, gap=10)
    pixels = np.asarray(sheet)
    assert sheet.width == 100
    assert (pixels[70:, :9] == 255).all()
    assert (pixels[70:, 91:] == 255).all()


@pytest.mark.parametrize(("tiles", "columns"), [(0, 2), (1, 0)])
def test_gallery_needs_tiles_and_columns(tiles: int, columns: int) -> None:
    with pytest.raises(ValueError, match="at least one"):
        gallery([(Image.new("RGB", (8, 8)), "")] * tiles, columns)
