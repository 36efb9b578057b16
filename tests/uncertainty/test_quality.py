"""Measures of a photograph's quality rise or fall with the severity of the fault, and only with it."""

from __future__ import annotations

import itertools
import math
from functools import cache

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from bundle.errors import CallError
from bundle.synthetic.cameras import CAMERA_STYLES
from bundle.synthetic.phantoms.photographs import make_crop
from bundle.uncertainty.quality import Quality, QualityLimits, cut_share, quality_of_view

SIDE = 200
Y, X = np.mgrid[:SIDE, :SIDE]


@cache
def crop(camera: str) -> np.ndarray:
    return make_crop(3, camera=camera, size=128).image


def view(gain: float, camera: str) -> torch.Tensor:
    """A made-up crop as the network sees it, so much brighter."""
    pixels = np.clip(np.round(crop(camera) * gain), 0, 255)
    return torch.from_numpy(((pixels - 127) / 128).transpose(2, 1, 0).copy()).float()


@pytest.mark.parametrize("camera", CAMERA_STYLES)
def test_the_less_light_the_darker_and_the_more_the_more_is_overexposed(camera):
    gains = (0.05, 0.1, 0.2, 0.4, 0.7, 1.0, 1.5, 2.2, 3.5, 6.0)
    found = [quality_of_view(view(gain, camera)) for gain in gains]
    for less, more in itertools.pairwise(found):
        assert less.brightness <= more.brightness
        assert less.overexposed <= more.overexposed
    limits = QualityLimits()
    assert limits.faults(found[5]) == []
    assert "too dark" in limits.faults(found[1])
    assert limits.faults(found[-1]) == ["overexposed"]


def test_red_alone_at_its_limit_is_not_overexposed():
    pixels = torch.zeros(3, 32, 32) + 1.0
    pixels[1:] = 0
    assert quality_of_view(pixels).overexposed == 0


def disc(x: float, y: float, radius: float = 40) -> np.ndarray:
    return (np.hypot(X - x, Y - y) <= radius).astype(np.uint8)


@settings(max_examples=30, deadline=None)
@given(st.floats(0, 2 * math.pi), st.floats(20, 60))
def test_the_more_of_a_disc_the_frame_cuts_off_the_larger_its_share(angle, radius):
    shares = []
    for depth in (-5.0, 0.2, 0.5, 0.8, 1.0, 1.3, 1.6):
        # The disc moves out of the picture through the side towards which the angle points.
        u, v = math.cos(angle), math.sin(angle)
        reach = SIDE / 2 / max(abs(u), abs(v))
        from_side = radius * (1 - max(depth, 0)) if depth > 0 else radius + 3
        step = reach - from_side / max(abs(u), abs(v))
        shares.append(cut_share(disc(SIDE / 2 - 0.5 + u * step, SIDE / 2 - 0.5 + v * step, radius)))
    assert shares[0] == 0
    # Stairs of the outline turn the share a little.
    assert all(more > less - 0.02 for less, more in itertools.pairwise(shares))
    assert QualityLimits().faults(Quality(disc_cut=shares[1])) == ["disc touches the edge of the picture"]


def test_the_edge_of_the_field_of_view_cuts_a_disc_too_and_a_dark_spot_does_not():
    label = disc(100, 100)
    shares = []
    for edge in (200, 137, 130, 120, 100):
        photograph = np.full((SIDE, SIDE, 3), 90, np.uint8)
        photograph[:, edge:] = 3
        shares.append(cut_share(label * (edge > X), photograph))
    assert shares[0] == 0
    assert sorted(shares) == shares
    assert shares[1] > QualityLimits().max_disc_cut
    spotted = np.full((SIDE, SIDE, 3), 90, np.uint8)
    spotted[95:105, 136:144] = 3
    assert cut_share(label, spotted) == 0
    # A dark fundus around a bright disc is no edge of the field of view.
    harsh = np.full((SIDE, SIDE, 3), 12, np.uint8)
    harsh[label > 0] = 220
    assert cut_share(label, harsh) == 0
    assert math.isnan(cut_share(np.zeros_like(label)))


def test_what_is_not_known_is_no_fault():
    assert QualityLimits().faults(Quality()) == []
    far = Quality(fundus_distance=0.3)
    assert QualityLimits().faults(far) == ["not like a fundus photograph"]
    assert QualityLimits(max_fundus_distance=0.4).faults(far) == []


@pytest.mark.parametrize(
    ("limit", "value"),
    [("min_brightness", 1.5), ("max_overexposed", "much"), ("max_disc_cut", -0.1), ("max_fundus_distance", True)],
)
def test_a_limit_out_of_range_is_a_wrong_call(limit, value):
    with pytest.raises(CallError, match=f"quality#{limit} cannot be"):
        QualityLimits(**{limit: value})
