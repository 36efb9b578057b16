"""No contour that cannot be a disc's passes as one."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage import draw, transform

from bundle.morphometry.plausibility import implausibility, shape_of

SIDE = 240
Y, X = np.mgrid[:SIDE, :SIDE] - SIDE / 2


def ellipse(height, width, turn=0.0, x=0.0, y=0.0):
    u = (X - x) * math.cos(turn) + (Y - y) * math.sin(turn)
    v = (Y - y) * math.cos(turn) - (X - x) * math.sin(turn)
    return (2 * u / width) ** 2 + (2 * v / height) ** 2 <= 1


def turned(mask, degrees):
    return transform.rotate(mask.astype(float), degrees, order=0) > 0.5


@settings(max_examples=60, deadline=None)
@given(st.floats(24, 200), st.floats(1, 2.2), st.floats(0, math.pi), st.floats(0, 0.9), st.floats(-0.5, 0.5))
def test_discs_as_readers_draw_them_are_plausible(size, length, turn, ratio, off):
    disc = ellipse(size, size / length, turn)
    shift = off * (1 - ratio) * size / length / 2
    cup = ellipse(ratio * size, ratio * size / length, turn, x=shift) & disc
    assert implausibility(disc.astype(np.uint8) + cup) == ""


def crescent(size):
    return ellipse(size, size) & ~ellipse(size, size, x=size * 0.35)


def ring(size):
    return ellipse(size, size) & ~ellipse(size * 0.7, size * 0.7)


def half(size):
    return ellipse(size, size) & (X < 0)


def cut(size):
    """A flat top, as a crop's border leaves it."""
    return ellipse(size, size) & (-0.3 * size < Y)


def star(size):
    radius = size / 2 * (0.6 + 0.4 * np.cos(5 * np.arctan2(Y, X)))
    return np.hypot(X, Y) < radius


def square(size):
    return (abs(X) < size / 2) & (abs(Y) < size / 2)


def vessel(size):
    return ellipse(size, size / 4)


def two(size):
    return ellipse(size / 2, size / 2, x=-size / 3) | ellipse(size / 2, size / 2, x=size / 3)


def horseshoe(size):
    return ring(size) & ~((abs(X) < size / 5) & (Y > 0))


ODD = [crescent, ring, half, cut, star, square, vessel, two, horseshoe]


@pytest.mark.parametrize("shape", ODD)
@settings(max_examples=12, deadline=None)
@given(size=st.floats(60, 200))
def test_no_odd_shape_passes_as_a_disc(shape, size):
    assert implausibility(shape(size).astype(np.uint8))


@pytest.mark.parametrize("shape", [crescent, ring, star, vessel, two, horseshoe])
@settings(max_examples=8, deadline=None)
@given(size=st.floats(60, 130), degrees=st.floats(0, 180))
def test_nor_turned_nor_as_a_cup(shape, size, degrees):
    odd = turned(shape(size), degrees)
    assert implausibility(odd.astype(np.uint8))
    assert implausibility(ellipse(210, 210).astype(np.uint8) + odd)


def test_a_cup_needs_a_rim():
    disc, cup = ellipse(150, 150), ellipse(147, 147)
    assert implausibility(disc.astype(np.uint8) + cup) == "a cup without a rim"
    assert implausibility(disc.astype(np.uint8) + ellipse(133, 133)) == ""


def test_a_disc_is_small_in_a_whole_photograph():
    disc = ellipse(140, 140).astype(np.uint8)
    assert implausibility(disc) == ""
    assert implausibility(disc, whole=True) == "too large for a whole photograph"


def test_the_field_of_view_is_no_disc():
    field = ellipse(220, 220)
    photograph = np.where(field[..., None], (150, 80, 40), 2).astype(np.uint8)
    assert implausibility(ellipse(216, 216).astype(np.uint8), photograph) == "the edge of the field of view"
    assert implausibility(ellipse(120, 120).astype(np.uint8), photograph) == ""
    # A dark photograph is no field of view.
    assert implausibility(ellipse(120, 120).astype(np.uint8), np.full((SIDE, SIDE, 3), 9, np.uint8)) == ""


def test_a_disc_of_a_few_pixels_is_not_judged():
    assert implausibility(square(10).astype(np.uint8)) == ""
    assert implausibility(np.zeros((9, 9), np.uint8)) == ""


def test_large_masks_are_judged_as_small_ones():
    rows, columns = draw.ellipse(900, 800, 500, 380, shape=(1800, 1600))
    large = np.zeros((1800, 1600), bool)
    large[rows, columns] = True
    found = shape_of(large)
    assert found.length == pytest.approx(500 / 380, rel=0.02)
    assert found.solidity > 0.97
    assert found.flatness < 0.3
