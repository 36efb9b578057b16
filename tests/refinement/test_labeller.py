"""What stage 1 finds in a batch, and which settings are refused."""

from __future__ import annotations

import pytest
import torch

from bundle.refinement.class_features import GradientFeatures
from bundle.refinement.labeller import PseudoLabeller


@pytest.mark.parametrize(
    ("layer", "settings", "words"),
    [
        ("head", {"uncertainty": "entropy"}, "uncertainty must be"),
        ("head", {"passes": 1}, "two passes"),
        ("decoder.blocks.1", {"uncertainty": "prob+cam"}, r"prob\+cam"),
    ],
)
def test_bad_arguments_are_refused(layer, settings, words):
    with pytest.raises(ValueError, match=words):
        PseudoLabeller(GradientFeatures(layer), **settings)


def test_thresholds_decide_what_is_labelled_and_what_is_trusted(network, make_images):
    images = make_images(2, 64, 32)
    with torch.no_grad():
        features = network.features(images)
        usual, strict = (
            PseudoLabeller(GradientFeatures(), passes=4, label_threshold=label, uncertainty_threshold=uncertainty)(
                network, images, features, ["a", "b"]
            )
            for label, uncertainty in ((0.5, 0.1), (0.9, 0.01))
        )
    torch.testing.assert_close(usual.probability, strict.probability)
    assert torch.equal(usual.label, usual.probability > 0.5)
    assert torch.equal(strict.label, strict.probability > 0.9)
    assert torch.equal(usual.reliable, usual.uncertainty < 0.1)
    assert strict.reliable.sum() < usual.reliable.sum()
    assert usual.features.dtype == torch.float16
    assert usual.features.shape[:2] == usual.label.shape[:2] == (2, 2)


def test_a_photographs_own_name_decides_its_passes(network, make_images):
    images = make_images(1, 64, 32)
    with torch.no_grad():
        features = network.features(images)
        label = PseudoLabeller(GradientFeatures(), passes=4)
        one, again, other = (label(network, images, features, [name]).uncertainty for name in ("a", "a", "b"))
    assert torch.equal(one, again)
    assert not torch.equal(one, other)
