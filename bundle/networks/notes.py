"""What a file of weights says of itself, besides the weights."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

__all__ = ["notes_of", "with_notes"]

_KEY = "fundus_bundle"
"""In the metadata that PyTorch keeps of the root module."""


def with_notes(state: Mapping[str, torch.Tensor], notes: Mapping[str, float]) -> OrderedDict[str, torch.Tensor]:
    """A state dict that carries notes, and is otherwise as any other.

    They lie in ``_metadata``, where PyTorch keeps the version of each module: ``torch.save`` writes it,
    ``torch.load(weights_only=True)`` reads it, and ``load_state_dict`` passes over what it does not know there.

    Args:
        state: the weights, by name.
        notes: numbers by name, such as ``uncertainty_scale``.

    Example:
        >>> state = with_notes(torch.nn.Linear(1, 1).state_dict(), {"uncertainty_scale": 0.5})
        >>> torch.nn.Linear(1, 1).load_state_dict(state)
        <All keys matched successfully>
    """
    noted = OrderedDict(state)
    metadata = OrderedDict(getattr(state, "_metadata", {}))
    metadata[""] = {**metadata.get("", {}), _KEY: dict(notes)}
    noted._metadata = metadata  # type: ignore[attr-defined]
    return noted


def notes_of(path: str | Path) -> dict[str, Any]:
    """The notes in a file of weights; none where there are none, or no such file.

    Args:
        path: file with a state dict, or with a dict whose entry ``model`` is one.
    """
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception:
        # Who loads the weights says what is wrong with the file.
        return {}
    for holder in (state, state.get("model") if isinstance(state, dict) else None):
        metadata = getattr(holder, "_metadata", None)
        root = metadata.get("") if isinstance(metadata, Mapping) else None
        notes = root.get(_KEY) if isinstance(root, Mapping) else None
        if isinstance(notes, Mapping):
            return dict(notes)
    return {}
