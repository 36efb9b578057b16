"""A few corrected photographs."""

from __future__ import annotations

import logging
import shutil
from typing import Any

import numpy as np
import pytest
import torch
from monai.data import Dataset
from monai.transforms import Compose
from PIL import Image
from torch import nn

from bundle.adaptation.few_labels import corrected_photographs, leave_out_unchanged
from bundle.data.labelled_dataset import LabelledDataset
from bundle.data.listing import list_photographs
from bundle.data.partial_labels import NOT_CUP, RIM_OR_CUP
from bundle.data.reader_labels import readers_of
from bundle.data.soft_labels import pooled
from bundle.errors import CallError
from bundle.losses.few_labels import FewLabelsLoss
from bundle.networks.outputs import AdaptationOutput
from bundle.transforms.disc_view import DiscLocation

Y, X = np.mgrid[:64, :64] - 32


def drawn(disc=20, cup=10):
    return (np.hypot(X, Y) < disc).astype(np.uint8) + (np.hypot(X, Y) < cup)


def write(folder, **labels):
    """A photograph for each label, which is None for none."""
    for name, label in labels.items():
        for kind, pixels in (("image", np.full((64, 64, 3), 90, np.uint8)), ("label", label)):
            if pixels is not None:
                (folder / kind).mkdir(parents=True, exist_ok=True)
                Image.fromarray(pixels).save(folder / kind / f"{name}.png")
    return folder


def structures(items):
    return {item["name"]: item["structures"] for item in items}


@pytest.fixture(autouse=True)
def told(caplog):
    caplog.set_level(logging.INFO)
    return caplog


def test_what_a_label_shows_is_what_is_learned(tmp_path, told):
    both, disc, cup = drawn(), np.minimum(drawn(), 1), drawn() // 2 * 2
    write(tmp_path, both=both, disc=disc, cup=cup, none=None)
    assert structures(corrected_photographs(tmp_path)) == {"both": "both", "disc": "disc", "cup": "cup"}
    assert "the label of disc shows the disc alone" in told.text
    assert "the label of cup shows the cup alone" in told.text


def test_labels_of_no_use_are_named_and_left_out(tmp_path, told):
    swapped = np.where(drawn() == 1, 2, np.where(drawn() == 2, 1, 0)).astype(np.uint8)
    write(tmp_path, good=drawn(), empty=np.zeros((64, 64), np.uint8), swapped=swapped)
    Image.fromarray(drawn()).save(tmp_path / "label" / "nobody.png")
    assert list(structures(corrected_photographs(tmp_path))) == ["good"]
    for words in ("empty is left out", "swapped is left out", "nobody.png"):
        assert words in told.text


def test_no_label_of_use_is_a_wrong_call(tmp_path):
    with pytest.raises(CallError, match="no label of use"):
        corrected_photographs(write(tmp_path, empty=np.zeros((64, 64), np.uint8)))
    with pytest.raises(CallError, match="does not exist"):
        corrected_photographs(tmp_path / "missing")
    assert corrected_photographs(None) == []


def test_a_folder_of_labels_alone_finds_its_photographs_among_the_others(tmp_path, told):
    write(tmp_path / "camera", one=drawn(), two=drawn(), three=drawn())
    (tmp_path / "corrected").mkdir()
    shutil.move(tmp_path / "camera" / "label", tmp_path / "corrected" / "label")
    (tmp_path / "corrected" / "label" / "two.png").rename(tmp_path / "corrected" / "label" / "four.png")
    found = corrected_photographs(tmp_path / "corrected", others=list_photographs(tmp_path / "camera"))
    assert sorted(structures(found)) == ["one", "three"]
    assert all(str(tmp_path / "camera" / "image") in item["image"] for item in found)
    assert "four.png" in told.text


def test_a_cup_unlike_all_others_is_told(tmp_path, told):
    write(tmp_path, a=drawn(20, 10), b=drawn(20, 11), c=drawn(20, 10), other=drawn(20, 18))
    assert len(corrected_photographs(tmp_path)) == 4
    assert "the cup drawn in other" in told.text
    assert told.text.count("the cup drawn") == 1


class Draws(nn.Module):
    """Draws the same whatever it sees."""

    def forward(self, x):
        label = torch.from_numpy(drawn().astype(np.int64))
        return nn.functional.one_hot(label, 3).permute(2, 0, 1)[None].float().expand(len(x), -1, -1, -1)


def labelled(*labels):
    items = [{"name": str(n), "image": torch.zeros(3, 64, 64), "label": torch.from_numpy(label)[None]}
             for n, label in enumerate(labels)]  # fmt: skip
    return LabelledDataset(items, Compose([]))


