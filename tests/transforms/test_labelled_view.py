"""The view of the disc that a label shows."""

from __future__ import annotations

import pytest
import torch

from bundle.transforms.disc_view import DiscLocation
from bundle.transforms.labelled_view import LabelledDiscViewd, labelled_disc
from tests.support.ellipses import picture


def circle(width, height, *ellipse):
    return (picture(width, height, ellipse)[:1] > 127).float()


def test_a_disc_is_where_the_label_shows_it():
    found = labelled_disc(circle(300, 200, 220, 60, 62, 62))
    assert found is not None
    assert (found.x, found.y) == pytest.approx((220, 60), abs=0.6)
    assert found.diameter == pytest.approx(62, abs=1)
    assert labelled_disc(torch.zeros(1, 9, 9)) is None


def test_the_label_counts_and_the_search_only_without_one():
    asked = []

    def locate(image):
        asked.append(image)
        return DiscLocation(50, 50, 20, 0.9)

    view = LabelledDiscViewd(("image", "label"), 64, view="auto", mode=("bilinear", "nearest"), locate=locate)
    label = circle(300, 200, 220, 60, 40, 40)
    seen = view({"image": label.expand(3, -1, -1) * 255, "label": label})
    assert not asked
    assert seen["image"].shape == (3, 64, 64)
    disc = labelled_disc(seen["label"])
    assert disc is not None
    assert disc.diameter / 64 == pytest.approx(0.65, abs=0.03)
    assert view({"image": torch.zeros(3, 300, 200)})["image"].shape == (3, 64, 64)
    assert len(asked) == 1


def test_a_crop_stays_as_it_is():
    label = circle(100, 100, 50, 50, 60, 60)
    view = LabelledDiscViewd(("image", "label"), 100, view="auto", mode=("bilinear", "nearest"), locate=lambda _: None)
    assert torch.equal(view({"image": label.expand(3, -1, -1), "label": label})["label"], label)


@pytest.mark.parametrize(
    ("searched", "share"),
    [(DiscLocation(222, 58, 90, 0.9), 0.65 * 40 / 90), (None, 0.65 / 2), (DiscLocation(50, 50, 90, 0.9), 0.65 / 2)],
)
def test_of_a_cup_alone_the_view_is_that_of_the_disc_around_it(searched, share):
    view = LabelledDiscViewd(
        ("image", "label"), 64, view="photograph", mode=("bilinear", "nearest"), locate=lambda _: searched
    )
    label = circle(300, 200, 220, 60, 40, 40)
    seen = view({"image": label.expand(3, -1, -1) * 255, "label": label, "structures": "cup"})
    cup = labelled_disc(seen["label"])
    assert cup is not None
    assert cup.diameter / 64 == pytest.approx(share, abs=0.03)
