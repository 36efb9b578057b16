"""Contours are where the label says, in their colours, and nothing else of the photograph changes."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image
from scipy import ndimage

from bundle.report.overlays import CUP_COLOUR, DISC_COLOUR, close_up, draw_overlay, gallery, outlined_close_up

HEIGHT, WIDTH = 260, 400
CENTRE_X, CENTRE_Y = 290, 90
DISC = (50, 60)
CUP = (20, 36)


@pytest.fixture
def image() -> np.ndarray:
    """``H x W x 3``: reddish, every pixel a little different."""
    y, x = np.indices((HEIGHT, WIDTH))
    return np.stack([150 + x % 40, 60 + y % 30, 30 + (x + y) % 20], axis=2).astype(np.uint8)


@pytest.fixture
def label() -> np.ndarray:
    """An upright disc right of and above the middle, with its cup."""
    y, x = np.indices((HEIGHT, WIDTH))
    x, y = x - CENTRE_X, y - CENTRE_Y
    disc = (x / DISC[0]) ** 2 + (y / DISC[1]) ** 2 <= 1
    cup = (x / CUP[0]) ** 2 + (y / CUP[1]) ** 2 <= 1
    return disc.astype(np.uint8) + cup.astype(np.uint8)


def close_to(pixels: np.ndarray, colour: tuple[int, int, int], tolerance: int = 70) -> np.ndarray:
    return np.abs(pixels.astype(int) - np.array(colour)).max(axis=-1) <= tolerance


def borders(label: np.ndarray) -> np.ndarray:
    """Pixels that have a neighbour of another label."""
    return ndimage.maximum_filter(label, 3) != ndimage.minimum_filter(label, 3)


def test_overlay_changes_only_what_is_near_the_borders(image: np.ndarray, label: np.ndarray) -> None:
    original = image.copy()
    overlay = draw_overlay(image, label)
    assert overlay.mode == "RGB"
    assert overlay.size == (WIDTH, HEIGHT)
    changed = (np.asarray(overlay) != original).any(axis=2)
    distance = ndimage.distance_transform_edt(~borders(label))
    assert changed[distance == 0].mean() > 0.95
    assert not changed[distance > 5].any()
    np.testing.assert_array_equal(image, original)


def test_overlay_has_the_colours_where_the_borders_are(image: np.ndarray, label: np.ndarray) -> None:
    pixels = np.asarray(draw_overlay(image, label, width_share=0.01))
    y, x = np.nonzero(close_to(pixels, DISC_COLOUR))
    assert (x.min(), x.max()) == pytest.approx((CENTRE_X - DISC[0], CENTRE_X + DISC[0]), abs=2)
    assert (y.min(), y.max()) == pytest.approx((CENTRE_Y - DISC[1], CENTRE_Y + DISC[1]), abs=2)
    y, x = np.nonzero(close_to(pixels, CUP_COLOUR))
    assert (x.min(), x.max()) == pytest.approx((CENTRE_X - CUP[0], CENTRE_X + CUP[0]), abs=2)
    assert (y.min(), y.max()) == pytest.approx((CENTRE_Y - CUP[1], CENTRE_Y + CUP[1]), abs=2)


def test_overlay_draws_the_same_lines_wherever_the_disc_lies(image: np.ndarray, label: np.ndarray) -> None:
    """Lines of the largest width; only a window around the disc is drawn in."""
    edges = ((60, 50), (30, 20))
    padded = draw_overlay(np.pad(image, (*edges, (0, 0))), np.pad(label, edges), width_share=1.0)
    alone = np.asarray(draw_overlay(image, label, width_share=1.0))
    np.testing.assert_array_equal(np.asarray(padded)[60:-50, 30:-20], alone)


def test_disc_is_solid_and_cup_is_dashed(image: np.ndarray, label: np.ndarray) -> None:
    pixels = np.asarray(draw_overlay(image, label, width_share=0.01))
    angles = np.linspace(0, 2 * np.pi, 720, endpoint=False)

    def share(axes: tuple[int, int], colour: tuple[int, int, int]) -> float:
        x, y = CENTRE_X + axes[0] * np.cos(angles), CENTRE_Y + axes[1] * np.sin(angles)
        near = ndimage.maximum_filter(close_to(pixels, colour), 3)
        return float(near[np.rint(y).astype(int), np.rint(x).astype(int)].mean())

    assert share(DISC, DISC_COLOUR) > 0.98
    assert 0.4 < share(CUP, CUP_COLOUR) < 0.9


def test_overlay_of_an_empty_label_says_so_at_the_lower_edge(image: np.ndarray) -> None:
    overlay = draw_overlay(image, np.zeros((HEIGHT, WIDTH), dtype=np.uint8))
    assert overlay.size == (WIDTH, HEIGHT)
    changed = (np.asarray(overlay) != image).any(axis=2)
    assert not changed[: HEIGHT * 3 // 4].any()
    assert 0.01 < changed.mean() < 0.1


@pytest.mark.parametrize("box", [(0, 0, 3, 2), (0, 0, HEIGHT, WIDTH), (HEIGHT - 1, WIDTH - 1, HEIGHT, WIDTH)])
def test_discs_at_the_edge_and_specks_can_be_drawn(image: np.ndarray, box: tuple[int, int, int, int]) -> None:
    label = np.zeros((HEIGHT, WIDTH), dtype=np.uint8)
    label[box[0] : box[2], box[1] : box[3]] = 2
    assert (np.asarray(draw_overlay(image, label)) != image).any()
    picture = close_up(image, label, size=100)
    assert picture is not None
    assert picture.size == (100, 100)


def test_close_up_is_centred_on_the_disc_and_to_scale(image: np.ndarray, label: np.ndarray) -> None:
    picture = close_up(image, label, size=300, margin=0.2)
    assert picture is not None
    assert picture.size == (300, 300)
    # The disc is 121 pixels high and so the square is 169 on a side; it lies inside the photograph.
    scale = 300 / 169
    y, x = np.nonzero(close_to(np.asarray(picture), DISC_COLOUR))
    assert (x.min() + x.max()) / 2 == pytest.approx(150, abs=3)
    assert (y.min() + y.max()) / 2 == pytest.approx(150, abs=3)
    assert np.ptp(x) == pytest.approx(101 * scale, abs=4)
    assert np.ptp(y) == pytest.approx(121 * scale, abs=4)


def test_close_up_shows_the_photograph_the_right_way_up(image: np.ndarray, label: np.ndarray) -> None:
    image[...] = 90
    image[: CENTRE_Y - 30, :CENTRE_X] = (200, 0, 0)
    picture = close_up(image, label, size=256, margin=0.1)
    assert picture is not None
    pixels = np.asarray(picture)
    assert tuple(pixels[3, 3]) == (200, 0, 0)
    assert tuple(pixels[3, -4]) == tuple(pixels[-4, 3]) == (90, 90, 90)


def test_close_up_near_the_edge_stays_inside_the_photograph(image: np.ndarray, label: np.ndarray) -> None:
    shifted = np.roll(label, (HEIGHT - CENTRE_Y - 65, WIDTH - CENTRE_X - 55), axis=(0, 1))
    picture = close_up(image, shifted, size=200, margin=0.4)
    assert picture is not None
    corners = np.asarray(picture)[[3, 3, -4, -4], [3, -4, 3, -4]]
    assert (corners[:, 0] > 120).all()


def points_of(path: str) -> np.ndarray:
    """N x 2 corners (x, y) of an SVG path of one start and relative lines."""
    assert path.startswith("M")
    assert path.endswith("z")
    start, steps = path[1:-1].split("l")
    return np.cumsum(np.array([start.split(), *np.array(steps.split()).reshape(-1, 2)], dtype=int), axis=0)


def test_outlines_lie_on_the_borders_to_a_fraction_of_a_pixel(image: np.ndarray, label: np.ndarray) -> None:
    found = outlined_close_up(image, label, size=338, margin=0.2)
    assert found is not None
    picture, outlines = found
    assert picture.size == (338, 338)
    assert (outlines.width, outlines.height) == (3380, 3380)
    # The square is 169 pixels on a side, so the close-up doubles the photograph; the paths' unit is a tenth of a pixel.
    start = np.array([CENTRE_X, CENTRE_Y]) + 0.5 - np.array([169, 169]) / 2
    for path, axes in ((outlines.disc, DISC), (outlines.cup, CUP)):
        points = points_of(path) / 20 + start - (CENTRE_X + 0.5, CENTRE_Y + 0.5)
        error = (np.hypot(*(points / axes).T) - 1) * min(axes)
        assert np.abs(error).max() < 1
        assert abs(error.mean()) < 0.5
        assert 16 < len(points) < 120


def test_outlines_are_not_drawn_into_the_picture(image: np.ndarray, label: np.ndarray) -> None:
    found = outlined_close_up(image, label)
    assert found is not None
    bare = outlined_close_up(image, (label >= 1).astype(np.uint8))
    assert bare is not None
    np.testing.assert_array_equal(np.asarray(found[0]), np.asarray(bare[0]))
    assert bare[1].cup == ""
    assert bare[1].disc == found[1].disc
    assert outlined_close_up(image, np.zeros_like(label)) is None


def test_close_up_needs_a_disc(image: np.ndarray) -> None:
    assert close_up(image, np.zeros((HEIGHT, WIDTH), dtype=np.uint8)) is None


def test_wrong_shapes_are_refused(image: np.ndarray, label: np.ndarray) -> None:
    with pytest.raises(ValueError, match="label map"):
        draw_overlay(image, label.T)
    with pytest.raises(ValueError, match="H x W x 3"):
        close_up(image.astype(np.float32), label)


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
