"""The keys that each stage takes."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

__all__ = ["nearest"]


def nearest(name: str, known: Iterable[str]) -> str:
    """What to add to a message about an unknown ``name``: the known one that is most like it; empty if none is.

    Example:
        >>> nearest("chekpoint", ["checkpoint", "seed"])
        ' (did you mean checkpoint?)'
        >>> nearest("abc", ["checkpoint", "seed"])
        ''
    """
    found = difflib.get_close_matches(name, list(known), n=1)
    return f" (did you mean {found[0]}?)" if found else ""
