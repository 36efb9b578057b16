"""Measurements on ellipses whose sizes are known, and the clean-up of label maps."""

from __future__ import annotations

import math
from dataclasses import astuple

import numpy as np
import pytest

from bundle.morphometry.cup_disc import Measurements, bounding_box, clean, find_borders, measure, region_contours

Centre = tuple[float, float]


def radius(shape: tuple[int, int], centre: Centre, axes: tuple[float, float], degrees: float = 0.0) -> np.ndarray:
    """``H x W``: 1 on an ellipse with semi-axes (x, y) around (x, y), turned by an angle, less inside, more outside."""
    y, x = np.indices(shape, dtype=np.float64)
    x, y = x - centre[0], y - centre[1]
    cosine, sine = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    return np.hypot((x * cosine + y * sine) / axes[0], (y * cosine - x * sine) / axes[1])


def half_extents(axes: tuple[float, float], degrees: float) -> tuple[float, float]:
    """Exact half width and half height of a turned ellipse."""
    cosine, sine = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    return math.hypot(axes[0] * cosine, axes[1] * sine), math.hypot(axes[0] * sine, axes[1] * cosine)


def draw(disc: np.ndarray, cup: np.ndarray) -> np.ndarray:
    return (disc <= 1).astype(np.uint8) + ((cup <= 1) & (disc <= 1)).astype(np.uint8)


@pytest.mark.parametrize("size", [60.0, 110.0, 233.0])
@pytest.mark.parametrize("degrees", [0.0, 17.0, 45.0, 90.0, 128.0])
def test_ratios_of_ellipses(size: float, degrees: float) -> None:
    disc_axes, cup_axes = (0.86 * size, size), (0.45 * size, 0.6 * size)
    shape, centre = (round(2.4 * size), round(2.9 * size)), (1.5 * size + 0.3, 1.2 * size - 0.2)
    disc, cup = (radius(shape, centre, axes, degrees) for axes in (disc_axes, cup_axes))
    measured = measure(draw(disc, cup))
    disc_width, disc_height = half_extents(disc_axes, degrees)
    cup_width, cup_height = half_extents(cup_axes, degrees)
    assert measured.vcdr == pytest.approx(cup_height / disc_height, abs=0.01)
    assert measured.hcdr == pytest.approx(cup_width / disc_width, abs=0.01)
    assert measured.area_cdr == pytest.approx(0.45 * 0.6 / 0.86, abs=0.01)
    assert measured.disc_height_px == pytest.approx(2 * disc_height, abs=1)
    assert measured.disc_width_px == pytest.approx(2 * disc_width, abs=1)
    assert (measured.disc_x, measured.disc_y) == pytest.approx(centre, abs=0.1)


@pytest.mark.parametrize("shift", [0.0, 0.25, 0.5, 0.8])
def test_probability_gives_sub_pixel_sizes_of_a_small_disc(shift: float) -> None:
    shape, centre = (64, 80), (41.0 + shift, 30.0 - shift)
    disc, cup = radius(shape, centre, (17.3, 19.4)), radius(shape, centre, (8.2, 9.7))
    # A soft border as a network draws it; the value at the ellipse itself is 0.5.
    probability = np.stack([1 / (1 + np.exp(14 * (field - 1))) for field in (disc, cup)])
    measured = measure(draw(disc, cup), probability)
    assert measured.vcdr == pytest.approx(9.7 / 19.4, abs=0.004)
    assert measured.disc_height_px == pytest.approx(2 * 19.4, abs=0.1)
    assert measured.cup_width_px == pytest.approx(2 * 8.2, abs=0.1)


def test_probability_does_not_bring_back_what_the_label_leaves_out() -> None:
    label = np.zeros((40, 40), dtype=np.uint8)
    label[10:30, 12:28] = 1
    probability = np.zeros((2, 40, 40))
    probability[0, 5:38, 12:28] = 1.0
    probability[0, 18:20, 18:20] = 0.1
    assert measure(label, probability).disc_height_px == pytest.approx(20)
    assert len(region_contours(label >= 1, probability[0])) == 1


def test_extent_of_whole_pixels_is_their_number() -> None:
    label = np.zeros((30, 50), dtype=np.uint8)
    label[4:24, 30:50] = 1
    label[8:18, 35:40] = 2
    assert measure(label) == Measurements(0.5, 0.25, 0.125, 39.5, 13.5, 20.0, 20.0, 10.0, 5.0, 400.0, 50.0)


