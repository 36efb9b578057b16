"""Every photograph gets its row, and masks lie upright on the photograph's own grid."""

from __future__ import annotations

import copy
import csv
import os
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from ignite.engine import Engine
from monai.data import MetaTensor
from monai.inferers import SimpleInferer
from PIL import Image

from bundle.io.records import Records
from bundle.networks.inferers import ChannelsLastInferer
from bundle.report.writer import ReportWriter
from bundle.transforms.label_maps import CleanLabeld
from bundle.transforms.label_maps import label_map as most_probable

WIDTH, HEIGHT = 60, 40


def label_map(*boxes: tuple[int, int, int, int, int]) -> torch.Tensor:
    """``1 x W x H`` with rectangles (left, top, right, bottom, value)."""
    label = torch.zeros(1, WIDTH, HEIGHT, dtype=torch.uint8)
    for left, top, right, bottom, value in boxes:
        label[0, left:right, top:bottom] = value
    return label


DISC, CUP = (30, 5, 50, 25, 1), (35, 8, 45, 20, 2)


def test_the_prediction_does_not_depend_on_the_networks_memory_format(network, make_images):
    images = make_images(1)
    with torch.no_grad():
        plain = ChannelsLastInferer()(images, copy.deepcopy(network))
        given = SimpleInferer()(images, network.to(memory_format=torch.channels_last))
    assert torch.equal(plain, given)


def test_the_label_map_is_the_argmax():
    p = torch.rand(3, WIDTH, HEIGHT, generator=torch.Generator().manual_seed(0)).mul(4).round()
    p[:, :9] = 0
    assert (p.sort(dim=0).values.diff(dim=0) == 0).any(dim=0).sum() > 500
    label = most_probable(MetaTensor(p, meta={"disc_confidence": 0.5}))
    # numpy promises the first of equal values.
    assert np.array_equal(label.numpy(), p.numpy().argmax(axis=0)[None])
    assert label.dtype == torch.uint8
    assert label.meta["disc_confidence"] == 0.5


@pytest.mark.parametrize("value", [0.5, 1.5, 254.5, 254.49, 255.0])
def test_overlays_round_as_pytorch_does(tmp_path, monkeypatch, value):
    monkeypatch.setattr("test_inference.photograph", lambda _: torch.full((3, WIDTH, HEIGHT), value))
    write_report(tmp_path, tmp_path / "out", {"eye.png": GOOD})
    overlay = np.asarray(Image.open(tmp_path / "out" / "overlays" / "eye.png"))
    assert overlay[-1, 0].tolist() == [round(value)] * 3


def test_the_largest_disc_and_its_cup_are_kept_without_holes():
    dirty = label_map(DISC, CUP, (38, 10, 40, 12, 0), (2, 30, 12, 38, 1), (4, 32, 8, 36, 2), (31, 6, 33, 7, 2))
    cleaned = CleanLabeld("pred")({"pred": dirty, "name": "a"})["pred"]
    assert torch.equal(cleaned, label_map(DISC, CUP))
    assert cleaned.dtype == torch.uint8


@pytest.mark.parametrize(("side", "kept"), [(7, False), (8, True)])
def test_a_disc_of_few_pixels_is_none(side, kept):
    cleaned = CleanLabeld("pred")({"pred": label_map((10, 10, 10 + side, 10 + side, 1))})["pred"]
    assert cleaned.sum() == (side**2 if kept else 0)


@pytest.mark.parametrize(
    ("meta", "kept"), [({"disc_confidence": 0.0}, False), ({"disc_confidence": 0.01}, True), ({}, True)]
)
def test_nothing_is_kept_where_no_disc_was_found(meta, kept):
    label = MetaTensor(label_map(DISC, CUP), meta={**meta, "view": "photograph"})
    cleaned = CleanLabeld(["pred", "label"], allow_missing_keys=True)({"pred": label})["pred"]
    assert bool(cleaned.any()) == kept
    assert cleaned.meta["view"] == "photograph"


def photograph(seed: int) -> torch.Tensor:
    return torch.randint(0, 256, (3, WIDTH, HEIGHT), generator=torch.Generator().manual_seed(seed)).float()


