"""Made-up shifts: seeded, with labels that fit what the picture shows."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from bundle.synthetic.phantoms.photographs import write_dataset
from bundle.synthetic.shifts import SHIFTS, write_shifted
from bundle.transforms.cup_size import cup_ratio


@pytest.fixture(scope="module")
def items(tmp_path_factory) -> list[dict]:
    folder = tmp_path_factory.mktemp("crops")
    write_dataset(folder, 2, kind="crop", size=128, seed=5)
    return [
        {"name": path.stem, "image": str(path), "label": str(folder / "label" / f"{path.stem}.png")}
        for path in sorted((folder / "image").iterdir())
    ]


def read(folder, item) -> tuple[np.ndarray, np.ndarray]:
    image, label = (np.asarray(Image.open(folder / kind / f"{item['name']}.png")) for kind in ("image", "label"))
    return image, label


def original(item) -> tuple[np.ndarray, np.ndarray]:
    return np.asarray(Image.open(item["image"]).convert("RGB")), np.asarray(Image.open(item["label"]))


@pytest.mark.parametrize("shift", SHIFTS)
def test_every_shift_writes_pairs_and_the_same_ones_again(shift, items, tmp_path):
    for folder in ("a", "b"):
        write_shifted(items, tmp_path / folder, shift)
    for item in items:
        image, label = read(tmp_path / "a", item)
        again, label_again = read(tmp_path / "b", item)
        assert np.array_equal(image, again)
        assert np.array_equal(label, label_again)
        assert image.shape[:2] == label.shape == original(item)[1].shape
        assert set(np.unique(label)) <= {0, 1, 2}
        assert np.array_equal(image, original(item)[0]) == (shift == "none")


def test_colours_change_and_labels_do_not(items, tmp_path):
    write_shifted(items, tmp_path, "low_light")
    image, label = read(tmp_path, items[0])
    before, label_before = original(items[0])
    assert np.array_equal(label, label_before)
    assert image.mean() < 0.55 * before.mean()


def test_a_tight_crop_magnifies_image_and_label_alike(items, tmp_path):
    write_shifted(items, tmp_path, "tight_crop")
    _, label = read(tmp_path, items[0])
    _, before = original(items[0])
    growth = np.count_nonzero(label == 2) / np.count_nonzero(before == 2)
    assert growth == pytest.approx(SHIFTS["tight_crop"].zoom ** 2, rel=0.05)


def test_large_cups_grow_within_the_disc(items, tmp_path):
    write_shifted(items, tmp_path, "large_cups")
    for item in items:
        _, label = read(tmp_path, item)
        before = cup_ratio(original(item)[1])
        assert cup_ratio(label) == pytest.approx(min(before * SHIFTS["large_cups"].cup, max(before, 0.85)), abs=0.03)


def test_grain_follows_the_seed(items, tmp_path):
    for seed in (0, 1):
        write_shifted(items, tmp_path / str(seed), "blur_noise", seed=seed)
    first, second = (read(tmp_path / str(seed), items[0])[0] for seed in (0, 1))
    assert not np.array_equal(first, second)


def test_what_is_there_is_kept(items, tmp_path):
    write_shifted(items, tmp_path, "none")
    path = tmp_path / "image" / f"{items[0]['name']}.png"
    Image.new("RGB", (3, 3)).save(path)
    write_shifted(items, tmp_path, "none")
    assert Image.open(path).size == (3, 3)


def test_an_unknown_shift_is_refused(items, tmp_path):
    with pytest.raises(ValueError, match="fog.*none, colour_cast"):
        write_shifted(items, tmp_path, "fog")
