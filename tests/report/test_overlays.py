"""Contours are where the label says, in their colours, and nothing else of the photograph changes."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from bundle.report.contours import CUP_COLOUR, DISC_COLOUR
from bundle.report.overlays import draw_overlay
from tests.support.drawn_disc import CENTRE_X, CENTRE_Y, CUP, DISC, HEIGHT, WIDTH, close_to


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


def test_a_label_of_another_shape_is_refused(image: np.ndarray, label: np.ndarray) -> None:
    with pytest.raises(ValueError, match="label map"):
        draw_overlay(image, label.T)
