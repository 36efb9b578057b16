"""What the configs, each of which stands alone, must have in common."""

from __future__ import annotations

import json
from dataclasses import fields
from pathlib import Path

import pytest
import torch
from ignite.engine import Engine
from monai.bundle import ConfigParser
from monai.bundle.config_item import ComponentLocator
from monai.utils import optional_import

from bundle.adaptation.recipes import Recipe, choose_recipe
from bundle.io.config_text import laid_out
from bundle.stages import BUNDLE_ROOT, STAGES
from bundle.transforms.intensity import ScaleToNetworkd

CONFIGS = {stage: json.loads((BUNDLE_ROOT / "configs" / f"{name}.json").read_text()) for stage, name in STAGES.items()}
SOURCE_FREE = [stage for stage in STAGES if stage != "training"]


def nodes(content):
    """Every dict in a config, at any depth."""
    if isinstance(content, dict):
        yield content
        content = list(content.values())
    if isinstance(content, list):
        for value in content:
            yield from nodes(value)


def components(stage, target):
    return [node for node in nodes(CONFIGS[stage]) if node.get("_target_") == target]


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_runs_with_and_without_its_name(stage):
    assert CONFIGS[stage][stage] == "%run"


@pytest.mark.parametrize("stage", STAGES)
def test_every_component_exists(stage):
    locator = ComponentLocator(excludes=["metatensor"])
    for node in nodes(CONFIGS[stage]):
        if "_target_" in node:
            name = node["_target_"]
            found = locator.get_component_module_name(name)
            if found is None:
                module, _, attribute = name.rpartition(".")
                assert optional_import(module, name=attribute)[1], name


@pytest.mark.parametrize("stage", SOURCE_FREE)
def test_the_network_sees_the_same_numbers_everywhere(stage):
    """Size of the view and architecture are written once in each file, and must agree; intensities have one scale."""
    assert components(stage, "bundle.transforms.intensity.ScaleToNetworkd")
    assert not components(stage, "ScaleIntensityRanged")
    for key in ("image_size", "dropout", "disc_share"):
        assert CONFIGS[stage][key] == CONFIGS["training"][key]
    assert CONFIGS[stage]["network_def"] | {"pretrained": "@pretrained"} == CONFIGS["training"]["network_def"]


@pytest.mark.parametrize("stage", STAGES)
def test_the_disc_fills_the_same_share_wherever_it_is_looked_for(stage):
    views = components(stage, "bundle.transforms.disc_view.DiscViewd")
    assert views
    assert {view["disc_share"] for view in views} == {"@disc_share"}


@pytest.mark.parametrize("stage", SOURCE_FREE)
def test_the_disc_is_looked_for_alike(stage):
    (view,) = components(stage, "bundle.transforms.disc_view.DiscViewd")
    (reference,) = components("inference", "bundle.transforms.disc_view.DiscViewd")
    # Only a prediction goes back to the photograph, and only these two stages keep one.
    returning = {"on_return": reference["on_return"]}
    assert view | ({} if stage == "evaluation" else returning) == reference
    assert CONFIGS[stage]["locate"] == CONFIGS["inference"]["locate"]
    assert CONFIGS[stage]["view"] == "auto"


def test_scored_contours_are_the_ones_that_users_get():
    def steps(stage):
        return [node["_target_"] for node in CONFIGS[stage]["postprocessing"]["transforms"]][:3]

    assert steps("evaluation") == steps("inference")


def test_adaptation_refines_as_refinement_does():
    keys = ("passes", "uncertainty_threshold", "uncertainty", "labeller", "reestimate")
    assert {key: CONFIGS["adaptation"][key] for key in keys} == {key: CONFIGS["refinement"][key] for key in keys}
    mode = {"mode": CONFIGS["adaptation"]["recipe_defaults"]["features"]}
    assert CONFIGS["adaptation"]["gradient_features"] | mode == CONFIGS["refinement"]["gradient_features"]
    own, reference = (CONFIGS[stage]["fingerprint"] for stage in ("adaptation", "refinement"))
    # A head that expects the target's cups is a step that refinement has not.
    assert own | {"parts": own["parts"] | {"cup_prior": None}} == reference
    (own,), (reference,) = (
        components(stage, "bundle.refinement.evaluator.RefinementEvaluator") for stage in ("adaptation", "refinement")
    )
    # Which handlers watch differs: those of the refinement stage are where MONAI looks for them.
    assert own | {"val_handlers": "@handlers"} == reference