def test_quarter_turn_swaps_horizontal_and_vertical() -> None:
    label = draw(radius((150, 220), (120, 70), (60, 50)), radius((150, 220), (115, 75), (20, 35)))
    upright, turned = measure(label), measure(np.rot90(label))
    assert upright.vcdr > upright.hcdr + 0.2
    assert (turned.vcdr, turned.hcdr, turned.area_cdr) == pytest.approx((upright.hcdr, upright.vcdr, upright.area_cdr))
    assert (turned.disc_height_px, turned.cup_width_px) == (upright.disc_width_px, upright.cup_height_px)


def test_no_disc_is_nan_and_no_cup_is_zero() -> None:
    label = np.zeros((20, 30), dtype=np.uint8)
    assert all(math.isnan(value) for value in astuple(measure(label)))
    label[5:10, 3:9] = 1
    measured = measure(label)
    assert (measured.vcdr, measured.hcdr, measured.area_cdr) == (0.0, 0.0, 0.0)
    assert (measured.cup_height_px, measured.cup_width_px) == (0.0, 0.0)
    assert (measured.disc_height_px, measured.disc_width_px) == (5.0, 6.0)


def test_wrong_shapes_are_refused() -> None:
    with pytest.raises(ValueError, match="H x W"):
        measure(np.zeros((3, 4, 5), dtype=np.uint8))
    with pytest.raises(ValueError, match="2 x H x W"):
        measure(np.zeros((4, 5), dtype=np.uint8), np.zeros((2, 5, 4)))


def test_clean_keeps_the_largest_and_fills_holes() -> None:
    expected = draw(radius((120, 160), (90, 60), (40, 45)), radius((120, 160), (92, 58), (20, 24)))
    dirty = expected.copy()
    dirty[58:61, 88:92] = 0
    dirty[50:52, 100:102] = 1
    dirty[30:32, 70:73] = 0
    dirty[90:93, 80:82] = 2
    dirty[5:15, 5:20] = 1
    dirty[8:12, 8:12] = 2
    before = dirty.copy()
    cleaned = clean(dirty)
    assert cleaned.dtype == np.uint8
    np.testing.assert_array_equal(cleaned, expected)
    np.testing.assert_array_equal(dirty, before)
    np.testing.assert_array_equal(clean(cleaned), cleaned)


def test_clean_drops_a_cup_outside_the_disc() -> None:
    label = np.zeros((40, 60), dtype=np.uint8)
    label[10:30, 10:30] = 1
    label[12:20, 45:55] = 2
    cleaned = clean(label)
    assert set(np.unique(cleaned)) == {0, 1}
    assert np.count_nonzero(cleaned) == 400


def test_clean_of_nothing_is_nothing() -> None:
    assert not clean(np.zeros((7, 9), dtype=np.uint8)).any()
    assert bounding_box(np.zeros((7, 9), dtype=bool)) is None
    assert region_contours(np.zeros((7, 9), dtype=bool)) == []


@pytest.mark.parametrize(("top", "left"), [(0, 0), (3, 11), (1, 1), (33, 20)])
def test_contours_lie_between_the_pixels_wherever_the_region_is(top: int, left: int) -> None:
    region = np.zeros((40, 30), dtype=bool)
    region[top : top + 7, left : left + 10] = True
    (contour,) = region_contours(region)
    np.testing.assert_array_equal(contour[0], contour[-1])
    np.testing.assert_allclose(contour.min(axis=0), (top - 0.5, left - 0.5))
    np.testing.assert_allclose(contour.max(axis=0), (top + 6.5, left + 9.5))


def test_the_box_is_the_smallest_that_holds_the_mask():
    mask = np.zeros((9, 12), dtype=bool)
    mask[2, 5] = mask[6, 8] = True
    assert bounding_box(mask) == (slice(2, 7), slice(5, 9))


def test_borders_lie_where_those_of_the_whole_map_do():
    label = np.zeros((40, 60), np.uint8)
    label[:20, 30:52] = 1
    label[4:15, 35:47] = 2
    probability = np.stack([label >= 1, label == 2]) * 0.4 + np.random.default_rng(0).random((2, 40, 60)) * 0.3
    for levels in (None, probability):
        found = find_borders(label, levels)
        regions = (label >= 1, label == 2)
        each = (None, None) if levels is None else levels
        for contours, region, level in zip((found.disc, found.cup), regions, each, strict=True):
            expected = region_contours(region, level)
            assert len(contours) == len(expected) == 1
            np.testing.assert_array_equal(contours[0], expected[0])
        assert found.box == (slice(0, 20), slice(30, 52))
        assert found.centre == (9.5, 40.5)
        assert measure(label, levels) == measure(label, borders=found)
