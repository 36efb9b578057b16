"""Labels of every format become the same label map, and one that does not fit its photograph is refused."""

from __future__ import annotations

from collections.abc import Hashable
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
import torch
from monai.transforms import Compose, EnsureChannelFirstd, LoadImaged
from PIL import Image

from bundle.data.label_reader import LabelFits, LabelReader
from bundle.data.photograph_reader import PhotographReader
from bundle.data.soft_labels import shares_of
from bundle.errors import CallError, UnreadablePhotographError
from tests.support.patterns import HEIGHT, WIDTH, colour_pattern, noise


def label_pattern() -> np.ndarray:
    """(H, W) uint8: a disc with a cup off its centre."""
    label = np.zeros((HEIGHT, WIDTH), np.uint8)
    label[4:16, 6:30] = 1
    label[6:10, 8:14] = 2
    return label


def load_label(paths: Any, label_format: str = "index") -> Any:
    loading = Compose(
        [LoadImaged(keys="label", reader=LabelReader, label_format=label_format), EnsureChannelFirstd(keys="label")]
    )
    return loading({"label": paths})["label"]


def label_refusal(paths: Any, label_format: str = "index") -> str:
    with pytest.raises(UnreadablePhotographError) as caught:
        LoadImaged(keys="label", reader=LabelReader, label_format=label_format)({"label": paths})
    return caught.value.reason


def fit_refusal(paths: Any, label_format: str = "index") -> str:
    """What is said of a label that can be read and does not fit its photograph."""
    with pytest.raises(UnreadablePhotographError) as caught:
        LabelFits()({"image": np.zeros((3, WIDTH, HEIGHT)), "label": load_label(paths, label_format)})
    return caught.value.reason


def expect_label(paths: Any, label_format: str = "index") -> None:
    label = load_label(paths, label_format)
    assert tuple(label.shape) == (1, WIDTH, HEIGHT)
    np.testing.assert_array_equal(label.numpy()[0], label_pattern().T)
    assert tuple(label.meta["spatial_shape"]) == (WIDTH, HEIGHT)


def save(path: Path, values: np.ndarray) -> str:
    Image.fromarray(values).save(path)
    return str(path)


def test_index_label(tmp_path: Path) -> None:
    path = save(tmp_path / "a.png", label_pattern())
    expect_label(path)
    values, meta = LabelReader().get_data(LabelReader().read(path))
    assert values.dtype == np.uint8
    assert np.isnan(meta["original_channel_dim"])
    expect_label(save(tmp_path / "rgb.png", np.repeat(label_pattern()[..., None], 3, axis=-1)))
    expect_label(save(tmp_path / "wide.png", label_pattern().astype(np.uint16)))


def test_index_label_with_a_palette(tmp_path: Path) -> None:
    picture = Image.fromarray(label_pattern())
    picture.putpalette([0, 0, 0, 200, 0, 0, 0, 200, 0])
    picture.save(tmp_path / "a.png")
    with Image.open(tmp_path / "a.png") as stored:
        assert stored.mode == "P"
    expect_label(str(tmp_path / "a.png"))


@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz"])
@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.float32])
def test_index_label_in_nifti(tmp_path: Path, name: str, dtype: Any) -> None:
    # 3D Slicer writes one slice, its axes pointing to the left and to the back.
    values = label_pattern().T[..., None].astype(dtype)
    nibabel.save(nibabel.Nifti1Image(values, np.diag([-1.0, -1.0, 1.0, 1.0])), tmp_path / name)
    expect_label(str(tmp_path / name))


def test_a_nifti_label_with_other_values_is_refused(tmp_path: Path) -> None:
    values = label_pattern().T.astype(np.float32) / 2
    nibabel.save(nibabel.Nifti1Image(values, np.eye(4)), tmp_path / "a.nii.gz")
    assert "0.5" in label_refusal(str(tmp_path / "a.nii.gz"))


def test_refuge_label(tmp_path: Path) -> None:
    values = np.array([255, 128, 0], np.uint8)[label_pattern()]
    expect_label(save(tmp_path / "a.png", values), "refuge")
    expect_label(save(tmp_path / "a.bmp", values), "refuge")


@pytest.mark.parametrize("foreground", [1, 255])
def test_pair_of_labels(tmp_path: Path, foreground: int) -> None:
    disc = save(tmp_path / "disc.png", (label_pattern() > 0) * np.uint8(foreground))
    cup_values = (label_pattern() == 2) * np.uint8(foreground)
    cup_values[20, 35] = foreground  # Outside the disc.
    expect_label([disc, save(tmp_path / "cup.png", cup_values)], "pair")


def test_pair_of_soft_labels(tmp_path: Path) -> None:
    disc_values = (label_pattern() > 0) * np.uint8(255)
    disc_values[disc_values == 0] = 100
    disc = save(tmp_path / "disc.png", disc_values)
    expect_label([disc, save(tmp_path / "cup.png", (label_pattern() == 2) * np.uint8(255))], "pair")


def test_pair_of_other_sizes_or_number(tmp_path: Path) -> None:
    disc = save(tmp_path / "disc.png", label_pattern())
    cup = save(tmp_path / "cup.png", label_pattern()[:-1])
    assert "cup.png" in label_refusal([disc, cup], "pair")
    assert "takes 2" in label_refusal([disc], "pair")
    assert "takes 2 label file(s) per reader, not 3" in label_refusal([disc, cup, disc], "pair")


