"""Cups of another size: the label says what the picture shows, and the disc stays where it is."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from monai.data import MetaTensor

from bundle.transforms.cup_size import RandCupSized, cup_ratio, cup_size_grid


def eye(cup: float, disc: float = 40.0, side: int = 128, centre: tuple[float, float] = (60.0, 68.0)) -> np.ndarray:
    """Label map of two concentric circles."""
    a, b = np.indices((side, side))
    radius = np.hypot(a - centre[0], b - centre[1])
    return ((radius < disc).astype(np.uint8) + (radius < disc * cup)).astype(np.uint8)


def sized(label: np.ndarray, ratio: float, **more) -> dict:
    transform = RandCupSized(["image", "label"], ratio_range=(ratio, ratio), prob=1.0, **{"max_change": 3.0, **more})
    image = np.stack([label * 100.0, label * 50.0, label * 10.0]).astype(np.float32)
    picture = MetaTensor(image, meta={"filename_or_obj": "x"})
    return transform({"image": picture, "label": torch.from_numpy(label)[None]})


def test_the_ratio_is_the_root_of_the_areas_share():
    assert cup_ratio(eye(0.5)) == pytest.approx(0.5, abs=0.01)
    assert cup_ratio(np.zeros((4, 4))) == 0
    assert cup_ratio(np.ones((4, 4))) == 0


@pytest.mark.parametrize("ratio", [0.3, 0.45, 0.6, 0.8])
def test_the_cup_gets_the_wanted_size_and_the_disc_keeps_its_own(ratio):
    label = eye(0.5)
    d = sized(label, ratio)
    moved = d["label"][0].numpy()
    assert cup_ratio(moved) == pytest.approx(ratio, abs=0.02)
    assert np.count_nonzero((moved > 0) != (label > 0)) < 0.03 * np.count_nonzero(label)


def test_image_and_label_stay_a_pair():
    d = sized(eye(0.5), 0.7)
    cup = torch.as_tensor(d["image"])[0] > 150
    assert torch.count_nonzero(cup != (d["label"][0] == 2)) < 60
    assert d["image"].meta["filename_or_obj"] == "x"
    assert d["image"].dtype == torch.float32
    assert d["label"].dtype == torch.uint8


def test_far_pixels_do_not_move():
    grid = cup_size_grid(eye(0.5), 0.7)
    assert grid is not None
    assert np.abs(grid - np.indices((128, 128)))[:, 0, 0].max() < 1e-3
    # The new cup's edge, 0.7 of the disc's radius of 40 px from the centre, comes from the old one's, at 0.5.
    assert grid[:, 60, 68 + 28] == pytest.approx([60, 68 + 20], abs=0.7)


def test_a_change_is_bounded():
    assert cup_ratio(sized(eye(0.3), 0.8, max_change=1.5)["label"][0].numpy()) == pytest.approx(0.45, abs=0.02)


@pytest.mark.parametrize(
    "label", [np.zeros((32, 32), np.uint8), np.ones((32, 32), np.uint8), np.full((32, 32), 2, np.uint8)]
)
def test_what_has_no_cup_or_no_rim_is_left_alone(label):
    d = sized(label, 0.5)
    assert np.array_equal(d["label"][0].numpy(), label)


def test_a_disc_cut_by_the_edge_gives_finite_coordinates():
    grid = cup_size_grid(eye(0.5, centre=(5.0, 120.0)), 0.7)
    assert grid is not None
    assert np.isfinite(grid).all()


def test_a_ratio_beyond_the_disc_is_refused():
    with pytest.raises(ValueError, match="between 0 and 1"):
        cup_size_grid(eye(0.5), 1.2)


def test_the_same_state_draws_the_same_size_whatever_was_seen_before():
    def ratios(first: np.ndarray) -> list[tuple[float, bool]]:
        transform = RandCupSized(["image", "label"], prob=0.5)
        transform.set_random_state(3)
        out = []
        for label in (first, eye(0.5), eye(0.6)):
            transform({"image": torch.zeros(3, 128, 128), "label": torch.from_numpy(label)[None]})
            out.append((transform.ratio, transform._do_transform))
        return out[1:]

    assert ratios(eye(0.4)) == ratios(np.zeros((128, 128), np.uint8))


def test_without_luck_nothing_happens():
    label = torch.from_numpy(eye(0.5))[None]
    d = RandCupSized(["image", "label"], prob=0.0)({"image": torch.zeros(3, 128, 128), "label": label})
    assert torch.equal(d["label"], label)
