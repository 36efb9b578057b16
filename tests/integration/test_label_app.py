"""The app for MONAI Label's server, as far as it can be told without MONAI Label."""

from __future__ import annotations

import json

import pytest
import torch
from monai.bundle import run as run_bundle
from PIL import Image

from bundle.annotation import label_app, label_server
from bundle.errors import CallError
from bundle.networks.unet import DiscCupUNet
from bundle.stages import BUNDLE_ROOT
from bundle.synthetic.phantoms.photographs import make_photograph

CONFIG = json.loads((BUNDLE_ROOT / "configs" / "train.json").read_text(encoding="utf-8"))


@pytest.fixture
def items(tmp_path):
    """Two photographs and their labels, as MONAI Label hands them over: without names."""
    written = []
    for number in range(2):
        phantom = make_photograph(20 + number, size=(240, 160))
        paths = {kind: str(tmp_path / f"{number}_{kind}.png") for kind in ("image", "label")}
        Image.fromarray(phantom.image).save(paths["image"])
        Image.fromarray(phantom.label).save(paths["label"])
        written.append(paths)
    return written


@pytest.mark.usefixtures("_determinism")
@pytest.mark.parametrize("run_id", ["run", ""])
@pytest.mark.parametrize("held_out", [0, 1])
def test_a_training_request_runs_once_with_items_and_weights_from_outside(run_id, held_out, items, tmp_path):
    """MONAI Label's own overrides; it passes an empty run id on from 3D Slicer."""
    small = ["image_size=64", "pretrained=false", "learning_rate=0", "dropout=0.0"]
    settings = label_app.training_settings(CONFIG, small)
    settings["network_def"] |= {"backbone": "efficientnet-lite0-small", "decoder_channels": [16, 16, 8, 8]}
    (tmp_path / "train.json").write_text(json.dumps(settings))
    torch.manual_seed(7)
    network = DiscCupUNet(backbone="efficientnet-lite0-small", decoder_channels=(16, 16, 8, 8))
    torch.save(network.state_dict(), tmp_path / "start.pt")
    loader = {"_target_": "CheckpointLoader", "load_path": str(tmp_path / "start.pt"), "strict": False}
    loader["load_dict"] = {"model": "$@network"}
    run_bundle(
        run_id=run_id,
        config_file=str(tmp_path / "train.json"),
        meta_file=str(BUNDLE_ROOT / "configs" / "metadata.json"),
        logging_file=str(BUNDLE_ROOT / "configs" / "logging.conf"),
        bundle_root=str(tmp_path),
        locate=None,
        view="crop",
        device="cpu",
        **{
            "train#trainer#max_epochs": 2,
            "train#dataset#data": items[held_out:],
            "validate#dataset#data": items[:held_out],
            "train#handlers": [loader, *settings["train"]["handlers"]],
        },
    )
    result = torch.load(tmp_path / "models" / label_app.TRAINED, weights_only=True)
    # At a learning rate of 0 only statistics move: whatever else differs was not in the weights it started from.
    for name, value in network.named_parameters():
        torch.testing.assert_close(result[name], value.detach(), rtol=1e-5, atol=1e-6)
    steps = result["encoder._bn0.num_batches_tracked"]
    assert steps == 2
    assert (tmp_path / "output" / "training" / "metrics.csv").exists() == bool(held_out)


def test_training_keys_are_set_and_unknown_ones_refused():
    settings = label_app.training_settings(CONFIG, ["batch_size=2", "label_format=refuge"])
    assert settings["batch_size"] == 2
    assert settings["label_format"] == "refuge"
    with pytest.raises(CallError, match="no key batch_sise"):
        label_app.training_settings(CONFIG, ["batch_sise=2"])


@pytest.fixture
def other(tmp_path):
    """Weights in a folder of a short name, which would come before ``model.pt`` in MONAI Label's list."""
    path = tmp_path / "a" / "model.pt"
    path.parent.mkdir()
    path.write_bytes((BUNDLE_ROOT / "models" / "model.pt").read_bytes())
    return path


def test_the_source_model_stays_the_first_choice(other, tmp_path):
    folder = tmp_path / "models"
    folder.mkdir()
    (folder / label_app.TRAINED).write_bytes(b"kept")
    (folder / "model_gone.pt").symlink_to(tmp_path / "gone.pt")
    label_app.link_models(folder, [other])
    names = sorted((path.name for path in folder.iterdir()), key=len)
    assert names[0] == "model.pt"
    assert len(names[0]) < len(names[1])
    assert set(names) == {"model.pt", "refuge.pt", "locator.pt", "model_a.pt", label_app.TRAINED}
    assert (folder / "model_a.pt").resolve() == other.resolve()
    assert (folder / label_app.TRAINED).read_bytes() == b"kept"


def test_models_that_would_hide_each_other_are_refused(other, tmp_path):
    (tmp_path / "models").mkdir()
    with pytest.raises(CallError, match="model_a.pt"):
        label_app.link_models(tmp_path / "models", [other, other])


def test_wrong_calls_end_with_one_line(tmp_path):
    for arguments in (
        ["--studies", str(tmp_path / "nowhere")],
        ["--studies", str(tmp_path), "--app", str(tmp_path / "app"), "--model", str(tmp_path / "nowhere.pt")],
    ):
        with pytest.raises(CallError, match="nowhere"):
            label_server.main(arguments)


def test_the_server_s_temporary_files_are_its_own_and_not_kept(tmp_path):
    folder = label_server.temporary_folder(tmp_path / "app")
    assert folder.stat().st_mode & 0o077 == 0
    (folder / "left.png").write_bytes(b"an upload")
    assert label_server.temporary_folder(tmp_path / "app") == folder
    assert list(folder.iterdir()) == []