def test_recipes_are_whole_and_name_what_exists():
    adaptation = CONFIGS["adaptation"]
    assert adaptation["recipe"] in adaptation["recipes"]
    assert list(adaptation["recipe_defaults"]) == [field.name for field in fields(Recipe)]
    for name in adaptation["recipes"]:
        recipe = choose_recipe(adaptation["recipes"], name, adaptation["recipe_defaults"])
        assert set(recipe.losses) <= set(adaptation["train"]["losses"])
        assert recipe.augmentation in adaptation["train"]["augmentations"]
        assert recipe.geometry in adaptation["train"]["geometries"]


def test_configs_are_short_and_formatted():
    paths = sorted((BUNDLE_ROOT / "configs").glob("*.json"))
    texts = {path.name: path.read_text(encoding="utf-8") for path in paths}
    # Of the stages that there were at first; what is laid over them, or came later, is counted by itself.
    first = {f"{name}.json" for name in (*STAGES.values(), "train_locator", "metadata")}
    assert sum(len(text.splitlines()) for name, text in texts.items() if name in first) <= 1500
    assert sum(len(text.splitlines()) for text in texts.values()) <= 1700
    for name, text in texts.items():
        assert text == laid_out(json.loads(text)) + "\n", f"{name}: run python scripts/format_configs.py"


def texts_in(content):
    """Every text in a config, at any depth."""
    if isinstance(content, str):
        yield content
    for value in content.values() if isinstance(content, dict) else content if isinstance(content, list) else ():
        yield from texts_in(value)


def test_no_expression_hides_a_programme():
    for path in sorted((BUNDLE_ROOT / "configs").glob("*.json")):
        for text in texts_in(json.loads(path.read_text(encoding="utf-8"))):
            assert not (text.startswith("$") and len(text) > 100), f"{path.name}: give it a name: {text}"


@pytest.mark.parametrize("stage", [stage for stage in STAGES if stage not in ("training", "evaluation")])
def test_stages_without_labels_never_ask_for_them(stage):
    """``list_photographs`` opens no label folder unless it is told to.

    Labels come only from ``few_labels``, which names none by default, and are read in the section ``few`` alone.
    """
    config = dict(CONFIGS[stage])
    few = config.pop("few", {})
    assert config.get("few_labels") is None
    text = json.dumps(config)
    assert '"labels"' not in text
    assert "LabelReader" not in text
    assert not few or few["items"]["folder"] == "@few_labels"
    assert not few or few["dataset"]["data"] == "@few#items"


def test_metadata_says_what_the_network_takes_and_gives():
    metadata = json.loads((BUNDLE_ROOT / "configs" / "metadata.json").read_text())
    data = metadata["network_data_format"]
    size, scale = CONFIGS["training"]["image_size"], ScaleToNetworkd("image").scaler
    assert data["inputs"]["image"]["spatial_shape"] == [size, size]
    assert data["inputs"]["image"]["value_range"] == [scale.b_min, scale.b_max]
    assert list(data["outputs"]["pred"]["channel_def"].values()) == ["background", "disc_rim", "optic_cup"]
    assert metadata["version"] in metadata["changelog"]


def test_no_config_holds_a_path_of_some_machine():
    for path in Path(BUNDLE_ROOT / "configs").glob("*.json"):
        for node in nodes(ConfigParser.load_config_file(path)):
            for value in node.values():
                assert not (isinstance(value, str) and value.startswith(("/", "~"))), (path, value)


def test_the_teachers_norm_statistics_are_averaged_too(network):
    defaults = CONFIGS["adaptation"]["recipe_defaults"]
    handler = choose_recipe({"taught": {"teacher": 0.75}}, "taught", defaults).mean_teacher(network)
    assert handler is not None
    trainer = Engine(lambda *_: None)
    handler.attach(trainer)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    with torch.no_grad():
        for value in network.state_dict().values():
            value.add_(4)
    trainer.run([0])
    for name, value in handler.ema_model.state_dict().items():
        if value.is_floating_point():
            torch.testing.assert_close(value, before[name] + 1, rtol=1e-4, atol=1e-4)
    assert not handler.ema_model.training
