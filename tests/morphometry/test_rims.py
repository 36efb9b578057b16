"""Rim widths on circles whose rim is known and on phantoms, whose outlines are."""

from __future__ import annotations

import math

import numpy as np
import pytest

from bundle.morphometry.cup_disc import measure
from bundle.morphometry.laterality import Laterality
from bundle.morphometry.rims import Rims, measure_rims
from bundle.synthetic.phantoms.photographs import make_crop, make_photograph

DIRECTIONS = {"right": (1, 0), "inferior": (0, 1), "left": (-1, 0), "superior": (0, -1)}


def circles(size: int, disc: tuple[float, float, float], cup: tuple[float, float, float]) -> np.ndarray:
    """``size x size`` label of two circles (x, y, radius)."""
    y, x = np.mgrid[:size, :size]
    inside = [np.hypot(x - cx, y - cy) <= radius for cx, cy, radius in (disc, cup)]
    return inside[0].astype(np.uint8) + (inside[0] & inside[1])


def widths(rims: Rims) -> dict[str, float]:
    return {name: getattr(rims, name) for name in DIRECTIONS}


def outline_widths(disc: np.ndarray, cup: np.ndarray, sector: float) -> dict[str, float]:
    """From outlines (N x 2): the mean over the sector of every disc point's distance to the cup's nearest point."""
    distance = np.hypot(*(disc[:, None] - cup[None]).transpose(2, 0, 1)).min(axis=1)
    away = disc - disc.mean(axis=0)
    away /= np.hypot(*away.T)[:, None]
    return {
        name: float(distance[away @ np.array(direction) >= math.cos(math.radians(sector / 2))].mean())
        for name, direction in DIRECTIONS.items()
    }


def test_a_ring_is_as_wide_everywhere() -> None:
    rims = measure_rims(circles(300, (150, 148, 100), (150, 148, 55)))
    assert list(widths(rims).values()) == pytest.approx([45] * 4, abs=0.4)


def test_a_ring_on_oblong_pixels_is_as_wide_everywhere_in_millimetres() -> None:
    y, x = np.mgrid[:600, :300]
    distance = np.hypot((y - 300) * 0.01, (x - 150) * 0.02)
    ring = (distance <= 1.8).astype(np.uint8) + (distance <= 0.9)
    rims = measure_rims(ring, spacing=(0.01, 0.02))
    assert list(widths(rims).values()) == pytest.approx([0.9] * 4, abs=0.02)
    assert measure_rims(ring).left == pytest.approx(45, abs=1)
    assert all(map(math.isnan, widths(measure_rims(ring, spacing=(math.nan, math.nan))).values()))


@pytest.mark.parametrize("sector", [10.0, 30.0, 90.0])
def test_a_shifted_cup_is_measured_from_its_own_border(sector: float) -> None:
    shift = np.array([14.0, -9.0])
    angles = np.radians(np.linspace(-sector / 2, sector / 2, 2001))
    rims = widths(measure_rims(circles(300, (150, 150, 100), (150 + shift[0], 150 + shift[1], 55)), sector=sector))
    for name, direction in DIRECTIONS.items():
        turned = angles + math.atan2(direction[1], direction[0])
        border = 100 * np.stack([np.cos(turned), np.sin(turned)], axis=1)
        assert rims[name] == pytest.approx((np.hypot(*(border - shift).T) - 55).mean(), abs=0.7)
    assert rims["right"] < rims["left"] - 20
    assert rims["superior"] < rims["inferior"] - 12


def test_a_cup_beside_the_discs_centre_has_a_rim_on_every_side() -> None:
    rims = measure_rims(circles(300, (150, 150, 100), (200, 150, 20)), sector=10)
    assert widths(rims) == pytest.approx({"right": 30, "left": 130, "inferior": 91.8, "superior": 91.8}, abs=1)


@pytest.mark.parametrize("seed", range(8))
def test_phantoms_rims_and_ratios(seed: int) -> None:
    """By one camera, because all cameras show the same label."""
    for phantom in (make_crop(seed, size=384), make_photograph(seed, size=(1600, 1200))):
        measured, truth = measure_rims(phantom.label), outline_widths(phantom.disc_outline, phantom.cup_outline, 30)
        assert widths(measured) == pytest.approx(truth, abs=0.8)
        assert measure(phantom.label).vcdr == pytest.approx(phantom.vcdr, abs=0.01)
        assert measure(phantom.label).hcdr == pytest.approx(phantom.hcdr, abs=0.012)
        assert measure(phantom.label).disc_height_px == pytest.approx(phantom.disc_height_px, abs=1)


def test_nasal_and_temporal_follow_the_eye() -> None:
    label = circles(300, (150, 150, 100), (170, 150, 40))
    right, left, unknown = (measure_rims(label, Laterality(eye)) for eye in ("right", "left", "unknown"))
    assert (right.nasal, right.temporal) == (right.right, right.left)
    assert (left.nasal, left.temporal) == (left.left, left.right)
    assert right.temporal > right.nasal + 30
    assert math.isnan(unknown.nasal)
    assert math.isnan(unknown.temporal)


def test_nothing_is_measured_where_there_is_no_border() -> None:
    label = circles(300, (150, 150, 100), (150, 150, 40))
    cut = measure_rims(label[:, :220])
    assert math.isnan(cut.right)
    assert [cut.left, cut.inferior, cut.superior] == pytest.approx([60] * 3, abs=2)
    for empty in (np.zeros_like(label), np.minimum(label, 1)):
        assert all(math.isnan(value) for value in widths(measure_rims(empty)).values())


@pytest.mark.parametrize("sector", [0.0, -1.0, 91.0])
def test_a_sector_out_of_range_is_refused(sector: float) -> None:
    with pytest.raises(ValueError, match="sector"):
        measure_rims(circles(60, (30, 30, 20), (30, 30, 8)), sector=sector)
