"""Every stage of the contract, end to end on phantoms, in-process and with a tiny network."""

from __future__ import annotations

import functools
import json
import shutil
import subprocess
import sys

import numpy as np
import pytest
import torch
from PIL import Image

from bundle.errors import CallError
from bundle.handlers.checkpoint import ResumableCheckpoint, WeightsSaver
from bundle.refinement.pseudo_labels import PseudoLabelStore
from bundle.stages import BUNDLE_ROOT
from bundle.synthetic.phantoms.photographs import make_crop, write_dataset
from tests.support.stages import TINY, rows, run, same_weights, weights, workflow


@pytest.fixture(scope="session")
def source(tmp_path_factory):
    folder = tmp_path_factory.mktemp("source")
    write_dataset(folder, 10, kind="crop", size=96, seed=100)
    return folder


@pytest.fixture(scope="session")
def target(tmp_path_factory):
    folder = tmp_path_factory.mktemp("target")
    write_dataset(folder, 6, kind="crop", cameras=("tight_red",), size=96, seed=200)
    return folder


@pytest.fixture(scope="session")
def trained(source, tmp_path_factory):
    """A tiny source model, trained just enough that it shows discs and cups."""
    output = tmp_path_factory.mktemp("trained")
    assert run("train", source, output, max_epochs=20, val_interval=20, warmup_epochs=1, learning_rate=0.01) == 0
    return output


@pytest.fixture(scope="session")
def checkpoint(trained):
    return str(trained / "model.pt")


@pytest.fixture(scope="session")
def adapted(target, checkpoint, tmp_path_factory):
    """``adapted(recipe)`` is the output folder of an undisturbed adaptation, made once."""

    @functools.cache
    def adapt(recipe):
        output = tmp_path_factory.mktemp(recipe)
        assert run("adapt", target, output, checkpoint=checkpoint, recipe=recipe) == 0
        assert json.loads((output / "adaptation.json").read_text())["kept"] == "adapted"
        return output

    return adapt


@pytest.fixture(scope="session")
def in_one_batch(target, checkpoint, tmp_path_factory):
    """The weights that the photographs of ``target`` give in batches that hold all of them."""
    output = tmp_path_factory.mktemp("in_one_batch")
    run("adapt", target / "image", output, checkpoint=checkpoint, batch_size=6)
    return weights(output)


def test_training_writes_what_the_contract_names(trained):
    metrics = json.loads((trained / "metrics.json").read_text())
    for name in ("optic_disc", "optic_cup"):
        assert set(metrics[name]) == {"dice", "assd_px", "hd95_px"}
    assert metrics["images"] == 2
    assert metrics["optic_disc"]["dice"] > 0.5
    assert list((trained / "events").glob("events*"))
    assert not (trained / "resume.pt").exists()


def test_training_is_deterministic_and_resumes_exactly(source, tmp_path, monkeypatch):
    settings = {"max_epochs": 3, "val_interval": 3}
    run("train", source, tmp_path / "a", **settings)
    run("train", source, tmp_path / "b", **settings)
    assert same_weights(weights(tmp_path / "a"), weights(tmp_path / "b"))

    save = ResumableCheckpoint.save

    def save_and_die(self, engine):
        save(self, engine)
        if engine.state.epoch == 2:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(ResumableCheckpoint, "save", save_and_die)
        with pytest.raises(KeyboardInterrupt):
            run("train", source, tmp_path / "c", **settings)
    assert (tmp_path / "c" / "resume.pt").exists()
    assert not (tmp_path / "c" / "model.pt").exists()
    run("train", source, tmp_path / "c", **settings)
    assert same_weights(weights(tmp_path / "a"), weights(tmp_path / "c"))


def test_a_checkpoint_of_another_run_is_passed_over(source, tmp_path, monkeypatch):
    def die(self, engine):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(WeightsSaver, "__call__", die)
        with pytest.raises(KeyboardInterrupt):
            run("train", source, tmp_path / "a", max_epochs=1, seed=0)
    assert (tmp_path / "a" / "resume.pt").exists()
    run("train", source, tmp_path / "a", max_epochs=1, seed=1)
    run("train", source, tmp_path / "b", max_epochs=1, seed=1)
    assert same_weights(weights(tmp_path / "a"), weights(tmp_path / "b"))


def test_refinement_writes_what_the_contract_names(target, checkpoint, tmp_path):
    assert run("refine", target, tmp_path, checkpoint=checkpoint) == 0
    files = sorted((tmp_path / "pseudo_labels").iterdir())
    assert [file.stem for file in files] == [file.stem for file in sorted((target / "image").iterdir())]
    with np.load(files[0]) as arrays:
        for key in ("label", "mask", "probability", "uncertainty"):
            assert arrays[key].shape == (2, 64, 64)
        assert np.all(arrays["probability"][0] >= arrays["probability"][1])
    assert (tmp_path / "prototypes.pt").is_file()
    assert len(rows(tmp_path / "refinement.csv")) == 6
    assert not (tmp_path / ".refinement").exists()