def write_report(
    dataset_dir,
    output_dir,
    found: dict[str, tuple],
    unreadable: dict[str, str] | None = None,
    distance: float = 0.0,
    **limits,
) -> dict:
    """``found`` holds (label, expected_dice, confidence) by path below ``dataset_dir``; rows by image."""
    paths = [*found, *(unreadable or {})]
    data = [{"name": path.replace("/", "_")[:-4], "image": str(dataset_dir / path)} for path in paths]
    dataset = SimpleNamespace(
        data=data, unreadable={k.replace("/", "_")[:-4]: v for k, v in (unreadable or {}).items()}
    )
    batches, outputs = [[]], [[]]
    for i, (label, expected_dice, confidence, *stated) in enumerate(found.values()):
        view = MetaTensor(torch.zeros(3, 16, 16), meta={"disc_confidence": confidence, "laterality": "".join(stated)})
        batches.append([{"name": data[i]["name"], "image": view, "photograph": photograph(i)}])
        outputs.append([{"pred": label[0], "expected_dice": torch.tensor(expected_dice), "norm_distance": distance}])
    results = iter(outputs)
    engine = Engine(lambda *_: next(results))
    records = Records(output_dir, ".records", "settings")
    writer = ReportWriter(output_dir, dataset_dir, data, dataset, records, "model.pt (sha256 abc)", 0.1, 0.7, **limits)
    writer.attach(engine)
    engine.run(batches, max_epochs=1)
    writer.write_report()
    with (output_dir / "report.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert len({row["image"] for row in rows}) == len(rows)
    return {row["image"]: row for row in rows}


GOOD = (label_map(DISC, CUP), [0.97, 0.95], 0.9)


@pytest.mark.parametrize(
    ("scale", "status", "reason", "uncertainty"),
    [
        (1.0, "ok", "", 0.06),
        (0.65, "ok", "", 0.0923),
        (0.5, "review", "cup edge uncertain", 0.12),
        (0.3, "review", "cup edge uncertain; disc edge uncertain", 0.2),
        (0.01, "review", "cup edge uncertain; disc edge uncertain", 1.0),
    ],
)
def test_a_model_that_grew_surer_of_itself_is_doubted_as_before(scale, status, reason, uncertainty, tmp_path):
    found = {"eye.png": (label_map(DISC, CUP), [0.965, 0.94], 0.9)}
    row = write_report(tmp_path, tmp_path / "out", found, uncertainty_scale=scale)["eye.png"]
    assert (row["status"], row["reason"]) == (status, reason)
    assert float(row["uncertainty"]) == pytest.approx(uncertainty, abs=1e-4)


def test_the_mask_lies_upright_on_the_photograph(tmp_path):
    rows = write_report(tmp_path, tmp_path / "out", {"eye.png": GOOD})
    mask = np.asarray(Image.open(tmp_path / "out" / "masks" / "eye.png"))
    assert mask.dtype == np.uint8
    expected = np.zeros((HEIGHT, WIDTH), np.uint8)
    expected[5:25, 30:50] = 1
    expected[8:20, 35:45] = 2
    np.testing.assert_array_equal(mask, expected)
    overlay = np.asarray(Image.open(tmp_path / "out" / "overlays" / "eye.png")).astype(int)
    assert overlay.shape == (HEIGHT, WIDTH, 3)
    original = photograph(0).numpy().transpose(2, 1, 0)
    changed = (overlay != original).any(axis=2)
    assert not changed[30:].any()
    assert not changed[:, :25].any()
    assert changed[4:26, 29:51].mean() > 0.1
    row = rows["eye.png"]
    assert row["status"] == "ok"
    assert row["reason"] == ""
    assert float(row["vcdr"]) == pytest.approx(12 / 20)
    assert float(row["hcdr"]) == pytest.approx(10 / 20)
    assert float(row["area_cdr"]) == pytest.approx(120 / 400)
    assert (float(row["disc_x"]), float(row["disc_y"])) == (39.5, 14.5)
    assert (float(row["disc_height_px"]), float(row["cup_height_px"])) == (20, 12)
    assert float(row["uncertainty"]) == pytest.approx(0.05, abs=1e-4)
    page = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    assert "model.pt (sha256 abc)" in page


@pytest.mark.parametrize(
    ("case", "status", "reason"),
    [
        (GOOD, "ok", ""),
        ((GOOD[0], [0.95, 0.89], 0.9), "review", "cup edge uncertain"),
        ((GOOD[0], [0.89, 0.95], 0.9), "review", "disc edge uncertain"),
        ((GOOD[0], [0.89, 0.89], 0.9), "review", "cup edge uncertain; disc edge uncertain"),
        ((GOOD[0], [0.97, 0.95], 0.69), "review", "disc found with low confidence"),
        ((label_map((30, 5, 50, 25, 1)), [0.97, 0.95], 0.9), "review", "no cup visible"),
        ((label_map((30, 0, 50, 25, 1), CUP), [1.0, 1.0], 0.9), "review", "disc touches the edge of the picture"),
        ((label_map((30, 20, 50, 40, 1), (35, 22, 40, 30, 2)), [1.0, 1.0], 0.9), "review", "disc touches the edge"),
        ((label_map((0, 5, 20, 25, 1), (5, 8, 9, 12, 2)), [1.0, 1.0], 0.9), "review", "disc touches the edge"),
        ((label_map((40, 5, 60, 25, 1), (45, 8, 49, 12, 2)), [1.0, 1.0], 0.9), "review", "disc touches the edge"),
        ((label_map((30, 5, 50, 25, 1)), [0.5, 0.5], 0.1), "review", "disc edge uncertain; disc found with low"),
        ((label_map(), [0.2, 0.1], 0.0), "no_disc", "no optic disc found"),
    ],
)
def test_each_photograph_gets_its_status_and_reasons(tmp_path, case, status, reason):
    row = write_report(tmp_path, tmp_path / "out", {"eye.png": case})["eye.png"]
    assert row["status"] == status
    assert row["reason"].startswith(reason)
    assert row["reason"].count(";") == reason.count(";") or reason.endswith("low")
    assert bool(row["reason"]) == bool(reason)
    assert bool(row["vcdr"]) == bool(row["uncertainty"]) == (status != "no_disc")


def test_unreadable_photographs_have_rows_and_empty_discs_have_masks(tmp_path):
    found = {"left/eye.png": GOOD, "right/eye.png": (label_map(), [1.0, 1.0], 0.0)}
    rows = write_report(tmp_path, tmp_path / "out", found, {"right/broken.png": "it is empty"})
    assert {image: row["status"] for image, row in rows.items()} == {
        "left/eye.png": "ok",
        "right/eye.png": "no_disc",
        "right/broken.png": "unreadable",
    }
    assert rows["right/broken.png"]["reason"] == "it is empty"
    assert sorted(path.name for path in (tmp_path / "out" / "masks").iterdir()) == ["left_eye.png", "right_eye.png"]
    assert not np.asarray(Image.open(tmp_path / "out" / "masks" / "right_eye.png")).any()


@pytest.mark.parametrize(
    ("limits", "distance", "reason"),
    [
        ({}, 9.0, ""),
        ({"max_distance": 1.0}, 1.1, "unlike anything seen in training"),
        ({"max_distance": 1.0}, 0.9, ""),
        ({"min_sharpness": 0.3}, 0.0, "out of focus"),
        ({"min_sharpness": 0.1}, 0.0, ""),
        ({"min_sharpness": 0.3, "max_distance": 1.0}, 2.0, "out of focus; unlike anything seen in training"),
    ],
)
def test_the_view_gives_reasons_too(tmp_path, monkeypatch, limits, distance, reason):
    monkeypatch.setattr("bundle.report.assessment.sharpness", lambda view: 0.2 if view.shape == (3, 16, 16) else 1.0)
    rows = write_report(tmp_path, tmp_path / "out", {"eye.png": GOOD}, distance=distance, **limits)
    assert rows["eye.png"]["reason"] == reason
    assert rows["eye.png"]["status"] == ("review" if reason else "ok")


@pytest.mark.parametrize("way", ["link", "dots", "relative"])
def test_photographs_in_subfolders_keep_their_rows_however_the_folder_is_named(tmp_path, monkeypatch, way):
    (tmp_path / "real").mkdir()
    monkeypatch.chdir(tmp_path / "real")
    if way == "link":
        (tmp_path / "link").symlink_to(tmp_path / "real")
        folder = tmp_path / "link"
    elif way == "dots":
        folder = tmp_path / "real" / ".." / "real"
    else:
        folder = tmp_path / "real" / os.curdir
    rows = write_report(folder, tmp_path / "out", {"left/eye.png": GOOD, "right/eye.png": GOOD})
    assert set(rows) == {"left/eye.png", "right/eye.png"}


def test_what_the_file_says_of_the_eye_goes_before_a_guess(tmp_path):
    label = label_map(DISC, CUP)
    write_report(tmp_path, tmp_path / "out", {"said.png": (label, [1.0, 1.0], 0.9, "left"), "silent.png": GOOD})
    with (tmp_path / "out" / "measurements.csv").open(newline="", encoding="utf-8") as file:
        said, silent = csv.DictReader(file)
    assert (said["laterality"], said["laterality_source"]) == ("left", "file")
    # The disc spans x 30..50 and y 5..25, its cup x 35..45 and y 8..20; a left eye's nose is on the picture's left.
    assert [float(said[f"rim_{side}_px"]) for side in ("superior", "left", "nasal")] == pytest.approx(
        [3, 5, 5], abs=0.3
    )
    assert said["rim_temporal_px"] == said["rim_right_px"]
    # A disc of twenty pixels is too small to tell.
    assert (silent["laterality"], silent["rim_nasal_px"]) == ("unknown", "")
    assert silent["rim_left_px"] == said["rim_left_px"]
