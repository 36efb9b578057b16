"""How much smaller an adapted model's uncertainty is for having been taught by its own answers."""

from __future__ import annotations

import json
import math
from pathlib import Path

from bundle.io.provenance import model_identity

__all__ = ["scale_of_change", "uncertainty_scale"]

SMALLEST_SCALE = 0.1
"""A model that is ten times surer of itself has collapsed rather than learned."""


def scale_of_change(before: float, after: float) -> float:
    """``uncertainty_scale`` of weights with which the median uncertainty fell from ``before`` to ``after``."""
    scale = after / before if before > 0 else 1.0
    return min(max(scale, SMALLEST_SCALE), 1.0) if math.isfinite(scale) else 1.0


def uncertainty_scale(checkpoint: str | Path) -> float:
    """How much smaller a model's uncertainty is for having been taught by its own answers.

    Who learns from their own answers grows surer of them, right or wrong: by about the same factor on all photographs,
    so that their order stays, but not what a threshold means. The factor is that of the median over the photographs
    that were adapted to, known without labels, and ``adaptation.json`` beside the weights holds it. A model that
    adapting made less sure of itself is taken at its word.

    Args:
        checkpoint: file of the weights.

    Returns:
        In [0.1, 1]; 1 for weights that no adaptation wrote, or without its ``adaptation.json`` beside them.
    """
    path = Path(checkpoint)
    try:
        content = json.loads((path.parent / "adaptation.json").read_text(encoding="utf-8"))
        # By the hash alone: a file may be renamed.
        same = content["model"].rpartition("(")[2] == model_identity(path).rpartition("(")[2]
        scale = float(content["uncertainty_scale"])
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return 1.0
    return min(max(scale, SMALLEST_SCALE), 1.0) if same and math.isfinite(scale) else 1.0
