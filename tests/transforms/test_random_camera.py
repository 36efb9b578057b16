"""Augmentation as stranger cameras would change a photograph."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from monai.data import MetaTensor

from bundle.transforms.random_camera import RandColourMixd, RandJpegd, RandReflectionsd, RandVignetted

ALL = [RandColourMixd, RandJpegd, RandReflectionsd, RandVignetted]


def image():
    grid = torch.linspace(20, 200, 48)
    return torch.stack((grid[:, None].expand(48, 48), grid[None].expand(48, 48), torch.full((48, 48), 60.0)))


def apply(transform: Any, pixels: torch.Tensor, seed: int) -> torch.Tensor:
    transform.set_random_state(seed)
    return transform({"image": pixels})["image"]


@pytest.mark.parametrize("kind", ALL)
def test_only_the_image_changes_within_its_range_and_with_its_seed(kind):
    item = {"image": MetaTensor(image(), meta={"name": "eye"}), "label": image()}
    transform = kind("image", prob=1.0)
    found = []
    for seed in (0, 0, 1):
        transform.set_random_state(seed)
        found.append(transform(item))
    assert torch.equal(found[0]["image"], found[1]["image"])
    assert not torch.equal(found[0]["image"], found[2]["image"])
    assert torch.equal(found[0]["label"], image())
    assert torch.equal(item["image"].as_tensor(), image())
    assert found[0]["image"].meta["name"] == "eye"
    assert found[0]["image"].min() >= 0
    assert found[0]["image"].max() <= 255


@pytest.mark.parametrize("kind", ALL)
def test_none_is_changed_with_probability_zero(kind):
    item = {"image": image()}
    assert all(torch.equal(kind("image", prob=0.0)(item)["image"], image()) for _ in range(5))


def test_colours_are_mixed_towards_grey_and_light_is_kept():
    spreads = []
    for seed in range(20):
        mixed = apply(RandColourMixd("image", 1.0, 1.0), image(), seed)
        spreads.append(float(mixed.std(dim=0).mean()))
        assert mixed.min() >= image().min() - 1e-3
        assert mixed.max() <= image().max() + 1e-3
    assert max(spreads) < float(image().std(dim=0).mean())
    assert min(spreads) < 0.5 * max(spreads)


def test_a_vignette_darkens_outwards_and_brightens_nothing():
    vignetted = RandVignetted("image", (0.5, 0.5), (0.2, 0.2), offset=0.0, prob=1.0)
    dark = vignetted({"image": torch.full((3, 64, 64), 200.0)})["image"]
    row = dark[0, 32]
    assert (dark <= 200).all()
    assert (row[32:].diff() <= 1e-3).all()
    assert row[32] > 1.9 * row[63]


def test_reflections_only_brighten_a_dark_picture():
    dark = torch.full((3, 64, 64), 30.0)
    lit = apply(RandReflectionsd("image", prob=1.0), dark, 2)
    assert (lit >= dark - 1e-3).all()
    assert lit.max() > 60


def test_a_lower_quality_loses_more():
    noise = torch.from_numpy(np.random.default_rng(0).uniform(0, 255, (3, 32, 32))).float()
    lost = [
        float((RandJpegd("image", (q, q), 1.0)({"image": noise})["image"] - noise).abs().mean()) for q in (10, 50, 95)
    ]
    assert lost[0] > lost[1] > lost[2] > 0
    # Neither turned nor mirrored.
    assert RandJpegd("image", (95, 95), 1.0)({"image": image()})["image"].sub(image()).abs().mean() < 4
