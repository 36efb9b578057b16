"""Notes that a weights file carries in addition to the weights."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

__all__ = ["notes_of", "with_notes"]

_KEY = "fundus_bundle"
"""Key of the notes in the metadata that PyTorch keeps for the root module."""


def with_notes(state: Mapping[str, torch.Tensor], notes: Mapping[str, float]) -> OrderedDict[str, torch.Tensor]:
    """A copy of a state dict that carries notes and otherwise behaves like any other state dict.

    The notes are kept in ``_metadata``, where PyTorch keeps the version of each module: ``torch.save`` writes it,
    ``torch.load(weights_only=True)`` reads it, and ``load_state_dict`` ignores the entries that it does not know.

    Args:
        state: the weights, by name.
        notes: numbers by name, such as ``uncertainty_scale``.

    Returns:
        The same tensors with the notes; ``notes_of`` reads the notes back from a file.

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
    """Read the notes from a weights file.

    Args:
        path: file with a state dict, or with a dict whose entry ``model`` is one.

    Returns:
        The notes; an empty dict if the file has none, cannot be read, or does not exist.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = Path(folder) / "model.pt"
        ...     torch.save(with_notes(torch.nn.Linear(1, 1).state_dict(), {"uncertainty_scale": 0.5}), path)
        ...     notes_of(path)
        {'uncertainty_scale': 0.5}
    """
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception:
        # ``load_weights`` reports what is wrong with the file.
        return {}
    for holder in (state, state.get("model") if isinstance(state, dict) else None):
        metadata = getattr(holder, "_metadata", None)
        root = metadata.get("") if isinstance(metadata, Mapping) else None
        notes = root.get(_KEY) if isinstance(root, Mapping) else None
        if isinstance(notes, Mapping):
            return dict(notes)
    return {}
