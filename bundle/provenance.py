"""Fingerprints: whether what lies on disk was made from the same things as what is asked for now."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bundle.datasets import item_name

__all__ = ["fingerprint", "model_identity"]


def fingerprint(checkpoint: str | Path, items: Sequence[dict[str, Any]], *settings: Any) -> str:
    """A hash of the weights' bytes, of the photographs (name, size, time of change) and of the settings.

    Args:
        checkpoint: file of the weights; a file that is not there counts as empty.
        items: photographs with ``image`` (a path) and, mostly, ``name``. Nothing else of an item is looked at, labels
            least of all.
        settings: whatever else the result depends on; must go into JSON.

    Returns:
        32 hexadecimal digits.
    """
    digest = hashlib.sha256()
    path = Path(checkpoint)
    digest.update(path.read_bytes() if path.is_file() else b"")
    for item in sorted(items, key=item_name):
        image = Path(item["image"])
        stat = image.stat() if image.exists() else None
        what = [item_name(item), stat and stat.st_size, stat and stat.st_mtime_ns]
        digest.update(json.dumps(what).encode())
    digest.update(json.dumps(settings, sort_keys=True).encode())
    return digest.hexdigest()[:32]


def model_identity(checkpoint: str | Path) -> str:
    """The weights' file name and the beginning of its SHA-256, for reports."""
    path = Path(checkpoint)
    return f"{path.name} (sha256 {hashlib.sha256(path.read_bytes()).hexdigest()[:12]})"
