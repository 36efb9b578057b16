"""Networks that were not made for the bundle are trained, used and adapted; what one lacks is said in a line."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from monai.bundle import ConfigParser
from monai.networks.nets import BasicUNet
from torch import nn

from bundle import fundus
from bundle.adaptation.recipes import choose_recipe
from bundle.benchmark.plan import CONFIG
from bundle.errors import CallError
from bundle.networks.head import has_head
from bundle.networks.others import cup_bias
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
FEW: dict[str, Any] = {"image_size": 64, "view": "crop", "quiet": True, "batch_size": 2, "logging_file": False}
ONE_EPOCH: dict[str, Any] = {
    "max_epochs": 1,
    "warmup_epochs": 0,
    "val_interval": 1,
    "pretrained": False,
    "num_workers": 0,
}
PRESETS: dict[str, Any] = {f"recipes#{name}#max_epochs": 1 for name in ("tent", "cbmt", "plus")}
SHORT: dict[str, Any] = {"passes": 2, "recipes#plus#least_steps": 0, **PRESETS}

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
def test_another_network_is_trained_adapted_and_used(name, recipes, photographs, tmp_path):
    own = {"network_def": NETWORKS[name], **FEW, "dataset_dir": photographs}
    assert not has_head(network_of(NETWORKS[name]))
    assert run_stage("training", output_dir=str(tmp_path / "trained"), **ONE_EPOCH, **own) == 0
    model: dict[str, Any] = {"checkpoint": str(tmp_path / "trained" / "model.pt")}
    for recipe in recipes:
        output = tmp_path / recipe
        assert run_stage("adaptation", output_dir=str(output), recipe=recipe, **model, **own, **SHORT) == 0
        record = json.loads((output / "adaptation.json").read_text(encoding="utf-8"))
        assert record["after"]["pass_agreement"] == {"optic_disc": None, "optic_cup": None}
        assert weights(output).keys() == weights(tmp_path / "trained").keys()
    with pytest.raises(CallError, match="refinement needs a pointwise segmentation_head, which"):
        run_stage("refinement", output_dir=str(tmp_path / "refined"), **model, **own)


def test_the_command_takes_the_file_of_the_page_through_adapting_and_segmenting(photographs, tmp_path):
    file = tmp_path / "unet.yaml"
    file.write_text(UNET_FILE + "image_size: 64\nview: crop\nquiet: true\nbatch_size: 2\n", encoding="utf-8")
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
        settings(recipe).check_network(network)


def test_the_shipped_network_has_all_that_any_recipe_needs(network):
    for recipe in CONFIG["recipes"]:
        settings(recipe).check_network(network, ["any"])


def test_the_cup_s_bias_is_found_and_left_as_it_was():
    network = BasicUNet(2, 3, 3, features=(4,) * 6)
    bias = network.final_conv.bias
    assert bias is not None
    before = bias.detach().clone()
    assert cup_bias(network) is bias
    assert before.allclose(bias.detach(), atol=1e-6)
    assert network.training