def test_several_labels_are_those_of_several_readers(tmp_path: Path) -> None:
    one, other = label_pattern(), label_pattern()
    other[6:8, 8:14] = 1
    paths = [save(tmp_path / f"{name}.png", values) for name, values in (("a", one), ("b", other))]
    reader = LabelReader()
    label, meta = reader.get_data(reader.read(paths))
    assert tuple(meta["spatial_shape"]) == label.shape == one.T.shape
    assert (shares_of(torch.from_numpy(label))[2][torch.from_numpy(one.T != other.T)] == 0.5).all()
    assert np.array_equal(label[one.T == other.T], one.T[one.T == other.T])
    save(tmp_path / "b.png", other[:-1])
    assert "it is 40 x 23 pixels but" in label_refusal(paths, "index")


def test_a_disc_mask_is_no_refuge_label(tmp_path: Path) -> None:
    mask = save(tmp_path / "a.png", (label_pattern() > 0) * np.uint8(255))
    reason = label_refusal(mask)
    assert "refuge" not in reason
    assert "--label_format pair" in reason
    reason = fit_refusal(mask, "refuge")
    assert "corner" in reason
    assert "--label_format index" in reason
    turned = save(tmp_path / "b.png", np.array([0, 128, 255], np.uint8)[label_pattern()])
    assert "--label_format refuge" not in label_refusal(turned)
    assert "corner" in fit_refusal(turned, "refuge")


def test_a_cup_in_a_corner_is_refused_in_every_format(tmp_path: Path) -> None:
    assert "corner" in fit_refusal(save(tmp_path / "a.png", np.array([2, 1, 0], np.uint8)[label_pattern()]))
    disc = save(tmp_path / "disc.png", (label_pattern() == 0) * np.uint8(255))
    assert "corner" in fit_refusal([disc, save(tmp_path / "cup.png", (label_pattern() != 2) * np.uint8(255))], "pair")


def test_labels_of_another_format(tmp_path: Path) -> None:
    refuge = save(tmp_path / "a.png", np.array([255, 128, 0], np.uint8)[label_pattern()])
    reason = label_refusal(refuge)
    assert "0, 128, 255" in reason
    assert "--label_format refuge" in reason
    assert "--label_format index" in label_refusal(save(tmp_path / "b.png", label_pattern()), "refuge")
    reason = label_refusal(save(tmp_path / "c.png", label_pattern() * np.uint8(3)))
    assert "0, 3, 6" in reason
    assert "refuge" not in reason
    assert "more" in label_refusal(save(tmp_path / "d.png", np.arange(960, dtype=np.uint16).reshape(HEIGHT, WIDTH)))
    assert "colour" in label_refusal(save(tmp_path / "e.png", colour_pattern()))


def test_damaged_label(tmp_path: Path) -> None:
    noise().save(tmp_path / "a.png")
    content = (tmp_path / "a.png").read_bytes()
    (tmp_path / "a.png").write_bytes(content[: len(content) // 2])
    assert "truncated" in label_refusal(tmp_path / "a.png")
    assert "does not exist" in label_refusal(tmp_path / "b.png")


def test_unknown_label_format() -> None:
    with pytest.raises(CallError) as caught:
        LabelReader("colour")
    assert "index, refuge, pair" in str(caught.value)


def load_both(tmp_path: Path, label: np.ndarray) -> dict[Hashable, Any]:
    save(tmp_path / "photo.png", colour_pattern())
    save(tmp_path / "label.png", label)
    loading = Compose([LoadImaged(keys="image", reader=PhotographReader), LoadImaged(keys="label", reader=LabelReader)])
    return loading({"image": tmp_path / "photo.png", "label": tmp_path / "label.png"})


def test_same_sized(tmp_path: Path) -> None:
    data = load_both(tmp_path, label_pattern())
    checked = LabelFits()(data)
    assert checked.keys() == data.keys()
    assert checked["image"] is data["image"]
    first = EnsureChannelFirstd(keys=("image", "label"))(data)
    assert LabelFits()(first)["label"] is first["label"]
    assert LabelFits()({"image": data["image"]}).keys() == {"image"}
    with pytest.raises(KeyError):
        LabelFits(allow_missing_keys=False)({"image": data["image"]})
    with pytest.raises(ValueError, match="two keys"):
        LabelFits(keys=("image",))


@pytest.mark.parametrize(
    ("label", "size", "remedy"),
    [(label_pattern()[:, :-1], "39 x 24", "resize"), (label_pattern().T, "24 x 40", "orientation")],
)
def test_other_sized(tmp_path: Path, label: np.ndarray, size: str, remedy: str) -> None:
    with pytest.raises(UnreadablePhotographError) as caught:
        LabelFits()(load_both(tmp_path, label))
    assert caught.value.path == str(tmp_path / "photo.png")
    for words in ("40 x 24", size, str(tmp_path / "label.png"), remedy):
        assert words in caught.value.reason


def test_same_sized_of_plain_arrays() -> None:
    LabelFits()({"image": np.zeros((3, 5, 4)), "label": np.zeros((1, 5, 4))})
    with pytest.raises(UnreadablePhotographError):
        LabelFits()({"image": np.zeros((3, 5, 4)), "label": np.zeros((1, 4, 5))})