def test_a_label_that_the_model_drew_itself_is_left_out(told):
    dataset = labelled(drawn(), drawn(20, 13), drawn(22, 10))
    leave_out_unchanged(dataset, Draws(), lambda item: item)
    assert [item["name"] for item in dataset.data] == ["1", "2"]
    assert len(dataset) == 2
    assert "not corrected, left out: the label of 0" in told.text
    with pytest.raises(CallError, match="no label of --few_labels differs"):
        leave_out_unchanged(labelled(drawn()), Draws(), lambda item: item)
    leave_out_unchanged(labelled(), Draws(), lambda item: item)


def test_the_loss_draws_from_the_corrected_photographs_alone_and_repeats_with_its_seed():
    items = [{"image": torch.full((3, 8, 8), float(n)), "label": torch.zeros(1, 8, 8)} for n in range(4)]
    seen = []

    class Watches(nn.Conv2d):
        def forward(self, x):
            seen.append(x[:, 0, 0, 0].tolist())
            return super().forward(x)

    loss, images = FewLabelsLoss(Dataset(items, Compose([])), batch_size=3), torch.full((2, 3, 8, 8), 9.0)
    network: Any = Watches(3, 3, 1)
    for seed in (0, 0, 1):
        torch.manual_seed(seed)
        value = loss(AdaptationOutput(network, images, images, images), {})
    assert seen[0] == seen[1] != seen[2]
    assert all(len(drawn_ones) == 3 and set(drawn_ones) <= {0.0, 1.0, 2.0, 3.0} for drawn_ones in seen)
    value.backward()
    assert network.weight.grad.abs().sum() > 0


def write_readers(folder, **labels):
    """Photographs whose labels lie in a folder per reader, by photograph and reader."""
    for name, readers in labels.items():
        write(folder, **{name: None})
        for reader, label in readers.items():
            (folder / "label" / reader).mkdir(parents=True, exist_ok=True)
            Image.fromarray(label).save(folder / "label" / reader / f"{name}.png")
    return folder


def test_labels_of_several_readers_are_taken_together(tmp_path, told):
    disc = np.minimum(drawn(), 1)
    write_readers(tmp_path, a={"anna": drawn(20, 10), "ben": drawn(21, 12)}, b={"anna": drawn()}, c={"ben": disc})
    found = {item["name"]: item for item in corrected_photographs(tmp_path)}
    assert {name: item["readers"] for name, item in found.items()} == {"a": "anna/ben", "b": "anna", "c": "ben"}
    assert [path.split("/")[-2] for path in found["a"]["label"]] == ["anna", "ben"]
    assert structures(found.values()) == {"a": "both", "b": "both", "c": "disc"}
    assert readers_of([*found.values()]) == ["anna", "ben"]
    assert "the label of c by ben shows the disc alone" in told.text


def test_one_reader_s_labels_alone_can_count(tmp_path):
    write_readers(tmp_path, a={"anna": drawn(20, 10), "ben": drawn(21, 12)}, b={"anna": drawn()})
    Image.fromarray(drawn(20, 5)).save(tmp_path / "label" / "b.png")
    (item,) = corrected_photographs(tmp_path, reader="ben")
    assert (item["name"], item["readers"]) == ("a", "ben")
    assert item["label"] == str(tmp_path / "label" / "ben" / "a.png")
    with pytest.raises(CallError, match=r"no labels of a reader 'bem' \(did you mean ben\?\). Use one of anna, ben"):
        corrected_photographs(tmp_path, reader="bem")
    with pytest.raises(CallError, match="Pass their folder with --few_labels"):
        corrected_photographs(None, reader="ben")


