"""How much smaller an adapted model's uncertainty is for having been taught by its own answers."""

from __future__ import annotations

import json
import logging
import math
from pathlib import Path
from typing import Any

import ignite.distributed as idist

from bundle._root import BUNDLE_ROOT
from bundle.errors import one_line
from bundle.io.provenance import model_identity
from bundle.networks.notes import notes_of

__all__ = ["NOT_ADAPTED", "SCALE_NOTE", "scale_of_change", "uncertainty_scale"]

logger = logging.getLogger(__name__)

SMALLEST_SCALE = 0.1
"""A model that is ten times surer of itself has collapsed rather than learned."""
SCALE_NOTE = "uncertainty_scale"
"""The note (``bundle.networks.notes``) of a file of weights that holds its scale."""
NOT_ADAPTED = {SCALE_NOTE: 1.0}
"""The notes of weights that were taught by labels alone."""
_SHIPPED = BUNDLE_ROOT / "models" / "model.pt"


def scale_of_change(before: float, after: float, source: float = 1.0) -> float:
    """``uncertainty_scale`` of weights with which the median uncertainty fell from ``before`` to ``after``.

    Args:
        before: the source's median uncertainty, not divided by any scale.
        after: that of the adapted weights.
        source: the source's own scale, which is below 1 where it was adapted before.

    Example:
        >>> scale_of_change(0.06, 0.03), scale_of_change(0.06, 0.03, source=0.5), scale_of_change(0.06, 0.09)
        (0.5, 0.25, 1.0)
    """
    change = after / before if before > 0 else 1.0
    return _within(source * min(change, 1.0)) if math.isfinite(change) else _within(source)


def uncertainty_scale(checkpoint: str | Path) -> float:
    """How much smaller a model's uncertainty is for having been taught by its own answers.

    Who learns from their own answers grows surer of them, right or wrong: by about the same factor on all photographs,
    so that their order stays, but not what a threshold means. The factor is that of the median over the photographs
    that were adapted to, known without labels. The file of the weights holds it; of weights that version 0.1.0 adapted,
    ``adaptation.json`` beside them does. A model that adapting made less sure of itself is taken at its word.

    Args:
        checkpoint: file of the weights.

    Returns:
        In [0.1, 1]; 1 for weights that no adaptation wrote. It is 1 too where nothing says what it is, and a warning
        says what that means; not so for the shipped weights, nor where there is no such file.
    """
    path = Path(checkpoint)
    scale = _number(notes_of(path).get(SCALE_NOTE))
    if scale is None:
        scale = _recorded(path)
    if scale is None and idist.get_rank() == 0 and path.is_file() and not _is_shipped(path):
        logger.warning(
            "%s does not say how far adapting made it surer of itself, nor is its adaptation.json beside it: if it was "
            "adapted, its uncertainties come out too low and too few photographs are marked for review",
            one_line(str(path)),
        )
    return 1.0 if scale is None else _within(scale)


def _recorded(path: Path) -> float | None:
    """What ``adaptation.json`` beside the weights says, if it is theirs."""
    try:
        content = json.loads((path.parent / "adaptation.json").read_text(encoding="utf-8"))
        # By the hash alone: a file may be renamed.
        same = content["model"].rpartition("(")[2] == model_identity(path).rpartition("(")[2]
        return _number(float(content["uncertainty_scale"])) if same else None
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def _is_shipped(path: Path) -> bool:
    return _SHIPPED.is_file() and path.read_bytes() == _SHIPPED.read_bytes()


def _number(value: Any) -> float | None:
    is_number = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    return float(value) if is_number else None


def _within(scale: float) -> float:
    return min(max(scale, SMALLEST_SCALE), 1.0)
