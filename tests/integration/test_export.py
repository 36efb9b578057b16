"""MONAI's own commands export the shipped network, and what they export segments as the network does."""

from __future__ import annotations

import json
import logging
import shutil
import warnings
from typing import Any

import numpy as np
import pytest
import torch
from monai.bundle import ConfigParser, ckpt_export, load, onnx_export, verify_net_in_out
from monai.data import load_net_with_metadata
from PIL import Image

from bundle.networks.unet import DiscCupUNet
from bundle.networks.weights import load_weights
from bundle.stages import BUNDLE_ROOT
from bundle.synthetic.cameras import CAMERA_STYLES
from bundle.synthetic.phantoms.photographs import make_crop, make_photograph

CONFIGS = BUNDLE_ROOT / "configs"
FILES: dict[str, Any] = {"config_file": str(CONFIGS / "inference.json"), "meta_file": str(CONFIGS / "metadata.json")}
SIZE = json.loads((CONFIGS / "inference.json").read_text(encoding="utf-8"))["image_size"]
WEIGHTS = str(BUNDLE_ROOT / "models" / "model.pt")
TOLERANCE = 1e-3
"""Largest difference of logits, which span about 20; sums in another order make a hundredth of it."""


@pytest.fixture(scope="module")
def views():
    """Views of the disc by several cameras, B x 3 x W x H, scaled as the configs scale them."""
    pixels = [make_crop(70 + i, camera=camera, size=SIZE).image for i, camera in enumerate(list(CAMERA_STYLES)[:4])]
    return (torch.from_numpy(np.stack(pixels)).permute(0, 3, 2, 1).float() - 127) / 128


@pytest.fixture(scope="module")
def shipped():
    return load_weights(DiscCupUNet(decoder_channels=(128, 96, 64, 40, 24)), WEIGHTS).eval()


@pytest.fixture(scope="module")
def expected(shipped, views):
    with torch.no_grad():
        logits = shipped(views)
    assert all((logits.argmax(dim=1) == value).any() for value in range(3))
    return logits


@pytest.fixture(scope="module")
def torchscript(tmp_path_factory):
    """By scripting, as the model zoo checks it, with the defaults of MONAI's command."""
    path = tmp_path_factory.mktemp("torchscript") / "model.ts"
    ckpt_export(filepath=str(path), **FILES, bundle_root=str(BUNDLE_ROOT))
    return path


def assert_same_segmentation(logits, expected):
    torch.testing.assert_close(logits, expected, rtol=0, atol=TOLERANCE)
    differing = (logits.argmax(dim=1) != expected.argmax(dim=1)).sum().item()
    # Only a pixel at which two classes are that close may change sides.
    top = expected.topk(2, dim=1).values
    assert differing <= ((top[:, 0] - top[:, 1]) < 2 * TOLERANCE).sum().item()


@pytest.mark.parametrize("net_id", ["network_def", "network"])
def test_the_network_takes_and_gives_what_the_metadata_say(net_id):
    verify_net_in_out(net_id, **FILES, bundle_root=str(BUNDLE_ROOT))


def test_other_metadata_would_be_found_out():
    with pytest.raises(ValueError, match="output channel number"):
        verify_net_in_out(
            "network_def", **FILES | {"_meta_#network_data_format#outputs#pred#num_channels": 2}, device="cpu"
        )


def test_the_torchscript_file_segments_as_the_network(torchscript, views, expected):
    network, metadata, files = load_net_with_metadata(torchscript, more_extra_files=["inference.json"])
    with torch.no_grad():
        assert_same_segmentation(network(views), expected)
    assert metadata["name"] == json.loads((CONFIGS / "metadata.json").read_text(encoding="utf-8"))["name"]
    config = json.loads(files["inference.json"])
    assert config == json.loads((CONFIGS / "inference.json").read_text(encoding="utf-8"))


def test_the_torchscript_file_takes_other_sizes_and_batches(torchscript, shipped):
    network = torch.jit.load(str(torchscript))
    images = torch.rand(3, 3, 96, 160, generator=torch.Generator().manual_seed(0)) * 2 - 1
    with torch.no_grad():
        torch.testing.assert_close(network(images), shipped(images), rtol=0, atol=TOLERANCE)


def test_the_torchscript_file_and_the_config_s_parts_draw_the_same_masks(torchscript, shipped, tmp_path):
    """A crop and a whole photograph, from the file to the mask: what another program does with an exported network."""
    Image.fromarray(make_crop(81, size=200).image).save(tmp_path / "crop.png")
    Image.fromarray(make_photograph(82, size=(480, 360)).image).save(tmp_path / "photograph.png")
    parser = ConfigParser()
    parser.read_config(FILES["config_file"])
    parser["bundle_root"] = str(BUNDLE_ROOT)
    names = ("preprocessing", "inferer", "postprocessing")
    preprocessing, inferer, postprocessing = (parser.get_parsed_content(name) for name in names)
    for name in ("crop", "photograph"):
        view = preprocessing({"image": str(tmp_path / f"{name}.png")})
        masks = []
        for network in (shipped, torch.jit.load(str(torchscript))):
            with torch.no_grad():
                logits = inferer(view["image"][None], network)[0]
            masks.append(postprocessing({**view, "pred": logits})["pred"])
        assert masks[0].max() == 2
        assert masks[0].shape == (1, *view["photograph"].shape[1:])
        assert torch.equal(*masks)


def test_the_onnx_file_segments_as_the_network(tmp_path, views, expected):
    onnxruntime = pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    path = str(tmp_path / "model.onnx")
    onnx_export("network_def", filepath=path, ckpt_file=WEIGHTS, **FILES, bundle_root=str(BUNDLE_ROOT))
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    (given,), (taken,) = session.get_outputs(), session.get_inputs()
    assert taken.shape == [1, 3, SIZE, SIZE]
    assert given.shape == [1, 3, SIZE, SIZE]
    logits = [session.run(None, {taken.name: view[None].numpy()})[0] for view in views]
    assert_same_segmentation(torch.from_numpy(np.concatenate(logits)), expected)


@pytest.mark.parametrize("kind", ["train", "inference"])
def test_monai_loads_the_bundle_from_another_folder(kind, tmp_path, monkeypatch, views, expected):
    monkeypatch.chdir(tmp_path)
    bundle_dir = tmp_path / "zoo"
    for folder in ("configs", "models"):
        shutil.copytree(BUNDLE_ROOT / folder, bundle_dir / "optic_disc_cup_segmentation" / folder)
    before = logging.getLogger().handlers[:]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        network: Any = load("optic_disc_cup_segmentation", bundle_dir=str(bundle_dir), workflow_type=kind, device="cpu")
    logging.getLogger().handlers[:] = before
    with torch.no_grad():
        torch.testing.assert_close(network.eval()(views), expected, rtol=0, atol=TOLERANCE)