def test_one_reader_s_disc_and_another_s_cup_are_both_learned(tmp_path):
    write_readers(tmp_path, a={"anna": np.minimum(drawn(), 1), "ben": drawn() // 2 * 2})
    assert structures(corrected_photographs(tmp_path)) == {"a": "both"}


def test_a_reader_s_label_of_no_use_costs_that_label_alone(tmp_path, told):
    empty = np.zeros((64, 64), np.uint8)
    write_readers(tmp_path, a={"anna": drawn(), "ben": empty}, b={"ben": empty})
    (item,) = corrected_photographs(tmp_path)
    assert (item["name"], item["readers"]) == ("a", "anna")
    assert "the label of a by ben is left out: it shows neither disc nor cup" in told.text


def test_readers_who_contradict_each_other_are_named(tmp_path, told):
    write_readers(tmp_path, a={"anna": drawn(20, 8), "ben": drawn(20, 16)}, b={"anna": drawn(), "ben": drawn(20, 11)})
    corrected_photographs(tmp_path)
    assert "readers contradict each other in a, whose vertical ratio is anna 0.38, ben 0.79" in told.text
    assert told.text.count("contradict") == 1


def test_labels_of_a_folder_of_photographs_are_no_reader_s(tmp_path):
    write(tmp_path, eye=drawn())
    for kind in ("image", "label"):
        (tmp_path / kind / "right").mkdir()
        shutil.move(tmp_path / kind / "eye.png", tmp_path / kind / "right" / "eye.png")
    (item,) = corrected_photographs(tmp_path)
    assert "readers" not in item


@pytest.mark.parametrize(
    ("label", "kept"),
    [
        (np.where(drawn() > 0, RIM_OR_CUP, 0), False),
        (np.where(drawn(20, 5) > 0, RIM_OR_CUP, 0), False),
        (np.where(drawn(22) > 0, RIM_OR_CUP, 0), True),
        (np.where(drawn() == 2, 2, NOT_CUP), False),
        (np.where(drawn(25, 10) == 2, 2, NOT_CUP), False),
        (np.where(drawn(20, 12) == 2, 2, NOT_CUP), True),
        (pooled([drawn(), drawn(), drawn(20, 14)]), False),
        (pooled([drawn(), drawn(20, 14), drawn(20, 14)]), True),
    ],
)
def test_of_one_structure_only_that_is_compared_with_what_the_model_drew(label, kept):
    dataset = labelled(label, drawn(20, 13))
    leave_out_unchanged(dataset, Draws(), lambda item: item)
    assert [item["name"] for item in dataset.data] == (["0", "1"] if kept else ["1"])


def off_centre(turns=0, mirrored=False):
    """A disc in the upper left of the picture, turned."""
    label = np.zeros((64, 64), np.uint8)
    label[:40, :40] = drawn()[12:52, 12:52]
    label = np.roll(label, (-10, 3), axis=(0, 1)) * (np.hypot(X, Y) < 60)
    return np.ascontiguousarray(np.rot90(label.T if mirrored else label, turns)).astype(np.uint8)


class DrawsOffCentre(nn.Module):
    def forward(self, x):
        label = torch.from_numpy(off_centre().astype(np.int64))
        return nn.functional.one_hot(label, 3).permute(2, 0, 1)[None].float().expand(len(x), -1, -1, -1)


@pytest.mark.parametrize(("turns", "mirrored"), [(1, False), (2, False), (3, False), (0, True), (1, True)])
def test_a_crop_s_label_that_fits_only_when_turned_is_left_out(turns, mirrored, told):
    corrected, elsewhere = (np.roll(off_centre(), pixels, axis=0) for pixels in (2, 12))
    dataset = labelled(off_centre(turns, mirrored), corrected, elsewhere)
    leave_out_unchanged(dataset, DrawsOffCentre(), lambda item: item)
    assert [item["name"] for item in dataset.data] == ["1", "2"]
    assert "the label of 0 is left out: turned or mirrored it would fit" in told.text


def test_a_photograph_s_label_that_lies_on_the_disc_only_when_turned_is_left_out(tmp_path, told):
    good, turned, stranger = (np.zeros((64, 96), np.uint8) for _ in range(3))
    good[8:24, 70:86], good[12:20, 74:82] = 1, 2
    turned[...] = good[::-1, ::-1]
    stranger[40:56, 70:86], stranger[44:52, 74:82] = 1, 2
    stranger = np.roll(stranger, -30, axis=1)
    for name, label in (("good", good), ("turned", turned), ("stranger", stranger)):
        for kind, pixels in (("image", np.full((64, 96, 3), 90, np.uint8)), ("label", label)):
            (tmp_path / kind).mkdir(exist_ok=True)
            Image.fromarray(pixels).save(tmp_path / kind / f"{name}.png")

    def locate(image):
        assert image.shape == (3, 96, 64)
        return DiscLocation(78, 16, 18, confidence=0.95)

    found = corrected_photographs(tmp_path, locate=locate)
    assert sorted(structures(found)) == ["good", "stranger"]
    assert "the label of turned is left out: turned or mirrored" in told.text
    unsure = corrected_photographs(tmp_path, locate=lambda image: DiscLocation(78, 16, 18, confidence=0.5))
    assert len(unsure) == 3


def test_a_cup_outside_its_disc_is_named_and_left_out(tmp_path, told):
    outside = np.zeros((64, 64), np.uint8)
    outside[10:30, 10:30], outside[40:50, 40:50] = 1, 2
    write(tmp_path, good=drawn(), outside=outside)
    assert list(structures(corrected_photographs(tmp_path))) == ["good"]
    assert "the label of outside is left out: its cup lies outside its disc" in told.text
