"""Augmentation belongs to the photograph and the epoch."""

from __future__ import annotations

import torch
from monai.transforms import RandScaleIntensityd

from bundle.transforms.seeded import SeededCompose


def test_augmentation_is_drawn_for_each_photograph():
    """Neither order nor what else was drawn changes it; the seed of the epoch does."""
    random = RandScaleIntensityd("image", factors=0.5, prob=1.0)
    transform = SeededCompose([random])

    def values(names: str, seed: int) -> dict[str, float]:
        transform.set_random_state(seed)
        return {name: float(transform({"image": torch.ones(1, 2, 2), "name": name})["image"].mean()) for name in names}

    first = values("abc", 1)
    assert len(set(first.values())) == 3
    assert values("cba", 1) == first
    assert values("b", 1)["b"] == first["b"]
    assert values("abc", 2)["a"] != first["a"]
    # A cache asks for the part before the random transforms, and may do so at any time.
    transform.set_random_state(1)
    transform({"image": torch.ones(1, 2, 2), "name": "a"}, end=0)
    assert float(transform({"image": torch.ones(1, 2, 2), "name": "c"}, start=0)["image"].mean()) == first["c"]
