"""Networks that were not made for the bundle are trained, used and adapted; what one lacks is said in a line."""

from __future__ import annotations

import json
import re
from pathlib import Path
from pydoc import locate
from typing import Any

import pytest
from monai.bundle import ConfigParser
from monai.networks.nets import BasicUNet, BasicUNetPlusPlus
from torch import nn

from bundle import fundus
from bundle.adaptation.recipes import choose_recipe
from bundle.benchmark.plan import CONFIG
from bundle.errors import CallError
from bundle.networks.head import has_head
from bundle.networks.others import check_output, cup_bias, moves_the_cup_alone
from bundle.networks.weights import save_weights
from bundle.stages import BUNDLE_ROOT, run_stage
from bundle.synthetic.phantoms.photographs import write_dataset
from tests.support.stages import weights

PAGE = (BUNDLE_ROOT / "docs" / "how-to" / "other_networks.md").read_text(encoding="utf-8")
UNET_FILE = re.findall(r"^```yaml\n(.*?)^```", PAGE, re.M | re.S)[0]
SHAPE = {"in_channels": 3, "out_channels": 3}
NETWORKS: dict[str, dict[str, Any]] = {
    "basic": {"_target_": "BasicUNet", "spatial_dims": 2, **SHAPE, "features": [4, 4, 8, 8, 8, 4]},
    "flexible": {
        "_target_": "FlexibleUNet",
        **SHAPE,
        "backbone": "efficientnet-b0",
        "decoder_channels": [16, 16, 8, 8, 8],
    },
}
FEW: dict[str, Any] = {"image_size": 64, "view": "crop", "logging_file": False}
ONE_EPOCH: dict[str, Any] = {
    "quiet": True,
    "max_epochs": 1,
    "warmup_epochs": 0,
    "val_interval": 1,
    "pretrained": False,
    "num_workers": 0,
    "batch_size": 2,
}
PRESETS: dict[str, Any] = {f"recipes#{name}#max_epochs": 1 for name in ("tent", "cbmt", "plus")}
SHORT: dict[str, Any] = {"quiet": True, "passes": 2, "batch_size": 2, "recipes#plus#least_steps": 0, **PRESETS}

pytestmark = pytest.mark.usefixtures("_determinism")


@pytest.fixture(scope="module")
def photographs(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("data")
    write_dataset(folder, 5, kind="crop", size=64)
    return str(folder)


def network_of(definition: dict[str, Any]) -> nn.Module:
    return ConfigParser({"network": definition}).get_parsed_content("network")


def settings(recipe: str) -> Any:
    return choose_recipe(CONFIG["recipes"], recipe, CONFIG["recipe_defaults"])


@pytest.mark.parametrize(("name", "recipes"), [("basic", ["tent"]), ("flexible", ["bn", "plus"])])
def test_another_network_is_trained_scored_adapted_and_used(name, recipes, photographs, tmp_path):
    own = {"network_def": NETWORKS[name], **FEW, "dataset_dir": photographs}
    assert not has_head(network_of(NETWORKS[name]))
    assert run_stage("training", output_dir=str(tmp_path / "trained"), **ONE_EPOCH, **own) == 0
    model: dict[str, Any] = {"checkpoint": str(tmp_path / "trained" / "model.pt")}
    for recipe in recipes:
        output = tmp_path / recipe
        assert run_stage("adaptation", output_dir=str(output), recipe=recipe, **model, **own, **SHORT) == 0
        record = json.loads((output / "adaptation.json").read_text(encoding="utf-8"))
        assert record["after"]["pass_agreement"] == {"optic_disc": None, "optic_cup": None}
        kept = weights(output)
        assert kept.keys() == weights(tmp_path / "trained").keys()
        assert any(not value.equal(kept[name]) for name, value in weights(tmp_path / "trained").items())
        model["checkpoint"] = str(output / "model.pt")
    assert run_stage("inference", output_dir=str(tmp_path / "used"), **model, **own) == 0
    assert len(list((tmp_path / "used" / "masks").iterdir())) == 5
    assert run_stage("evaluation", output_dir=str(tmp_path / "scored"), **model, **own) == 0
    assert json.loads((tmp_path / "scored" / "metrics.json").read_text(encoding="utf-8"))["images"] == 5
    with pytest.raises(CallError, match="refinement needs a pointwise segmentation_head, which"):
        run_stage("refinement", output_dir=str(tmp_path / "refined"), **model, **own)


def test_a_few_corrected_photographs_teach_another_network_too(photographs, tmp_path):
    save_weights(network_of(NETWORKS["basic"]), tmp_path / "basic.pt")
    own = {
        "network_def": NETWORKS["basic"],
        **FEW,
        "dataset_dir": photographs,
        "checkpoint": str(tmp_path / "basic.pt"),
    }
    keys = {"recipe": "plus", "few_labels": photographs, "with_few_labels#least_steps": 2, **SHORT}
    assert run_stage("adaptation", output_dir=str(tmp_path / "out"), **keys, **own) == 0
    record = json.loads((tmp_path / "out" / "adaptation.json").read_text(encoding="utf-8"))
    assert len(record["few_labels"]) == 5


def test_the_command_takes_the_file_of_the_page_through_adapting_and_segmenting(photographs, tmp_path):
    file = tmp_path / "unet.yaml"
    file.write_text(UNET_FILE + "image_size: 64\nview: crop\n", encoding="utf-8")
    few = [word for key, value in ONE_EPOCH.items() for word in (f"--{key}", str(value))]
    short = [word for key, value in SHORT.items() for word in (f"--{key}", str(value))]
    trained, adapted = tmp_path / "trained", tmp_path / "adapted"
    assert fundus.main(["train", photographs, str(trained), "--config", str(file), *few]) == 0
    words = ["--config", str(file), "--checkpoint", str(trained / "model.pt"), "--recipe", "cbmt", *short]
    assert fundus.main(["adapt", photographs, str(adapted), *words]) == 0
    assert len(list((adapted / "masks").iterdir())) == 5


@pytest.mark.parametrize("recipe", ["dpl", "grad_cl", "pfa", "dac"])
def test_a_recipe_that_needs_a_head_says_so_before_anything_is_measured(recipe, photographs, tmp_path):
    own = {"network_def": NETWORKS["basic"], **FEW, "dataset_dir": photographs, "checkpoint": None}
    with pytest.raises(CallError, match="needs a pointwise segmentation_head, which BasicUNet does not have") as raised:
        run_stage("adaptation", output_dir=str(tmp_path / "out"), recipe=recipe, **own)
    assert "\n" not in raised.value.message
    assert not Path(tmp_path, "out", "events").exists()


@pytest.mark.parametrize(
    ("recipe", "network", "lacks"),
    [
        ("bn", BasicUNet(2, 3, 3, features=(4,) * 6), "BasicUNet has no batch norm layers"),
        ("tent", nn.Sequential(nn.Conv2d(3, 3, 1), nn.InstanceNorm2d(3)), "has no norm layers with scale and shift"),
        ("plus", nn.Sequential(nn.Conv2d(3, 3, 1, bias=False)), "has no last convolution with a bias"),
        ("plus", nn.Sequential(nn.Conv2d(3, 3, 1), nn.Softmax(dim=1)), "has no last convolution with a bias"),
    ],
)
def test_what_a_network_lacks_is_named(recipe, network, lacks):
    with pytest.raises(CallError, match=lacks):
        settings(recipe).check_network(network, 64)


HEADLESS = nn.Sequential(nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3), nn.Conv2d(3, 3, 1))
LACKING: dict[str, tuple[nn.Module, ...]] = {
    "norm layers with scale and shift": (nn.Sequential(nn.BatchNorm2d(3, affine=False), nn.Conv2d(3, 3, 1)),),
    "batch norm": (nn.Sequential(nn.GroupNorm(3, 3), nn.Conv2d(3, 3, 1)),),
    "last convolution with a bias": (
        nn.Sequential(nn.BatchNorm2d(3), nn.Conv2d(3, 3, 1, bias=False)),
        nn.Sequential(nn.BatchNorm2d(3), nn.Conv2d(3, 3, 1), nn.Softmax(dim=1)),
    ),
}


