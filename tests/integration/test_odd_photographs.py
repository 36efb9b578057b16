"""Pictures that are no single photograph of one eye in colour never come out as if they were."""

from __future__ import annotations

import numpy as np
import pytest
import skimage.data
import skimage.draw

from bundle import segment

EYE = skimage.data.retina()
TWO = "two discs: cut the picture, one eye each"


@pytest.mark.parametrize(
    "picture",
    [
        pytest.param(np.concatenate([EYE, EYE[:, ::-1]], axis=1), id="two eyes"),
        pytest.param(np.concatenate([EYE, EYE], axis=1), id="a stereo pair"),
        pytest.param(np.concatenate([EYE, EYE], axis=0), id="one above the other"),
    ],
)
def test_two_discs_in_a_picture_are_told(picture):
    (result,) = segment(picture)
    assert result.status == "review"
    assert TWO in result.reason


def test_a_picture_without_colour_is_told():
    red_free = np.repeat(EYE[..., 1:2], 3, axis=2)
    one, grey, three = segment([EYE, EYE[..., 1], red_free])
    assert "without colour" not in one.reason
    for result in (grey, three):
        assert result.status == "no_disc" or "a picture without colour" in result.reason


def test_a_disc_that_is_painted_over_is_never_outlined_at_another_size_as_if_all_were_well():
    (plain,) = segment(EYE)
    disc = plain.measurements
    painted = []
    for colour in ((0, 0, 0), (255, 255, 255), (150, 60, 20), (0, 255, 0)):
        for scale in (0.5, 0.8, 1.2):
            picture = EYE.copy()
            radius = scale * disc.disc_height_px / 2
            picture[skimage.draw.disk((disc.disc_y, disc.disc_x), radius, shape=EYE.shape[:2])] = colour
            painted.append(picture)
    for result in segment(painted):
        height = result.measurements.disc_height_px
        assert result.status != "ok" or 0.85 < height / disc.disc_height_px < 1.15, result