def test_pseudo_labels_lie_where_the_disc_is(checkpoint, tmp_path):
    # A disc in the upper right quarter tells x from y.
    image = np.zeros((96, 96, 3), np.uint8)
    image[:48, 48:] = make_crop(7, size=48).image
    (tmp_path / "in").mkdir()
    Image.fromarray(image).save(tmp_path / "in" / "a.png")
    run("refine", tmp_path / "in", tmp_path / "out", checkpoint=checkpoint, statistics=False)
    with np.load(tmp_path / "out" / "pseudo_labels" / "a.npz") as arrays:
        probability = arrays["probability"][0].astype(float)
    y, x = (float((axis * probability).sum() / probability.sum()) for axis in np.mgrid[:64, :64])
    assert x > 32 > y


def test_refinement_resumes(target, checkpoint, tmp_path, monkeypatch):
    run("refine", target, tmp_path / "whole", checkpoint=checkpoint, batch_size=2)
    add = PseudoLabelStore.add
    calls: list[str] = []

    def add_and_die(self, name, **arrays):
        if len(calls) == 3:
            raise KeyboardInterrupt
        calls.append(name)
        add(self, name, **arrays)

    with monkeypatch.context() as patch:
        patch.setattr(PseudoLabelStore, "add", add_and_die)
        with pytest.raises(KeyboardInterrupt):
            run("refine", target, tmp_path / "cut", checkpoint=checkpoint, batch_size=2)
    seen: list[str] = []

    def add_and_note(self, name, **arrays):
        seen.append(name)
        add(self, name, **arrays)

    monkeypatch.setattr(PseudoLabelStore, "add", add_and_note)
    run("refine", target, tmp_path / "cut", checkpoint=checkpoint, batch_size=2)
    # The first batch of two was done; the second was cut off after its first photograph, and is made again.
    assert set(seen).isdisjoint(calls[:2])
    assert calls[2] in seen
    for file in (tmp_path / "whole" / "pseudo_labels").iterdir():
        with np.load(file) as whole, np.load(tmp_path / "cut" / "pseudo_labels" / file.name) as cut:
            assert all(np.array_equal(whole[key], cut[key]) for key in whole.files)


@pytest.mark.parametrize("recipe", ["bn", "grad_cl", "plus"])
def test_adaptation_writes_what_the_contract_names(recipe, adapted, checkpoint):
    output = adapted(recipe)
    record = json.loads((output / "adaptation.json").read_text())
    assert record["recipe"] == recipe
    assert record["seed"] == 0
    for when in ("before", "after"):
        assert 0 <= record[when]["predicted_dice"]["optic_disc"] <= 1
        assert record[when]["photographs"] == 6
    assert not same_weights(weights(output), torch.load(checkpoint, weights_only=True))
    if recipe != "bn":
        assert list((output / "events").glob("events*"))
        assert not (output / "resume.pt").exists()


@pytest.mark.parametrize(("least_steps", "epochs"), [(0, 2), (4, 2), (5, 3), (9, 5)])
def test_few_photographs_are_seen_more_often(least_steps, epochs, target, checkpoint, tmp_path):
    steps = {"recipes#plus#max_epochs": 2, "recipes#plus#least_steps": least_steps, "batch_size": 3, "view": "crop"}
    folders = {"dataset_dir": str(target), "output_dir": str(tmp_path), "checkpoint": checkpoint}
    stage = workflow("adapt", **TINY | steps | folders)
    stage.initialize()
    trainer = stage.parser.get_parsed_content("train#trainer")
    assert (trainer.state.epoch_length, trainer.state.max_epochs) == (2, epochs)


def test_of_many_photographs_each_epoch_sees_others(target, checkpoint, tmp_path):
    """So that the time it takes does not grow with the folder."""
    few = {"recipes#plus#photographs_per_epoch": 2, "recipes#plus#max_epochs": 4, "recipes#plus#least_steps": 0}
    folders = {"dataset_dir": str(target), "output_dir": str(tmp_path), "checkpoint": checkpoint}
    stage = workflow("adapt", **TINY | few | folders | {"batch_size": 2, "view": "crop"})
    stage.initialize()
    trainer, sampler = (stage.parser.get_parsed_content(f"train#{part}") for part in ("trainer", "sampler"))
    assert (trainer.state.epoch_length, trainer.state.max_epochs) == (1, 4)
    epochs = [list(sampler) for _ in range(20)]
    assert all(len(set(epoch)) == 2 for epoch in epochs)
    assert {index for epoch in epochs for index in epoch} == set(range(6))


