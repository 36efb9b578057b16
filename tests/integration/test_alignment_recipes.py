"""The recipes ``pfa`` and ``dac``, through the real config on phantoms."""

from __future__ import annotations

import shutil

import pytest
import torch

from bundle.handlers.checkpoint import ResumableCheckpoint
from bundle.synthetic.phantoms.photographs import write_dataset
from tests.support.stages import run, same_weights, weights


@pytest.fixture(scope="module")
def target(tmp_path_factory):
    folder = tmp_path_factory.mktemp("target")
    write_dataset(folder, 5, kind="crop", cameras=("tight_red",), size=96, seed=200)
    return folder


@pytest.fixture
def checkpoint(network, tmp_path):
    torch.save(network.state_dict(), tmp_path / "model.pt")
    return tmp_path / "model.pt"


def adapt(recipe, dataset_dir, output_dir, checkpoint):
    """The adapted weights, from the real config."""
    assert run("adapt", dataset_dir, output_dir, checkpoint=str(checkpoint), recipe=recipe, batch_size=2) == 0
    return weights(output_dir)


@pytest.mark.usefixtures("_determinism")
@pytest.mark.parametrize("recipe", ["pfa", "dac"])
def test_a_recipe_trains_all_but_the_head_and_sees_no_labels(recipe, target, checkpoint, tmp_path):
    adapted = adapt(recipe, target, tmp_path / "a", checkpoint)
    before = torch.load(checkpoint, weights_only=True)
    assert all(value.isfinite().all() for value in adapted.values())
    changed = {key for key in before if not torch.equal(before[key], adapted[key])}
    assert not any(key.startswith("segmentation_head") for key in changed)
    assert {"encoder._conv_stem.weight", "decoder.blocks.0.convs.conv_0.conv.weight"} <= changed
    assert same_weights(adapted, adapt(recipe, target, tmp_path / "again", checkpoint))
    shutil.copytree(target / "image", tmp_path / "unlabelled" / "image", copy_function=shutil.copy2)
    assert (target / "label").is_dir()
    assert same_weights(adapted, adapt(recipe, tmp_path / "unlabelled", tmp_path / "b", checkpoint))


@pytest.mark.usefixtures("_determinism")
@pytest.mark.parametrize("recipe", ["pfa", "dac"])
def test_a_recipe_resumes_exactly(recipe, target, checkpoint, tmp_path, monkeypatch):
    whole = adapt(recipe, target, tmp_path / "whole", checkpoint)
    save = ResumableCheckpoint.save

    def save_and_die(self, engine):
        save(self, engine)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(ResumableCheckpoint, "save", save_and_die)
        with pytest.raises(KeyboardInterrupt):
            adapt(recipe, target, tmp_path / "cut", checkpoint)
    assert not (tmp_path / "cut" / "model.pt").exists()
    assert same_weights(whole, adapt(recipe, target, tmp_path / "cut", checkpoint))
