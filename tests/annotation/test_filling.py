"""Polygons are filled by the centres of pixels, outside the picture and across themselves too."""

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


def test_a_centre_on_a_side_counts_and_what_holds_no_centre_is_empty():
    square = np.array([[1.0, 1.0], [4.0, 1.0], [4.0, 6.0], [1.0, 6.0]])
    assert pixels_inside(square, (8, 10)).sum() == 4 * 6
    assert not pixels_inside(np.array([[1.2, 1.2], [1.4, 1.2], [1.4, 1.4]]), (4, 4)).any()


def test_a_contour_is_filled_to_the_mask_that_it_surrounds():
    label = make_crop(1, size=(300, 256)).label
    for region, mask in zip(regions_of(label), (label > 0, label == 2), strict=True):
        assert np.array_equal(pixels_inside(region.outer - 0.5, label.shape), mask)
