"""The layout of the JSON configs.

A component or list is on one line if it fits into 120 characters; otherwise each of its arguments has a line. A table
of plain settings, such as a recipe, and a list of short entries are wrapped like text.
"""

from __future__ import annotations

import json
from typing import Any

__all__ = ["laid_out"]

WIDTH = 120
SHORT = 40
"""In a list with an entry longer than this, each entry has a line."""


def laid_out(value: Any, indent: int = 0, before: int = 0) -> str:
    """Format ``value`` as JSON text.

    Args:
        value: anything that JSON can hold.
        indent: indentation, in spaces, of the line on which it starts; 0 is a whole file, in which each key has a line.
        before: number of characters that precede it on that line, without the indentation.

    Returns:
        The text, without a line end.

    Example:
        >>> print(laid_out({"a": [1, 2], "b": {"c": {}}}))
        {
          "a": [1, 2],
          "b": {"c": {}}
        }
    """
    line = json.dumps(value, ensure_ascii=False)
    comma = 1
    if (indent and indent + before + len(line) + comma <= WIDTH) or not isinstance(value, dict | list) or not value:
        return line
    named = list(value.items()) if isinstance(value, dict) else [(None, part) for part in value]
    keys = ["" if name is None else f"{json.dumps(name, ensure_ascii=False)}: " for name, _ in named]
    parts = [key + laid_out(part, indent + 2, len(key)) for key, (_, part) in zip(keys, named, strict=True)]
    opening, closing = "{}" if isinstance(value, dict) else "[]"
    flat = not any("\n" in part for part in parts)
    plain = "_target_" not in value if isinstance(value, dict) else max(map(len, parts)) <= SHORT
    lines = _filled(parts, indent + 2) if indent and flat and plain else [f"{part}," for part in parts]
    inner = "\n".join(" " * (indent + 2) + each for each in lines)
    return f"{opening}\n{inner.removesuffix(',')}\n{' ' * indent}{closing}"


def _filled(parts: list[str], indent: int) -> list[str]:
    """Fill lines with ``parts``, each followed by a comma."""
    lines = [""]
    for part in parts:
        longer = f"{lines[-1]} {part},".lstrip()
        if lines[-1] and indent + len(longer) > WIDTH:
            lines.append(f"{part},")
        else:
            lines[-1] = longer
    return lines
