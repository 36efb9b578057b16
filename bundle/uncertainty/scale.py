"""The factor by which adaptation lowers a model's uncertainty, because the model learns from its own predictions."""

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
"""Lower limit: a model whose uncertainty fell to less than a tenth has collapsed rather than learned."""
SCALE_NOTE = "uncertainty_scale"
"""The note (``bundle.networks.notes``) of a file of weights that holds its scale."""
NOT_ADAPTED = {SCALE_NOTE: 1.0}
"""The notes of weights that were trained on labels alone."""
_SHIPPED = BUNDLE_ROOT / "models" / "model.pt"


def scale_of_change(before: float, after: float, source: float = 1.0) -> float:
    """The ``uncertainty_scale`` of weights whose adaptation lowered the median uncertainty.

    Args:
        before: median uncertainty with the weights before adaptation, not divided by any scale.
        after: median uncertainty with the adapted weights, likewise.
        source: scale of the weights before adaptation; below 1 if they were themselves adapted.

    Returns:
        In [0.1, 1]; ``source`` if the uncertainty rose.

    Example:
        >>> scale_of_change(0.06, 0.03), scale_of_change(0.06, 0.03, source=0.5), scale_of_change(0.06, 0.09)
        (0.5, 0.25, 1.0)
    """
    change = after / before if before > 0 else 1.0
    return _within(source * min(change, 1.0)) if math.isfinite(change) else _within(source)


def uncertainty_scale(checkpoint: str | Path) -> float:
    """The factor by which adaptation lowered a model's uncertainty.

    A model that learns from its own predictions becomes more certain of them, whether they are right or wrong. Its
    uncertainty falls by about the same factor on all photographs: their order stays the same, but a fixed threshold no
    longer means the same. The scale is this factor for the median over the photographs of the adaptation; no labels are
    needed. It is stored as a note in the weights file. For weights that version 0.1.0 adapted, it is read from
    ``adaptation.json`` in the same folder. If adaptation raised the uncertainty, the scale does not exceed 1.

    Args:
        checkpoint: the weights file.

    Returns:
        In [0.1, 1]. It is 1 for weights that no adaptation wrote, and also if neither file states a scale. In the
        second case a warning is logged, unless the weights are the shipped ones or the file does not exist.

    Example:
        >>> import tempfile
        >>> import torch
        >>> from bundle.networks.weights import save_weights
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = Path(folder) / "model.pt"
        ...     save_weights(torch.nn.Linear(1, 1), path, {SCALE_NOTE: 0.6})
        ...     uncertainty_scale(path)
        0.6
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
    """The scale in ``adaptation.json`` in the folder of the weights; None if that file describes other weights."""
    try:
        content = json.loads((path.parent / "adaptation.json").read_text(encoding="utf-8"))
        # Only the hashes are compared, because a weights file may be renamed.
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
