"""Polygons are filled as scikit-image fills them, in a fraction of the time."""

from __future__ import annotations

import numpy as np
import pytest
from skimage.draw import polygon2mask

from bundle.annotation.filling import pixels_inside
from bundle.annotation.regions import regions_of
from bundle.synthetic.phantoms.photographs import make_crop


@pytest.mark.parametrize("seed", range(20))
def test_the_pixels_are_those_of_scikit_image(seed):
    random = np.random.default_rng(seed)
    # Some corners lie outside the picture, and the sides cross each other.
    ring = random.uniform(-10, 60, (int(random.integers(3, 12)), 2))
    assert np.array_equal(pixels_inside(ring, (40, 50)), polygon2mask((40, 50), ring[:, ::-1]))


def test_sides_along_lines_and_corners_on_pixels_leave_no_gap():
    left = np.array([[0.0, 0.0], [4.0, 0.0], [4.0, 6.0], [0.0, 6.0]])
    right = left + [4.0, 0.0]
    one, other = pixels_inside(left, (8, 10)), pixels_inside(right, (8, 10))
    assert not (one & other).any()
    assert (one | other).sum() == 8 * 6
    assert not pixels_inside(np.array([[1.2, 1.2], [1.4, 1.2], [1.4, 1.4]]), (4, 4)).any()


def test_a_contour_is_filled_to_the_mask_that_it_surrounds():
    label = make_crop(1, size=(300, 256)).label
    for region, mask in zip(regions_of(label), (label > 0, label == 2), strict=True):
        assert np.array_equal(pixels_inside(region.outer - 0.5, label.shape), mask)
