"""A few photographs, and stage 1 on them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.utils.data import DataLoader

from bundle.networks.unet import DiscCupUNet
from bundle.refinement.class_features import GradientFeatures
from bundle.refinement.evaluator import RefinementEvaluator
from bundle.refinement.labeller import PseudoLabeller
from bundle.refinement.pseudo_labels import PseudoLabelStore
from tests.support.refinement import COUNT, HEIGHT, PASSES, THRESHOLDS, WIDTH


@pytest.fixture
def items(make_images: Callable[..., torch.Tensor]) -> list[dict]:
    """Five photographs, in memory."""
    return [{"name": f"p{i}", "image": image} for i, image in enumerate(make_images(COUNT, WIDTH, HEIGHT))]


@pytest.fixture
def refine(network: DiscCupUNet, make_loader: Callable[..., DataLoader]) -> Callable[..., PseudoLabelStore]:
    """``refine(folder, items)`` runs stage 1 on the pending items and returns the store."""

    def run(
        folder: Path,
        items: list,
        batch_size: int = 1,
        fingerprint: str = "f",
        finish: bool = True,
        layer: str = "head",
        **settings: Any,
    ) -> PseudoLabelStore:
        store = PseudoLabelStore(folder, fingerprint)
        pending = [items[i] for i in store.pending(items)] if all(isinstance(item, dict) for item in items) else items
        arguments = {"passes": PASSES, "seed": 3, **THRESHOLDS, **settings}
        if pending:
            evaluator = RefinementEvaluator(
                store,
                PseudoLabeller(GradientFeatures(layer), **arguments),
                device="cpu",
                val_data_loader=make_loader(pending, batch_size),
                network=network,
            )
            evaluator.run()
        if finish:
            store.finish()
        return store

    return run
