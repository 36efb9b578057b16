"""The names under which the results of photographs are written."""

from __future__ import annotations

import hashlib
import unicodedata
from collections import Counter
from collections.abc import Sequence

from bundle.data.formats import PHOTOGRAPH_SUFFIXES

__all__ = ["split_suffix", "text_digest", "unique_names"]

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
    printable = "".join(
        "_"
        if letter in _UNUSUAL or unicodedata.category(letter) in ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp")
        else letter
        for letter in name
    )
    return "_" if not printable.strip(" .") else printable


def _folded(name: str) -> str:
    """Equal for names that some file system takes for the same."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())


def text_digest(text: str) -> str:
    return hashlib.sha256(text.encode(errors="surrogateescape")).hexdigest()