def test_bn_changes_statistics_only(adapted, checkpoint):
    before, after = torch.load(checkpoint, weights_only=True), weights(adapted("bn"))
    changed = {key for key in before if not torch.equal(before[key], after[key])}
    assert changed
    assert all(key.rsplit(".", 1)[1] in {"running_mean", "running_var", "num_batches_tracked"} for key in changed)


@pytest.mark.parametrize("recipe", ["bn", "grad_cl", "plus"])
def test_adaptation_does_not_see_labels(recipe, adapted, target, checkpoint, tmp_path):
    """Bit-identical weights with the labels present, absent and full of noise."""
    for variant in ("absent", "noise"):
        folder = tmp_path / variant
        shutil.copytree(target, folder / "data", copy_function=shutil.copy2)
        if variant == "absent":
            shutil.rmtree(folder / "data" / "label")
        else:
            for file in (folder / "data" / "label").iterdir():
                file.write_bytes(np.random.default_rng(0).bytes(500))
        run("adapt", folder / "data", folder / "out", checkpoint=checkpoint, recipe=recipe)
        assert same_weights(weights(adapted(recipe)), weights(folder / "out"))


def test_a_cup_prior_that_is_not_believed_changes_nothing(target, checkpoint, tmp_path):
    """Looking at the target for it must not move norm statistics or anything random."""
    common = {"checkpoint": checkpoint, "recipe": "plus"}
    run("adapt", target, tmp_path / "asked", **common, least_cup_shift=99.0)
    run("adapt", target, tmp_path / "none", **common, **{"recipes#plus#cup_prior": None})
    assert same_weights(weights(tmp_path / "asked"), weights(tmp_path / "none"))


@pytest.mark.parametrize("recipe", ["grad_cl", "plus"])
def test_adaptation_resumes_exactly(recipe, adapted, target, checkpoint, tmp_path, monkeypatch):
    """Also while it is watched, which the undisturbed run was not."""
    settings = {"checkpoint": checkpoint, "recipe": recipe, "track_photographs": 4}
    save = ResumableCheckpoint.save

    def save_and_die(self, engine):
        save(self, engine)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(ResumableCheckpoint, "save", save_and_die)
        with pytest.raises(KeyboardInterrupt):
            run("adapt", target, tmp_path / "cut", **settings)
    assert not (tmp_path / "cut" / "model.pt").exists()
    run("adapt", target, tmp_path / "cut", **settings)
    assert same_weights(weights(adapted(recipe)), weights(tmp_path / "cut"))


def test_evaluation_writes_what_the_contract_names(target, checkpoint, tmp_path):
    assert run("evaluate", target, tmp_path, checkpoint=checkpoint) == 0
    metrics = json.loads((tmp_path / "metrics.json").read_text())
    assert {"optic_disc", "optic_cup", "vcdr_mae", "images", "missed"} <= set(metrics)
    table = rows(tmp_path / "metrics.csv")
    assert len(table) == metrics["images"] == 6
    assert np.mean([float(row["optic_disc_dice"]) for row in table]) == pytest.approx(
        metrics["optic_disc"]["dice"], abs=1e-5
    )