def refused(recipe: Any, network: nn.Module, losses_with_head: list[str]) -> bool:
    try:
        recipe.check_network(network, 64, losses_with_head)
    except CallError:
        return True
    return False


def test_the_table_of_the_page_says_what_each_recipe_needs(network):
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in PAGE.splitlines() if line.startswith("|")]
    first = next(i for i, row in enumerate(rows) if row[0] == "recipe")
    assert rows[first][1:] == ["head", *LACKING]
    table = {row[0].strip("`"): [cell == "yes" for cell in row[1:]] for row in rows[first + 2 :] if len(row) == 5}
    assert sorted(table) == sorted(CONFIG["recipes"])
    for name, (head, *others) in table.items():
        recipe = settings(name)
        targets = {loss: CONFIG["train"]["losses"][loss]["_target_"] for loss in recipe.losses}
        needing = [loss for loss, target in targets.items() if getattr(locate(target), "needs_head", False)]
        assert not refused(recipe, network, needing)
        assert refused(recipe, HEADLESS, needing) == head, name
        for column, need in zip(LACKING, others, strict=True):
            # Where a head is needed as well, the network is refused for that already.
            assert all(refused(recipe, other, needing) == (need or head) for other in LACKING[column]), (name, column)


@pytest.mark.parametrize(
    ("network", "says"),
    [
        (nn.Conv2d(3, 2, 1), "Conv2d gives 1 x 2 x 64 x 64 for a picture of 1 x 3 x 64 x 64"),
        (nn.Conv2d(3, 3, 1, stride=2), "Conv2d gives 1 x 3 x 32 x 32"),
        (nn.Conv2d(1, 3, 1), "Conv2d cannot take a picture of 1 x 3 x 64 x 64: Given groups=1"),
        (BasicUNetPlusPlus(2, 3, 3, features=(4,) * 6), "BasicUNetPlusPlus gives a list"),
    ],
)
def test_a_network_of_another_shape_is_named(network, says):
    with pytest.raises(CallError, match=says):
        check_output(network, 64)


@pytest.mark.parametrize("stage", ["training", "evaluation", "inference", "adaptation", "refinement"])
def test_every_stage_tries_another_network_first(stage, photographs, tmp_path):
    two = {"network_def": {**NETWORKS["basic"], "out_channels": 2}, **FEW, "dataset_dir": photographs}
    save_weights(network_of(two["network_def"]), tmp_path / "two.pt")
    with pytest.raises(CallError, match="network_def: BasicUNet gives 1 x 2 x 64 x 64"):
        run_stage(stage, output_dir=str(tmp_path / "out"), checkpoint=str(tmp_path / "two.pt"), **two)


def test_the_cup_s_bias_is_found_and_left_as_it_was():
    network = BasicUNet(2, 3, 3, features=(4,) * 6)
    bias = network.final_conv.bias
    assert bias is not None
    before = bias.detach().clone()
    assert cup_bias(network) is bias
    assert moves_the_cup_alone(network, 64)
    assert before.equal(bias)
    assert network.training
