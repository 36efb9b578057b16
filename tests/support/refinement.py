"""What stage 1 makes of a few photographs, and the files that it leaves."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from bundle.networks.unet import DiscCupUNet
from bundle.refinement.class_features import GradientFeatures, heat_maps
from bundle.uncertainty.agreement import agreement
from bundle.uncertainty.dropout_passes import channel_masks, stochastic_log_odds, stochastic_logits

WIDTH, HEIGHT, COUNT, PASSES = 64, 32, 5, 4
THRESHOLDS = {"label_threshold": 0.6, "uncertainty_threshold": 0.12}
KEYS = ("label", "mask", "probability", "uncertainty")


def arrays(folder: Path, name: str) -> dict[str, np.ndarray]:
    """A photograph's pseudo-label file."""
    with np.load(folder / "pseudo_labels" / f"{name}.npz") as found:
        return {key: found[key] for key in found.files}


def assert_same_files(one: Path, other: Path) -> None:
    """Two output folders hold the same pseudo-labels and table, to the last bit."""
    names = sorted(path.name for path in (one / "pseudo_labels").iterdir())
    assert names == sorted(path.name for path in (other / "pseudo_labels").iterdir())
    for name in names:
        a, b = arrays(one, name[:-4]), arrays(other, name[:-4])
        assert a.keys() == b.keys()
        for key in a:
            assert a[key].dtype == b[key].dtype
            assert a[key].tobytes() == b[key].tobytes(), (name, key)
    assert (one / "refinement.csv").read_bytes() == (other / "refinement.csv").read_bytes()


def expected_arrays(network: DiscCupUNet, image: torch.Tensor, name: str) -> dict[str, torch.Tensor]:
    """Stage 1 of one photograph up to the prototypes, 2 x W x H each."""
    with torch.no_grad():
        f = network.features(image[None])
        dropout = channel_masks([name], PASSES, 8, 0.25, seed=3)
        logits = stochastic_logits(network.segmentation_head, f, dropout)
    z = stochastic_log_odds(logits)[0].numpy().astype(np.float64)
    p = 1 / (1 + np.exp(-z))
    tempered = 1 / (1 + np.exp(-z / 2))
    mean = p.mean(axis=0)
    spread = np.sqrt(((tempered - tempered.mean(axis=0)) ** 2).sum(axis=0) / (PASSES - 1))
    label = torch.from_numpy(mean > THRESHOLDS["label_threshold"])
    found = GradientFeatures()(network, image[None], f, logits, dropout, label[None])
    return {
        "label": label,
        "probability": torch.from_numpy(mean),
        "uncertainty": torch.from_numpy(spread),
        "features": found.features[0].detach(),
        "heat": heat_maps(found.weights, f)[0].detach(),
        "agreement": agreement(torch.from_numpy(z)[None])[0],
    }
