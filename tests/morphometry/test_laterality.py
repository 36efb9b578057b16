"""The guess of the eye: right on phantoms, opposite on their mirror images, and silent where nothing can be told."""

from __future__ import annotations

import math

import numpy as np
import pytest

from bundle.morphometry.laterality import guess_laterality, position_shift, shade_shift
from bundle.synthetic.cameras import CAMERA_STYLES
from bundle.synthetic.phantoms.photographs import make_crop, make_photograph
from bundle.synthetic.phantoms.shapes import Phantom

OTHER = {"right": "left", "left": "right", "unknown": "unknown"}


def eye(image: np.ndarray, label: np.ndarray) -> str:
    guess = guess_laterality(image, label)
    assert guess.source == ("" if guess.eye == "unknown" else "guessed")
    return guess.eye


def crops() -> list[Phantom]:
    return [make_crop(500 + i, camera=camera, size=256) for i, camera in enumerate([*CAMERA_STYLES] * 6)]


def photographs() -> list[Phantom]:
    cameras = [*CAMERA_STYLES] * 4
    return [make_photograph(700 + i, camera=camera, size=(480, 360)) for i, camera in enumerate(cameras)]


@pytest.mark.parametrize("make", [crops, photographs])
def test_phantoms_eyes_are_told(make) -> None:
    phantoms = make()
    guesses = [eye(phantom.image, phantom.label) for phantom in phantoms]
    told = [(guess, phantom.laterality) for guess, phantom in zip(guesses, phantoms, strict=True) if guess != "unknown"]
    assert len(told) >= 0.9 * len(phantoms)
    assert sum(guess == truth for guess, truth in told) >= 0.97 * len(told)
    assert {truth for _, truth in told} == {"right", "left"}


def test_a_mirror_image_is_the_other_eye() -> None:
    for phantom in [make_crop(3, size=256), make_crop(8, size=192), make_photograph(5, size=(720, 540))]:
        mirrored = eye(phantom.image[:, ::-1], phantom.label[:, ::-1])
        assert mirrored == OTHER[eye(phantom.image, phantom.label)]


@pytest.mark.parametrize(("laterality", "sign"), [("right", 1), ("left", -1)])
def test_the_disc_lies_nasal_of_the_middle_of_a_whole_photograph(laterality, sign) -> None:
    shifts = [
        position_shift(p.image, p.label)
        for p in (make_photograph(s, size=(240, 180), laterality=laterality) for s in range(6))
    ]
    assert max(sign * shift for shift in shifts) > 1
    assert min(sign * shift for shift in shifts) > -1


def test_a_crop_has_no_place_in_a_photograph() -> None:
    phantom = make_crop(1, size=128)
    assert math.isnan(position_shift(phantom.image, phantom.label))


def test_what_cannot_be_told_is_unknown() -> None:
    y, x = np.mgrid[:200, :200]
    label = (np.hypot(x - 100, y - 100) < 60).astype(np.uint8)
    plain = np.full((200, 200, 3), 120, np.uint8)
    assert eye(plain, label) == "unknown"
    assert math.isnan(shade_shift(plain, label))
    middle = plain.copy()
    middle[:, 97:104] = 40
    assert abs(shade_shift(middle, label)) < 0.02
    assert eye(middle, label) == "unknown"
    assert eye(plain, np.zeros_like(label)) == "unknown"
    assert math.isnan(shade_shift(middle[::8, ::8], label[::8, ::8]))


def test_cues_that_contradict_each_other_say_nothing() -> None:
    """A dark trunk on the left of a disc that lies far to the right of the middle."""
    y, x = np.mgrid[:300, :600]
    label = (np.hypot(x - 500, y - 150) < 40).astype(np.uint8)
    image = np.full((300, 600, 3), 120, np.uint8)
    assert eye(image, label) == "right"
    image[:, 480:485] = 40
    assert shade_shift(image, label) < -0.3
    assert eye(image, label) == "unknown"