def test_inference_reports_every_photograph(checkpoint, tmp_path):
    """A wide photograph, a collision of stems, a truncated file and a text file: one row each, all others done."""
    folder = tmp_path / "in"
    (folder / "b").mkdir(parents=True)
    phantom = make_crop(3, size=(160, 96))
    Image.fromarray(phantom.image).save(folder / "wide.png")
    Image.fromarray(phantom.image).save(folder / "b" / "wide.jpg")
    content = (folder / "wide.png").read_bytes()
    (folder / "cut.png").write_bytes(content[: len(content) // 2])
    (folder / "empty.tif").write_bytes(b"")
    (folder / "notes.txt").write_text("no photograph")
    assert run("inference", folder, tmp_path / "out", checkpoint=checkpoint) == 1
    table = {row["image"]: row for row in rows(tmp_path / "out" / "report.csv")}
    assert set(table) == {"wide.png", "b/wide.jpg", "cut.png", "empty.tif"}
    assert table["cut.png"]["status"] == table["empty.tif"]["status"] == "unreadable"
    assert table["cut.png"]["reason"]
    masks = sorted((tmp_path / "out" / "masks").iterdir())
    assert len(masks) == len(list((tmp_path / "out" / "overlays").iterdir())) == 2
    for file in masks:
        mask = Image.open(file)
        assert mask.size == (160, 96)
        assert mask.mode == "L"
        assert set(np.unique(np.asarray(mask))) <= {0, 1, 2}
    page = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    assert "Research use only" in page
    assert all(name in page for name in table)


def test_masks_land_where_the_disc_is(checkpoint, tmp_path):
    """A photograph that is not square, its disc off-centre: load, network, invert, save put it back in its place."""
    (tmp_path / "in").mkdir()
    phantom = make_crop(5, size=96)
    picture = np.zeros((96, 192, 3), np.uint8)
    picture[:, 96:] = phantom.image
    Image.fromarray(picture).save(tmp_path / "in" / "right.png")
    run("inference", tmp_path / "in", tmp_path / "out", checkpoint=checkpoint, image_size=128)
    mask = np.asarray(Image.open(tmp_path / "out" / "masks" / "right.png")) > 0
    assert mask[:, 96:].sum() > 5 * mask[:, :96].sum()


@pytest.mark.parametrize(
    ("config", "overrides", "words"),
    [
        ("inference", {"dataset_dir": "nowhere"}, "nowhere"),
        ("inference", {"checkpoint": "nowhere.pt"}, "nowhere.pt"),
        ("inference", {"view": "sideways"}, "sideways"),
        ("inference", {"mask_format": "jpeg"}, "jpeg"),
        ("inference", {"report_format": "pdf"}, "pdf"),
        ("adapt", {"recipe": "magic"}, "magic"),
        ("evaluate", {"dataset_dir": "unlabelled"}, "label"),
        ("train", {"dataset_dir": "unlabelled"}, "label"),
        ("refine", {"dataset_dir": "empty"}, "empty"),
    ],
)
def test_wrong_calls_end_with_one_line(config, overrides, words, target, checkpoint, tmp_path):
    (tmp_path / "empty").mkdir()
    shutil.copytree(target / "image", tmp_path / "unlabelled" / "image")
    folder = tmp_path / overrides.pop("dataset_dir", "unlabelled")
    overrides = {"checkpoint": checkpoint} | overrides if config != "train" else overrides
    with pytest.raises(CallError) as caught:
        run(config, folder, tmp_path / "out", **overrides)
    assert words in caught.value.message
    assert "\n" not in caught.value.message


def test_a_folder_of_unreadable_files_cannot_be_adapted_to(checkpoint, tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.png").write_bytes(b"")
    with pytest.raises(CallError, match="not one photograph"):
        run("adapt", tmp_path / "in", tmp_path / "out", checkpoint=checkpoint)
    assert not (tmp_path / "out" / "model.pt").exists()


def test_an_unreadable_file_does_not_change_adaptation(in_one_batch, target, checkpoint, tmp_path):
    shutil.copytree(target / "image", tmp_path / "in")
    (tmp_path / "in" / "zzz.png").write_bytes(b"broken")
    assert run("adapt", tmp_path / "in", tmp_path / "dirty", checkpoint=checkpoint, batch_size=6) == 1
    assert same_weights(in_one_batch, weights(tmp_path / "dirty"))
    assert list(json.loads((tmp_path / "dirty" / "adaptation.json").read_text())["unreadable"]) == ["zzz"]


@pytest.mark.parametrize("config", ["train", "inference"])
def test_monai_finds_the_properties_it_asks_for(config, source, tmp_path):
    stage = workflow(config, dataset_dir=str(source), output_dir=str(tmp_path))
    stage.initialize()
    assert stage.check_properties() == []


def test_the_command_line_says_what_is_wrong_in_one_line(tmp_path):
    call = [sys.executable, "-m", "monai.bundle", "run", "inference", "--config_file", "configs/inference.json"]
    done = subprocess.run(
        [*call, "--dataset_dir", str(tmp_path), "--output_dir", str(tmp_path / "out")],
        cwd=BUNDLE_ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    errors = [line for line in done.stderr.splitlines() if line.startswith("error:")]
    assert len(errors) == 1
    assert str(tmp_path) in errors[0]


def test_photographs_without_a_disc_take_no_part_in_adaptation(in_one_batch, target, checkpoint, tmp_path):
    """A search that finds nothing in one photograph leaves it out, and says so."""
    shutil.copytree(target / "image", tmp_path / "in")
    Image.fromarray(np.zeros((96, 96, 3), np.uint8)).save(tmp_path / "in" / "zzz.png")
    locate = "$lambda image: bundle.transforms.disc_view.DiscLocation(48, 48, 90, 1.0) if image.max() > 0 else None"
    run("adapt", tmp_path / "in", tmp_path / "out", checkpoint=checkpoint, batch_size=6, view="auto", locate=locate)
    assert json.loads((tmp_path / "out" / "adaptation.json").read_text())["without_disc"] == ["zzz"]
    assert not (tmp_path / "out" / "pseudo_labels" / "zzz.npz").exists()
    assert same_weights(in_one_batch, weights(tmp_path / "out"))
