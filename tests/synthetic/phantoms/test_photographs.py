"""The phantoms' labels are exact, their seeds bind, and their pictures have what a segmenter looks for."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy import ndimage

from bundle.synthetic.cameras import CAMERA_STYLES
from bundle.synthetic.phantoms.photographs import make_crop, make_photograph, write_dataset
from bundle.synthetic.phantoms.shapes import Phantom

SMALL_PHOTOGRAPH = (320, 240)
SEEDS = range(10)


@pytest.fixture(scope="module")
def crops() -> list[Phantom]:
    return [make_crop(seed, size=256) for seed in SEEDS]


@pytest.fixture(scope="module")
def photographs() -> list[Phantom]:
    return [make_photograph(seed, size=SMALL_PHOTOGRAPH) for seed in range(5)]


def extent(mask: np.ndarray, axis: int) -> int:
    """Rows (axis 0) or columns (axis 1) that the mask spans."""
    lines = np.flatnonzero(mask.any(axis=1 - axis))
    return int(lines[-1] - lines[0] + 1)


@pytest.mark.parametrize(
    "make",
    [
        lambda seed: make_crop(seed, camera="harsh", size=128),
        lambda seed: make_photograph(seed, camera="cool_hazy", size=(320, 240)),
    ],
    ids=["crop", "photograph"],
)
def test_same_arguments_give_the_same_bits_and_another_seed_does_not(make: Callable[[int], Phantom]) -> None:
    first, again, other = make(3), make(3), make(4)
    np.testing.assert_array_equal(first.image, again.image)
    np.testing.assert_array_equal(first.label, again.label)
    assert first.disc_center_xy == again.disc_center_xy
    assert not np.array_equal(first.label, other.label)


def test_image_and_label_have_the_promised_types_and_values(crops: list[Phantom], photographs: list[Phantom]) -> None:
    for phantom in [*crops, *photographs]:
        assert phantom.image.dtype == phantom.label.dtype == np.uint8
        assert phantom.image.shape == (*phantom.label.shape, 3)
        assert set(np.unique(phantom.label)) == {0, 1, 2}


def test_cup_lies_strictly_inside_the_disc() -> None:
    for seed in range(16):
        label = make_crop(seed, size=128).label
        touching = ndimage.binary_dilation(label == 2, np.ones((3, 3)))
        assert (label[touching] >= 1).all(), seed
        filled = ndimage.binary_fill_holes(label >= 1)
        np.testing.assert_array_equal(filled, label >= 1)
        assert ndimage.label(label >= 1)[1] == ndimage.label(label == 2)[1] == 1


def test_label_extents_agree_with_the_outlines_within_a_pixel(crops: list[Phantom], photographs: list[Phantom]) -> None:
    for phantom in [*crops, *photographs]:
        disc, cup = phantom.label >= 1, phantom.label == 2
        assert extent(disc, 0) == pytest.approx(phantom.disc_height_px, abs=1.0)
        assert extent(disc, 1) == pytest.approx(phantom.disc_width_px, abs=1.0)
        assert extent(cup, 0) == pytest.approx(phantom.cup_height_px, abs=1.0)
        assert extent(cup, 1) == pytest.approx(phantom.cup_width_px, abs=1.0)


def test_ratios_of_the_label_equal_the_outlines_ratios(crops: list[Phantom]) -> None:
    for phantom in crops:
        disc, cup = phantom.label >= 1, phantom.label == 2
        assert extent(cup, 0) / extent(disc, 0) == pytest.approx(phantom.vcdr, abs=0.015)
        assert extent(cup, 1) / extent(disc, 1) == pytest.approx(phantom.hcdr, abs=0.015)


def test_cups_cover_the_clinical_range() -> None:
    ratios = np.array([make_crop(seed, size=32).vcdr for seed in range(30)])
    assert ratios.min() >= 0.25 - 1e-6
    assert ratios.max() <= 0.85 + 1e-6
    assert np.ptp(ratios) > 0.4
    assert ratios.mean() == pytest.approx(0.5, abs=0.08)


def test_disc_center_is_the_labels_center_of_mass(crops: list[Phantom], photographs: list[Phantom]) -> None:
    for phantom in [*crops, *photographs]:
        row, column = ndimage.center_of_mass(phantom.label >= 1)
        assert phantom.disc_center_xy == pytest.approx((column, row), abs=0.4)


def test_size_changes_the_grid_and_not_the_eye() -> None:
    small, large = make_crop(7, size=128), make_crop(7, size=512)
    assert small.vcdr == pytest.approx(large.vcdr, abs=1e-9)
    assert small.disc_height_px * 4 == pytest.approx(large.disc_height_px, rel=1e-6)
    shrunk = np.asarray(Image.fromarray(large.image).resize((128, 128), Image.Resampling.BOX), float)
    assert np.corrcoef(shrunk.ravel(), small.image.ravel().astype(float))[0, 1] > 0.98


def test_crop_of_another_shape_holds_the_whole_disc() -> None:
    for size in ((200, 120), (120, 200), (64, 400)):
        phantom = make_crop(1, size=size)
        assert phantom.image.shape == (size[1], size[0], 3)
        edge = np.concatenate([phantom.label[[0, -1]].ravel(), phantom.label[:, [0, -1]].ravel()])
        assert not edge.any()


def test_disc_share_is_the_discs_share_of_the_crop(crops: list[Phantom]) -> None:
    assert (make_crop(4, size=256, disc_share=0.1).label >= 1).mean() == pytest.approx(0.1, abs=0.003)
    for phantom in crops:
        assert 0.195 < (phantom.label >= 1).mean() < 0.365


@pytest.mark.parametrize("camera", list(CAMERA_STYLES))
def test_disc_is_brighter_than_the_retina_around_it_and_the_cup_than_the_rim(camera: str) -> None:
    for seed in range(3, 7):
        for phantom in (
            make_crop(seed, camera=camera, size=96),
            make_photograph(seed, camera=camera, size=(240, 180)),
        ):
            green = phantom.image[..., 1].astype(float)
            disc = phantom.label >= 1
            around = ndimage.binary_dilation(disc, iterations=round(phantom.disc_height_px / 3)) & ~disc
            around &= phantom.image.sum(axis=2) > 30
            background, rim, cup = (np.median(green[part]) for part in (around, phantom.label == 1, phantom.label == 2))
            assert rim > background + 8, seed
            assert cup > rim + 4, seed


def test_veins_are_darker_than_the_disc_they_cross() -> None:
    phantom = make_crop(3, size=256)
    green = phantom.image[..., 1].astype(float)
    disc = green[phantom.label >= 1]
    assert np.percentile(disc, 5) < 0.6 * np.median(disc)


def test_the_other_eye_is_the_mirror_image() -> None:
    right = make_photograph(3, size=SMALL_PHOTOGRAPH, laterality="right")
    left = make_photograph(3, size=SMALL_PHOTOGRAPH, laterality="left")
    assert (right.laterality, left.laterality) == ("right", "left")
    assert (right.label != left.label[:, ::-1]).mean() < 1e-4
    assert right.disc_center_xy[0] == pytest.approx(SMALL_PHOTOGRAPH[0] - 1 - left.disc_center_xy[0])
    smooth = [ndimage.gaussian_filter(phantom.image.astype(float), (2, 2, 0)) for phantom in (right, left)]
    assert np.abs(smooth[0] - smooth[1][:, ::-1]).mean() < 1.5
    assert np.abs(smooth[0] - smooth[1]).mean() > 5


def test_a_right_eyes_disc_lies_to_the_right_of_its_macula() -> None:
    places = [make_photograph(seed, size=(96, 72), laterality="right").disc_center_xy[0] for seed in range(9)]
    assert np.median(places) > 96 / 2 + 8


def test_without_a_visible_disc_the_label_is_empty_and_nothing_is_as_pale_as_a_disc() -> None:
    for surround in (True, False):
        phantom = make_photograph(6, size=SMALL_PHOTOGRAPH, visible_disc=False, surround=surround)
        assert not phantom.label.any()
        assert phantom.disc_height_px == phantom.cup_height_px == 0
        assert math.isnan(phantom.vcdr)
        assert math.isnan(phantom.hcdr)
        assert all(math.isnan(value) for value in phantom.disc_center_xy)
        with_disc = make_photograph(6, size=SMALL_PHOTOGRAPH, surround=surround)
        assert np.percentile(phantom.image[..., 1], 99.9) < np.percentile(with_disc.image[..., 1], 99.9) - 25
        assert phantom.image[80:160, 100:220].mean() > 40


@pytest.mark.parametrize("camera", list(CAMERA_STYLES))
def test_photograph_has_a_black_surround_unless_told_otherwise(camera: str) -> None:
    def corners(phantom: Phantom) -> np.ndarray:
        return np.stack(
            [phantom.image[y, x] for y in (slice(0, 8), slice(-8, None)) for x in (slice(8), slice(-8, None))]
        )

    assert corners(make_photograph(0, size=SMALL_PHOTOGRAPH, camera=camera)).max() < 40
    filled = corners(make_photograph(0, size=SMALL_PHOTOGRAPH, camera=camera, surround=False))
    assert filled.mean(axis=(1, 2))[:, 0].min() > 35


def test_disc_of_a_photograph_has_a_real_discs_size_and_lies_in_the_field(photographs: list[Phantom]) -> None:
    for phantom in photographs:
        lit = phantom.image[..., 0] > 40
        assert 1 / 8.5 < phantom.disc_height_px / extent(lit, 1) < 1 / 5.8
        assert lit[phantom.label >= 1].mean() > 0.99


def test_dataset_of_crops_is_written_as_named(tmp_path: Path) -> None:
    paths = write_dataset(tmp_path, 3, kind="crop", cameras=("plain", "harsh"), seed=10, size=64)
    assert [path.name for path in paths] == [
        "phantom_plain_0000.png",
        "phantom_harsh_0001.png",
        "phantom_plain_0002.png",
    ]
    for index, path in enumerate(paths):
        expected = make_crop(10 + index, camera=("plain", "harsh")[index % 2], size=64)
        assert path.parent == tmp_path / "image"
        np.testing.assert_array_equal(np.asarray(Image.open(path)), expected.image)
        np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / "label" / path.name)), expected.label)


def test_dataset_without_labels_has_no_label_folder(tmp_path: Path) -> None:
    paths = write_dataset(tmp_path, 1, kind="photograph", labels=False, size=(96, 72))
    assert np.asarray(Image.open(paths[0])).shape == (72, 96, 3)
    assert [folder.name for folder in tmp_path.iterdir()] == ["image"]


@pytest.mark.parametrize(
    ("call", "named"),
    [
        (lambda folder: make_crop(0, camera="polaroid"), "polaroid.*plain.*harsh"),
        (lambda folder: make_photograph(0, camera="polaroid"), "polaroid.*plain.*harsh"),
        (lambda folder: make_crop(-1), "seed is -1.*at least 0"),
        (lambda folder: make_crop(0, size=0), "size is 0.*at least 32"),
        (lambda folder: make_crop(0, size=(128, -5)), r"size is \(128, -5\).*at least 32"),
        (lambda folder: make_photograph(0, size=(0, 100)), r"size is \(0, 100\).*at least 32"),
        (lambda folder: make_crop(0, disc_share=0.0), "disc_share is 0.0.*0.005"),
        (lambda folder: make_crop(0, disc_share=0.9), "disc_share is 0.9.*0.005"),
        # The type checker refuses these two already; a caller without one must be told too.
        (lambda folder: make_photograph(0, laterality="both"), "laterality is 'both'.*right.*left"),  # type: ignore[arg-type]
        (lambda folder: write_dataset(folder, 1, kind="scan"), "kind is 'scan'.*crop.*photograph"),  # type: ignore[arg-type]
        (lambda folder: write_dataset(folder, 0, kind="crop"), "count is 0.*at least 1"),
        (lambda folder: write_dataset(folder, 1, kind="crop", cameras=()), r"cameras is \(\).*plain"),
        (lambda folder: write_dataset(folder, 2, kind="crop", cameras=("plain", "polaroid")), "polaroid.*plain"),
        (lambda folder: write_dataset(folder, 1, kind="photograph", size=64), "size is 64.*width, height"),
    ],
)
def test_a_wrong_value_is_named_with_the_allowed_ones(
    call: Callable[[Path], object], named: str, tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match=named):
        call(tmp_path)
    assert not list(tmp_path.iterdir())
