"""The names under which the results of photographs are written."""

from __future__ import annotations

import hashlib
import os
import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from bundle.data.formats import PHOTOGRAPH_SUFFIXES
from bundle.errors import CallError

__all__ = ["split_suffix", "text_digest", "unique_names", "with_names"]

_MAX_NAME_BYTES = 150
_UNUSUAL = frozenset("\"'`/\\:*?<>|")


def split_suffix(relative: str) -> tuple[str, str]:
    """A relative path without the suffix that makes it a photograph, and that suffix, fit to be part of a name."""
    suffix = next((suffix for suffix in PHOTOGRAPH_SUFFIXES if relative.lower().endswith(suffix)), "")
    return (relative[: -len(suffix)], suffix[1:].replace(".", "_")) if suffix else (relative, "")


def unique_names(relatives: Sequence[str]) -> list[str]:
    """A name per relative path: its stem; where that is taken, more of the path, and a hash as the last resort."""
    levels = [0] * len(relatives)
    while True:
        names = [_name(relative, level) for relative, level in zip(relatives, levels, strict=True)]
        taken = Counter(_folded(name) for name in names)
        collided = [taken[_folded(name)] > 1 for name in names]
        if not any(collided):
            return names
        levels = [level + int(is_taken) for level, is_taken in zip(levels, collided, strict=True)]


def with_names(items: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The items, each with a name, though other programs may have made them and know only of ``image``.

    Args:
        items: photographs with ``image`` (a path) and perhaps ``name``, which stays.

    Returns:
        Copies in the same order, each with a ``name`` of its own (see ``unique_names``).

    Raises:
        CallError: an item has neither, or two bear the same name.

    Example:
        >>> items = [{"image": "a/eye.png"}, {"image": "b/eye.png"}, {"image": "c.png", "name": "third"}]
        >>> [item["name"] for item in with_names(items)]
        ['a__eye', 'b__eye', 'third']
    """
    found = [dict(item) for item in items]
    given = Counter(_folded(str(item["name"])) for item in found if "name" in item)
    if (twice := next((name for name, count in given.items() if count > 1), None)) is not None:
        raise CallError(f"two photographs are named {twice!r}.", "Give every item a name of its own, or none.")
    nameless = [item for item in found if "name" not in item]
    for item in nameless:
        if not isinstance(item.get("image"), str | os.PathLike):
            raise CallError(f"an item without a name has no file: {item}.", 'Pass items as {"image": path}.')
    paths = list(dict.fromkeys(os.path.abspath(item["image"]) for item in nameless))  # noqa: PTH100
    folder = os.path.commonpath([os.path.dirname(path) for path in paths]) if paths else ""  # noqa: PTH120
    names = dict(zip(paths, unique_names([Path(path).relative_to(folder).as_posix() for path in paths]), strict=True))
    taken = set(given)
    for item in nameless:
        name = base = names[os.path.abspath(item["image"])]  # noqa: PTH100
        number = 1
        while _folded(name) in taken:
            number += 1
            name = f"{base}-{number}"
        item["name"] = name
        taken.add(_folded(name))
    return found


def _name(relative: str, level: int) -> str:
    path, suffix = split_suffix(relative)
    name = path.rsplit("/", 1)[-1] if level == 0 else path.replace("/", "__")
    if level >= 2 and suffix:
        name = f"{name}_{suffix}"
    name = _printable(name)
    digest = text_digest(relative)[: 8 * (level - 2)] if level >= 3 else ""
    if digest:
        name = f"{name}-{digest}"
    if len(name.encode()) > _MAX_NAME_BYTES:
        digest = digest or text_digest(relative)[:8]
        room = _MAX_NAME_BYTES - len(digest) - 1
        name = f"{name.encode()[:room].decode(errors='ignore')}-{digest}"
    return name


def _printable(name: str) -> str:
    """The name fit for any file system and table: quotes, separators and what does not print become ``_``."""
    printable = "".join("_" if _does_not_print(letter) else letter for letter in name)
    return "_" if not printable.strip(" .") else printable


def _does_not_print(letter: str) -> bool:
    return letter in _UNUSUAL or unicodedata.category(letter) in ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp")


def _folded(name: str) -> str:
    """Equal for names that some file system takes for the same."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())


def text_digest(text: str) -> str:
    return hashlib.sha256(text.encode(errors="surrogateescape")).hexdigest()
