"""The recipes ``pfa`` and ``dac``, through the real config on phantoms."""

from __future__ import annotations

import functools
import shutil

import pytest
import torch

from bundle.handlers.checkpoint import ResumableCheckpoint
from bundle.networks.weights import save_weights
from bundle.synthetic.phantoms.photographs import write_dataset
from tests.support.stages import run, same_weights, weights


@pytest.fixture(scope="module")
def target(tmp_path_factory):
    folder = tmp_path_factory.mktemp("target")
    write_dataset(folder, 5, kind="crop", cameras=("tight_red",), size=96, seed=200)
    return folder


@pytest.fixture(scope="module")
def checkpoint(_tiny_network, tmp_path_factory):
    path = tmp_path_factory.mktemp("checkpoint") / "model.pt"
    save_weights(_tiny_network, path)
    return path


def adapt(recipe, dataset_dir, output_dir, checkpoint):
    """The adapted weights, from the real config."""
    assert run("adapt", dataset_dir, output_dir, checkpoint=str(checkpoint), recipe=recipe, batch_size=2) == 0
    return weights(output_dir)


@pytest.fixture(scope="module")
def adapted(target, checkpoint, tmp_path_factory):
    """``adapted(recipe)``: the weights of an undisturbed adaptation, made once."""
    return functools.cache(lambda recipe: adapt(recipe, target, tmp_path_factory.mktemp(recipe), checkpoint))


@pytest.mark.usefixtures("_determinism")
@pytest.mark.parametrize("recipe", ["pfa", "dac"])
def test_a_recipe_trains_all_but_the_head_and_sees_no_labels(recipe, adapted, target, checkpoint, tmp_path):
    before = torch.load(checkpoint, weights_only=True)
    after = adapted(recipe)
    assert all(value.isfinite().all() for value in after.values())
    changed = {key for key in before if not torch.equal(before[key], after[key])}
    assert not any(key.startswith("segmentation_head") for key in changed)
    assert {"encoder._conv_stem.weight", "decoder.blocks.0.convs.conv_0.conv.weight"} <= changed
    assert same_weights(after, adapt(recipe, target, tmp_path / "again", checkpoint))
    shutil.copytree(target / "image", tmp_path / "unlabelled" / "image", copy_function=shutil.copy2)
    assert (target / "label").is_dir()
    assert same_weights(after, adapt(recipe, tmp_path / "unlabelled", tmp_path / "b", checkpoint))


@pytest.mark.usefixtures("_determinism")
@pytest.mark.parametrize("recipe", ["pfa", "dac"])
def test_a_recipe_resumes_exactly(recipe, adapted, target, checkpoint, tmp_path, monkeypatch):
    save = ResumableCheckpoint.save

    def save_and_die(self, engine):
        save(self, engine)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(ResumableCheckpoint, "save", save_and_die)
        with pytest.raises(KeyboardInterrupt):
            adapt(recipe, target, tmp_path / "cut", checkpoint)
    assert not (tmp_path / "cut" / "model.pt").exists()
    assert same_weights(adapted(recipe), adapt(recipe, target, tmp_path / "cut", checkpoint))
