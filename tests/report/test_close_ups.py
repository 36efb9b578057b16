"""Close-ups show the disc in the middle and to scale, and outlines lie on its borders."""

from __future__ import annotations

import numpy as np
import pytest

from bundle.report.close_ups import close_up, outlined_close_up
from bundle.report.contours import DISC_COLOUR
from tests.support.drawn_disc import CENTRE_X, CENTRE_Y, CUP, DISC, HEIGHT, WIDTH, close_to


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


@pytest.mark.parametrize("box", [(0, 0, 3, 2), (0, 0, HEIGHT, WIDTH), (HEIGHT - 1, WIDTH - 1, HEIGHT, WIDTH)])
def test_discs_at_the_edge_and_specks_have_a_close_up(image: np.ndarray, box: tuple[int, int, int, int]) -> None:
    label = np.zeros((HEIGHT, WIDTH), dtype=np.uint8)
    label[box[0] : box[2], box[1] : box[3]] = 2
    picture = close_up(image, label, size=100)
    assert picture is not None
    assert picture.size == (100, 100)


def test_what_is_no_photograph_is_refused(image: np.ndarray, label: np.ndarray) -> None:
    with pytest.raises(ValueError, match="H x W x 3"):
        close_up(image.astype(np.float32), label)
