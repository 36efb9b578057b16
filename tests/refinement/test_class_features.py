"""The closed-form gradient is the automatic one, and the features follow their formula, also by a slow loop."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from bundle.refinement.class_features import (
    ClassFeatures,
    GradientFeatures,
    autograd_gradient,
    head_gradient,
    heat_maps,
)
from bundle.uncertainty.dropout_passes import channel_masks, stochastic_log_odds, stochastic_logits

PASSES = 3


@pytest.fixture
def scene(network, make_images):
    """Images, F, stochastic logits, dropout masks, and pixels of disc and cup; the second cup is empty."""
    images = make_images(2, 64, 32)
    features = network.features(images).detach()
    dropout = channel_masks(["a", "b"], PASSES, 8, 0.4)
    logits = stochastic_logits(network.segmentation_head, features, dropout).detach()
    masks = torch.rand(2, 2, 64, 32, generator=torch.Generator().manual_seed(7)) > 0.7
    masks[1, 1] = False
    return {"images": images, "features": features, "logits": logits, "dropout": dropout, "masks": masks}


def pass_gradient(network, scene, t: int, c: int) -> torch.Tensor:
    """dS_t^c / dF of each photograph, by its definition, in double precision."""
    f = scene["features"].double().requires_grad_()
    masked = f * scene["dropout"][:, t, :, None, None]
    classifier = network.segmentation_head[-1]
    logits = torch.einsum("jk,bkxy->bjxy", classifier.weight[:, :, 0, 0].double(), masked)
    p = (logits + classifier.bias.double()[:, None, None]).softmax(dim=1)
    inside, outside = (p[:, 1] + p[:, 2], p[:, 0]) if c == 0 else (p[:, 2], p[:, 0] + p[:, 1])
    z = inside.log() - outside.log()
    total = torch.zeros((), dtype=torch.float64)
    for i in range(len(f)):
        m = scene["masks"][i, c].double()
        m = m if m.any() else torch.ones_like(m)
        total = total + (m * z[i]).sum() / m.sum()
    return torch.autograd.grad(total, f)[0].float()


def relative_error(found: torch.Tensor, expected: torch.Tensor) -> float:
    return ((found - expected).abs().max() / expected.abs().max()).item()


def test_closed_form_is_the_gradient_of_the_class_score(network, scene):
    found = head_gradient(network.segmentation_head, scene["logits"], scene["dropout"], scene["masks"])
    assert found.shape == (2, PASSES, 2, 8)
    for t in range(PASSES):
        for c in range(2):
            expected = pass_gradient(network, scene, t, c).sum(dim=(2, 3))
            assert relative_error(found[:, t, c], expected) < 1e-5


def test_closed_form_equals_automatic_differentiation(network, scene):
    arguments = (scene["logits"], scene["dropout"], scene["masks"])
    features, expected = autograd_gradient(network, scene["images"], scene["dropout"], scene["masks"])
    torch.testing.assert_close(features, scene["features"])
    assert expected.shape == (2, 2, 8, 64, 32)
    sums = head_gradient(network.segmentation_head, *arguments).mean(dim=1)
    pixels = head_gradient(network.segmentation_head, *arguments, pixels=True)
    for c in range(2):
        assert relative_error(sums[:, c], expected[:, c].sum(dim=(3, 2))) < 1e-5
        assert relative_error(pixels[:, c], expected[:, c]) < 1e-5


def test_a_class_without_pixels_is_scored_on_all(network, scene):
    everywhere = scene["masks"].clone()
    everywhere[1, 1] = True
    one, other = (
        head_gradient(network.segmentation_head, scene["logits"], scene["dropout"], m)
        for m in (scene["masks"], everywhere)
    )
    assert torch.equal(one, other)
    assert one.isfinite().all()


def test_the_gradient_counts_only_the_class_s_own_pixels(network, scene):
    outside = scene["logits"].clone()
    outside[0, :, :, ~scene["masks"][0, 0]] += 5
    arguments = (scene["dropout"], scene["masks"])
    one, other = (head_gradient(network.segmentation_head, z, *arguments)[0] for z in (scene["logits"], outside))
    torch.testing.assert_close(one[:, 0], other[:, 0])


def test_features_and_weights_follow_the_formula(network, scene):
    found = GradientFeatures()(network, **scene)
    assert found.weights.shape == (2, PASSES, 2, 8)
    assert found.features.shape == (2, 2, 8, 64, 32)
    torch.testing.assert_close(found.weights.norm(dim=-1), torch.full((2, PASSES, 2), 8**0.5))
    assert (found.features >= 0).all()
    for c in range(2):
        gradients = torch.stack([pass_gradient(network, scene, t, c).sum(dim=(2, 3)) for t in range(PASSES)], dim=1)
        for i in range(2):
            units = [g / g.norm() for g in gradients[i]]
            torch.testing.assert_close(found.weights[i, :, c], torch.stack(units) * 8**0.5, rtol=1e-4, atol=1e-5)
            mean = sum(units)
            alpha = mean / mean.norm() * 8**0.5
            for k in range(8):
                expected = (alpha[k] * scene["features"][i, k]).clamp(min=0)
                torch.testing.assert_close(found.features[i, c, k], expected, rtol=1e-4, atol=1e-5)


def test_hires_weighs_every_pixel_by_its_own_gradient(network, scene):
    found = GradientFeatures(mode="hires")(network, **scene)
    for c in range(2):
        gradient = sum(pass_gradient(network, scene, t, c) for t in range(PASSES)) / PASSES
        expected = (gradient * scene["features"]).clamp(min=0)
        assert relative_error(found.features[:, c], expected) < 1e-5


def test_plain_features_are_f_for_both_classes(network, scene):
    scene["features"] = scene["features"] - scene["features"].mean()
    found = GradientFeatures(mode="plain")(network, **scene)
    assert (scene["features"] < 0).any()
    assert found.features.shape == (2, 2, 8, 64, 32)
    for c in range(2):
        assert torch.equal(found.features[:, c], scene["features"])
    assert torch.equal(found.weights, torch.ones(2, PASSES, 2, 8))


def test_plain_features_of_a_named_layer_are_its_output_at_the_image_s_size(network, scene):
    with torch.no_grad():
        output = network.encoder(scene["images"])[1]
    found = GradientFeatures(layer="encoder._blocks.1", mode="plain")(network, **scene)
    size = scene["images"].shape[2:]
    expected = torch.nn.functional.interpolate(output, size, mode="bilinear")
    assert found.features.shape == (2, 2, output.shape[1], *size)
    for c in range(2):
        torch.testing.assert_close(found.features[:, c], expected)
    assert torch.equal(found.weights, torch.ones(2, 1, 2, output.shape[1]))


@pytest.mark.parametrize("mode", ["cam", "hires"])
@pytest.mark.parametrize("layer", ["decoder.blocks.2", "decoder.blocks.1.convs.conv_1.adn.N", "encoder._blocks.1"])
def test_a_named_layer_gives_features_of_the_image_s_size(network, scene, mode, layer):
    found = GradientFeatures(layer=layer, mode=mode)(network, **scene)
    channels = found.weights.shape[-1]
    assert found.features.shape == (2, 2, channels, 64, 32)
    assert (found.features >= 0).all()
    assert found.features.isfinite().all()
    assert (found.features[:, 0].amax(dim=(1, 2, 3)) > 0).all()
    torch.testing.assert_close(found.weights.norm(dim=-1), torch.full((2, 1, 2), channels**0.5))


def test_the_gradient_at_a_named_layer_is_that_of_the_score(network, scene):
    layer = "decoder.blocks.2"
    network.double()
    scene |= {"images": scene["images"].double(), "dropout": scene["dropout"].double()}
    f, found = autograd_gradient(network, scene["images"], scene["dropout"], scene["masks"], layer)

    def score(change: torch.Tensor, c: int) -> float:
        handle = network.get_submodule(layer).register_forward_hook(lambda _, __, output: output + change)
        with torch.no_grad():
            features = network.features(scene["images"])
        handle.remove()
        z = stochastic_log_odds(stochastic_logits(network.segmentation_head, features, scene["dropout"])).mean(dim=1)
        m = scene["masks"][0, c].float()
        return ((m * z[0, c]).sum() / m.sum()).item()

    direction = torch.randn(f.shape, generator=torch.Generator().manual_seed(0)).to(f) * 1e-6
    direction[1:] = 0
    for c in range(2):
        slope = (score(direction, c) - score(-direction, c)) / 2
        assert (found[:, c] * direction).sum().item() == pytest.approx(slope, rel=1e-3)


def test_autograd_leaves_no_hook_and_no_gradient_behind(network, scene):
    autograd_gradient(network, scene["images"], scene["dropout"], scene["masks"], "decoder.blocks.2")
    assert not network.get_submodule("decoder.blocks.2")._forward_hooks
    assert all(p.grad is None for p in network.parameters())


def test_unknown_layer_and_mode_are_refused(network, scene):
    with pytest.raises(ValueError, match="no_such_layer"):
        GradientFeatures(layer="no_such_layer")(network, **scene)
    with pytest.raises(ValueError, match="mode must be one of"):
        GradientFeatures(mode="grad")


def test_heat_maps_are_scaled_sums_of_what_speaks_for_the_class():
    generator = torch.Generator().manual_seed(0)
    weights = torch.randn(2, 3, 2, 5, generator=generator)
    features = torch.rand(2, 5, 6, 4, generator=generator)
    weights[0, 0, 0] = -1
    found = heat_maps(weights, features)
    assert found.shape == (2, 3, 2, 6, 4)
    assert (found[0, 0, 0] == 0).all()
    for b, t, c in [(0, 1, 0), (1, 0, 1), (1, 2, 0)]:
        raw = torch.stack([weights[b, t, c, k] * features[b, k] for k in range(5)]).sum(dim=0).clamp(min=0)
        torch.testing.assert_close(found[b, t, c], (raw - raw.min()) / (raw.max() - raw.min()))
    assert ((found >= 0) & (found <= 1)).all()


def test_class_features_are_a_record():
    one: Any = ClassFeatures(torch.zeros(1), torch.ones(1))
    with pytest.raises(AttributeError):
        one.weights = torch.ones(1)
