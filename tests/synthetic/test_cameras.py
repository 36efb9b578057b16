"""Cameras show the same anatomy differently, as their names say."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from bundle.synthetic.cameras import CAMERA_STYLES, CameraStyle
from bundle.synthetic.phantoms.photographs import make_crop, make_photograph
from bundle.synthetic.phantoms.shapes import Phantom


@pytest.mark.parametrize("make", [make_crop, make_photograph])
def test_another_camera_shows_the_same_anatomy_differently(make: Callable[..., Phantom]) -> None:
    size = (160, 120)
    plain = make(5, size=size)
    for camera in CAMERA_STYLES:
        other = make(5, size=size, camera=camera)
        np.testing.assert_array_equal(other.label, plain.label)
        assert (other.camera, other.laterality, other.vcdr) == (camera, plain.laterality, plain.vcdr)
        if camera != "plain":
            difference = np.abs(other.image.astype(int) - plain.image.astype(int)).mean()
            assert difference > 5, camera


def test_camera_styles_do_what_their_names_say() -> None:
    means = {camera: make_crop(2, camera=camera, size=128).image.mean(axis=(0, 1)) for camera in CAMERA_STYLES}
    spread = {camera: make_crop(2, camera=camera, size=128).image.std() for camera in CAMERA_STYLES}
    assert means["dim_blurred"].sum() < 0.8 * means["plain"].sum()
    assert means["tight_red"][0] / means["tight_red"].sum() > means["plain"][0] / means["plain"].sum()
    assert means["cool_hazy"][2] / means["cool_hazy"].sum() > means["plain"][2] / means["plain"].sum()
    assert spread["harsh"] > spread["plain"] > spread["cool_hazy"]
    assert all(isinstance(style, CameraStyle) and style.name == name for name, style in CAMERA_STYLES.items())
