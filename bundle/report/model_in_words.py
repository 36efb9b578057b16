"""Which model drew the contours, in words for the page."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bundle._root import BUNDLE_ROOT
from bundle.io.provenance import model_identity
from bundle.networks.notes import notes_of

__all__ = ["model_in_words"]


def model_in_words(checkpoint: str | Path) -> str:
    """Whether a model is the shipped one, an adapted one, or one of the user's own; its file and its hash.

    Args:
        checkpoint: file of its weights. What is said of an adaptation comes from ``adaptation.json`` beside it, where
            that is about these weights.

    Example:
        >>> from bundle.stages import BUNDLE_ROOT
        >>> model_in_words(BUNDLE_ROOT / "models" / "model.pt").startswith("the shipped model, model.pt (sha256 ")
        True
    """
    path = Path(checkpoint)
    identity, record = model_identity(path), _record(path)
    digest = identity.rpartition("(")[2]
    if record is not None and str(record.get("model")).rpartition("(")[2] == digest:
        return f"{_adapted(record)}, {identity}"
    shipped = BUNDLE_ROOT / "models" / "model.pt"
    if shipped.is_file() and model_identity(shipped).rpartition("(")[2] == digest:
        return f"the shipped model, {identity}"
    adapted = notes_of(path).get("uncertainty_scale", 1.0) != 1.0
    return f"{'an adapted model' if adapted else 'a model of your own'}, {identity}"


def _record(path: Path) -> dict[str, Any] | None:
    try:
        record = json.loads((path.parent / "adaptation.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return record if isinstance(record, dict) else None


def _adapted(record: Mapping[str, Any]) -> str:
    """What an adaptation has come to, with the predicted Dice before and after."""
    try:
        before, after = (record[when]["predicted_dice"] for when in ("before", "after"))
        dice = "; ".join(
            f"{name} {before[key]:.3f} before, {after[key]:.3f} after"
            for name, key in (("disc", "optic_disc"), ("cup", "optic_cup"))
        )
        count = record["after"]["photographs"]
    except (KeyError, TypeError, ValueError):
        return "an adapted model"
    if record.get("kept") == "source":
        return (
            f"the model from before adapting, kept because adapting was predicted to harm ({record.get('reason')}; "
            f"predicted Dice: {dice})"
        )
    corrected = len(record.get("few_labels") or [])
    labels = (
        f"with {corrected} corrected photographs{_drawn_by(record.get('readers'))}" if corrected else "without labels"
    )
    return f"adapted {labels} to {count} photographs by {record['recipe']} (predicted Dice: {dice})"


def _drawn_by(readers: Any) -> str:
    """Whose cup the model draws: that of one reader, or the mean of several."""
    if not isinstance(readers, list) or not readers:
        return ""
    names = [str(reader) for reader in readers]
    return (
        f" as {names[0]} draws" if len(names) == 1 else f" as {', '.join(names[:-1])} and {names[-1]} draw on average"
    )
