"""The bundle as other people's component: MONAI's workflow given items, its properties, and its errors."""

from __future__ import annotations

import csv
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from monai.bundle import ConfigWorkflow
from PIL import Image

from bundle.errors import CallError, SomeUnreadableError, bare_call_errors
from bundle.stages import BUNDLE_ROOT, run_stage
from bundle.synthetic.phantoms.photographs import make_crop, write_dataset


@pytest.fixture(scope="module")
def photographs(tmp_path_factory):
    """Two photographs of the same file name, in two folders."""
    folder = tmp_path_factory.mktemp("photographs")
    for i, patient in enumerate(("one", "two")):
        (folder / patient).mkdir()
        Image.fromarray(make_crop(90 + i, size=96).image).save(folder / patient / "eye.png")
    return folder


@pytest.fixture(scope="module")
def masks(photographs, tmp_path_factory):
    """What the stage draws, by patient."""
    output = tmp_path_factory.mktemp("stage")
    assert run_stage("inference", dataset_dir=photographs, output_dir=output) == 0
    return {patient: pixels(output / "masks" / f"{patient}__eye.png") for patient in ("one", "two")}


def pixels(path: Path) -> np.ndarray:
    return np.asarray(Image.open(path))


def rows(folder: Path) -> list[dict[str, str]]:
    with (folder / "report.csv").open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def workflow(config: str, kind: str, **overrides: Any) -> Any:
    configs = BUNDLE_ROOT / "configs"
    made = ConfigWorkflow(
        str(configs / f"{config}.json"),
        meta_file=str(configs / "metadata.json"),
        logging_file=False,
        workflow_type=kind,
        **{key: str(value) if isinstance(value, Path) else value for key, value in overrides.items()},
    )
    made.initialize()
    return made


@pytest.mark.parametrize("folder", [None, "photographs"])
def test_a_workflow_takes_items_that_know_only_of_their_file(folder, photographs, masks, tmp_path):
    inference = workflow("inference", "inference", output_dir=tmp_path, dataset_dir=folder and photographs)
    inference.dataset_data = [{"image": str(photographs / "two" / "eye.png")}]
    inference.run()
    np.testing.assert_array_equal(pixels(tmp_path / "masks" / "eye.png"), masks["two"])
    assert [path.name for path in (tmp_path / "masks").iterdir()] == ["eye.png"]
    assert len(rows(tmp_path)) == 1


def test_items_without_names_are_told_apart(photographs, masks, tmp_path):
    items = [{"image": str(photographs / patient / "eye.png")} for patient in ("two", "one")]
    inference = workflow("inference", "inference", output_dir=tmp_path, items=items)
    inference.run()
    for patient, mask in masks.items():
        np.testing.assert_array_equal(pixels(tmp_path / "masks" / f"{patient}__eye.png"), mask)
    assert [row["status"] != "unreadable" for row in rows(tmp_path)] == [True, True]


def test_adaptation_takes_them_too(photographs, tmp_path):
    items = [{"image": str(photographs / patient / "eye.png")} for patient in ("one", "two")]
    settings: dict[str, Any] = {"recipe": "bn", "view": "crop", "image_size": 32, "passes": 2, "quiet": True}
    given, listed = tmp_path / "given", tmp_path / "listed"
    workflow("adapt", "train", output_dir=given, items=items, **settings).run()
    run_stage("adaptation", dataset_dir=photographs, output_dir=listed, **settings)
    assert (given / "model.pt").read_bytes() == (listed / "model.pt").read_bytes()


@pytest.mark.parametrize(
    ("config", "kind"),
    [
        ("train", "train"),
        ("adapt", "train"),
        ("adapt", "inference"),
        ("refine", "inference"),
        ("evaluate", "inference"),
        ("inference", "inference"),
    ],
)
def test_monai_finds_every_property_of_a_stage(config, kind, tmp_path):
    write_dataset(tmp_path / "data", 4, kind="crop", size=32, seed=5)
    stage = workflow(config, kind, dataset_dir=tmp_path / "data", output_dir=tmp_path / "out")
    assert stage.check_properties() == []


def test_what_was_unreadable_is_an_exception_that_a_pool_can_return(photographs, tmp_path):
    """An exit would end a pool's worker, and the pool would wait for it forever."""
    (tmp_path / "broken.png").write_bytes(b"no picture")
    items = [{"image": str(tmp_path / "broken.png")}, {"image": str(photographs / "one" / "eye.png")}]
    with (
        pytest.raises(SomeUnreadableError, match="1 unreadable, all others are done: .*broken") as caught,
        bare_call_errors(),
    ):
        workflow("inference", "inference", output_dir=tmp_path / "out", items=items).run()
    assert sorted(row["status"] == "unreadable" for row in rows(tmp_path / "out")) == [False, True]
    again = pickle.loads(pickle.dumps(caught.value))
    assert (type(again), again.names, str(again)) == (SomeUnreadableError, caught.value.names, str(caught.value))


def test_a_wrong_call_is_an_exception_that_a_pool_can_return(tmp_path):
    with pytest.raises(CallError, match="does not exist") as caught:
        run_stage("inference", dataset_dir=tmp_path / "nowhere", output_dir=tmp_path / "out")
    again = pickle.loads(pickle.dumps(caught.value))
    assert (type(again), again.problem, again.remedy) == (CallError, caught.value.problem, caught.value.remedy)


@pytest.mark.parametrize(
    ("items", "words"),
    [
        ([{"label": "eye.png"}], "an item without a name has no file"),
        ([{"image": "a.png", "name": "eye"}, {"image": "b.png", "name": "Eye"}], "two photographs are named 'eye'"),
    ],
)
def test_items_of_no_use_are_refused_before_anything_is_written(items, words, tmp_path):
    with pytest.raises(CallError, match=words), bare_call_errors():
        workflow("inference", "inference", output_dir=tmp_path / "out", items=items).run()
    assert not (tmp_path / "out").exists()
