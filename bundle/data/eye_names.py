"""Which eye a photograph shows by the name of its file or folder."""

from __future__ import annotations

import re
from pathlib import Path

__all__ = ["eye_by_name"]

_WORDS = {"OD": "right", "OS": "left", "RIGHT": "right", "LEFT": "left", "R": "right", "L": "left"}
_AMBIGUOUS_IN_SMALL = ("r", "l")
"""Small letters that stand for too much else."""
_OF_FOLDERS = frozenset({"EYE", "EYES"})
"""Words that a folder named for an eye may hold besides."""


def eye_by_name(path: Path) -> str:
    """``right``, ``left``, or empty where the name does not say, or says both.

    Words of a file's name count that stand for themselves: ``OD``, ``OS``, ``left`` and ``right`` in either case, and
    ``R`` and ``L`` as capitals. ``OD`` and ``OS`` may follow a number without a space. The folder that holds the file
    counts where its whole name is one such word, ``OD``, ``OS``, ``R`` and ``L`` as capitals, with or without ``eye``.

    Example:
        >>> [eye_by_name(Path(name)) for name in ("1_OD.jpg", "RET2OS.jpg", "a-R.png", "Left eye/1.png", "solid.png")]
        ['right', 'left', 'right', 'left', '']
    """
    stem = path.name.partition(".")[0]
    eyes = {_WORDS[word.upper()] for word in _words(stem) if word.upper() in _WORDS and word not in _AMBIGUOUS_IN_SMALL}
    folder = [word for word in _words(path.parent.name) if word.upper() not in _OF_FOLDERS]
    if len(folder) == 1 and (folder[0] in _WORDS or folder[0].lower() in ("left", "right")):
        eyes.add(_WORDS[folder[0].upper()])
    return eyes.pop() if len(eyes) == 1 else ""


def _words(name: str) -> list[str]:
    """Runs of letters that neither letters nor digits touch; ``OD`` and ``OS`` may touch digits."""
    parts = re.findall(r"[^\W_]+", name)
    words = [part for part in parts if part.isalpha()]
    clinical = (re.fullmatch(r"(?:[^\W\d_]*\d+)(OD|OS)", part, re.IGNORECASE) for part in parts)
    return words + [match.group(1) for match in clinical if match]
