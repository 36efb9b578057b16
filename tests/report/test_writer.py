"""Every photograph gets its row, and masks lie upright on the photograph's own grid."""

from __future__ import annotations

import copy
import csv
from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from ignite.engine import Engine
from monai.data import MetaTensor
from monai.inferers import SimpleInferer
from PIL import Image

from bundle.errors import CallError
from bundle.io.records import Records
from bundle.networks.inferers import ChannelsLastInferer
from bundle.report.assessment import Assessor
from bundle.report.collector import ResultCollector
from bundle.report.outlines import Outlines
from bundle.report.pictures import Pictures
from bundle.report.recorded import RecordedResults, record_result
from bundle.report.report import Report
from bundle.report.thumbnail import small_jpeg
from bundle.report.writer import ResultWriter
from bundle.results import Segmentation
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
    label: Any = most_probable(MetaTensor(p, meta={"disc_confidence": 0.5}))
    # numpy promises the first of equal values.
    assert np.array_equal(label.numpy(), p.numpy().argmax(axis=0)[None])
    assert label.dtype == torch.uint8
    assert label.meta["disc_confidence"] == 0.5


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


def run(
    handler: Callable[..., Any],
    folder: Path,
    found: dict[str, torch.Tensor],
    unreadable: dict[str, str] | None = None,
    photographs: Sequence[torch.Tensor] | None = None,
) -> Any:
    """Run an engine with ``handler(items, dataset, assess)``, which is given back.

    ``found`` holds label maps, ``unreadable`` reasons, by path below ``folder``; each photograph is called by its path.
    """
    unreadable = unreadable or {}
    items = [{"name": _named(path), "image": str(folder / path)} for path in [*found, *unreadable]]
    dataset = SimpleNamespace(data=items, unreadable={_named(path): reason for path, reason in unreadable.items()})
    batches: list[list[dict[str, Any]]] = [[]]
    outputs: list[list[dict[str, Any]]] = [[]]
    for index, label in enumerate(found.values()):
        view = MetaTensor(torch.zeros(3, 16, 16), meta={"disc_confidence": 0.9})
        pixels = photographs[index] if photographs else photograph(index)
        batches.append([{"name": items[index]["name"], "image": view, "photograph": pixels}])
        outputs.append([{"pred": label[0], "expected_dice": torch.tensor([0.97, 0.95])}])
    results = iter(outputs)
    engine = Engine(lambda *_: next(results))
    attached = handler(items, dataset, Assessor(folder, max_uncertainty=0.1))
    attached.attach(engine)
    engine.run(batches, max_epochs=1)
    return attached


def _named(path: str) -> str:
    return path.replace("/", "_")[:-4]


def write(
    folder: Path,
    found: dict[str, torch.Tensor],
    unreadable: dict[str, str] | None = None,
    photographs: Sequence[torch.Tensor] | None = None,
) -> dict[str, dict[str, str]]:
    """Write masks, overlays and the report into ``folder``; its rows by image."""
    records = Records(folder, ".records", "settings")
    writer = run(
        lambda items, dataset, assess: ResultWriter(folder, items, dataset, records, assess),
        folder,
        found,
        unreadable,
        photographs,
    )
    Report(folder, list(writer.items.values()), records, "model.pt (sha256 abc)").write()
    with (folder / "report.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert len({row["image"] for row in rows}) == len(rows)
    return {row["image"]: row for row in rows}


GOOD = label_map(DISC, CUP)


@pytest.mark.parametrize("value", [0.5, 1.5, 254.5, 254.49, 255.0])
def test_overlays_round_as_pytorch_does(tmp_path, value):
    write(tmp_path, {"eye.png": GOOD}, photographs=[torch.full((3, WIDTH, HEIGHT), value)])
    overlay = np.asarray(Image.open(tmp_path / "overlays" / "eye.png"))
    assert overlay[-1, 0].tolist() == [round(value)] * 3


def test_the_mask_lies_upright_on_the_photograph(tmp_path):
    rows = write(tmp_path, {"eye.png": GOOD})
    mask = np.asarray(Image.open(tmp_path / "masks" / "eye.png"))
    assert mask.dtype == np.uint8
    expected = np.zeros((HEIGHT, WIDTH), np.uint8)
    expected[5:25, 30:50] = 1
    expected[8:20, 35:45] = 2
    np.testing.assert_array_equal(mask, expected)
    overlay = np.asarray(Image.open(tmp_path / "overlays" / "eye.png")).astype(int)
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
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "model.pt (sha256 abc)" in page


def test_unreadable_photographs_have_rows_and_empty_discs_have_masks(tmp_path):
    found = {"left/eye.png": GOOD, "right/eye.png": label_map()}
    rows = write(tmp_path, found, {"right/broken.png": "it is empty"})
    assert {image: row["status"] for image, row in rows.items()} == {
        "left/eye.png": "ok",
        "right/eye.png": "no_disc",
        "right/broken.png": "unreadable",
    }
    assert rows["right/broken.png"]["reason"] == "it is empty"
    assert sorted(path.name for path in (tmp_path / "masks").iterdir()) == ["left_eye.png", "right_eye.png"]
    assert not np.asarray(Image.open(tmp_path / "masks" / "right_eye.png")).any()
    assert not (tmp_path / ".records").exists()


def test_the_collector_keeps_what_the_writer_writes(tmp_path):
    found = {"b.png": GOOD, "c.png": label_map(DISC)}
    unreadable = {"a.png": "it is empty"}
    rows = write(tmp_path, found, unreadable)
    results = run(ResultCollector, tmp_path, found, unreadable).results()
    assert [result.image for result in results] == ["b.png", "c.png", "a.png"] == list(rows)
    for result in results:
        assert (result.status, result.reason) == (rows[result.image]["status"], rows[result.image]["reason"])
        if result.label is not None:
            mask = Image.open(tmp_path / "masks" / result.image)
            np.testing.assert_array_equal(result.label, np.asarray(mask))
    assert results[2].label is None


def test_what_the_report_needs_comes_back_from_its_record(tmp_path):
    records = Records(tmp_path, ".records", "settings")
    items = [{"name": name, "image": str(tmp_path / name)} for name in "ab"]
    outlines, jpeg = Outlines(10, 20, "M1 1z", ""), small_jpeg(Image.new("RGB", (30, 20)))
    entries = [
        (Segmentation("a", "ok", uncertainty=0.1), Pictures(jpeg, outlines, overlay="overlays/a.png")),
        (Segmentation("b", "unreadable", "it is empty"), Pictures()),
    ]
    for item, (result, pictures) in zip(items, entries, strict=True):
        record_result(records, item, result, pictures)
    recorded = RecordedResults(records, items)
    assert len(recorded) == 2
    for (result, pictures), (other, same) in zip(entries, recorded, strict=True):
        assert repr(other.to_json()) == repr(result.to_json())
        assert same == pictures
    # A record of a photograph whose files are gone does not count.
    assert [item["name"] for item in records.pending(items)] == ["a"]
    with pytest.raises(CallError, match="has no result"):
        recorded[0]
