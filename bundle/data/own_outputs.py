"""What the bundle itself has written into a folder, which is never taken for a photograph.

A hidden file in the output folder, the mark, names it. Folders of version 0.1 have no mark and are known by their
tables.
"""

from __future__ import annotations

import contextlib
import json
import os
from pathlib import Path
from typing import Any

__all__ = ["EVENTS", "LOG", "MARK", "OUTPUTS", "own_names", "read_mark"]

MARK = ".fundus.json"
LOG = "fundus.log"
"""What the command ``fundus`` writes besides a stage's outputs."""
EVENTS = "events"
"""TensorBoard's folder, to which files are only ever added."""
_TRAINING = ("model.pt", "resume.pt", EVENTS)
_PSEUDO_LABELS = ("pseudo_labels", "prototypes.pt", "refinement.csv")
_SCORES = ("metrics.json", "metrics.csv")
OUTPUTS = {
    "training": (*_TRAINING, *_SCORES),
    "refinement": _PSEUDO_LABELS,
    "adaptation": (*_TRAINING, *_PSEUDO_LABELS, "adaptation.json"),
    "evaluation": _SCORES,
    "inference": (
        *("masks", "overlays", "structured_reports"),
        *("report.csv", "measurements.csv", "selection.csv", "report.html"),
    ),
}
"""What each stage writes to its output folder."""
_TABLES = {
    "report.csv": b"image,status,vcdr,",
    "refinement.csv": b"image,area_share_disc,",
    "metrics.csv": b"image,optic_disc_dice,",
    "adaptation.json": b'{\n  "recipe": ',
}


def own_names(folder: str | os.PathLike[str]) -> set[str]:
    """The names in a folder that belong to the bundle; none in a folder that it has not written to."""
    marked = read_mark(Path(folder)).get("names")
    if isinstance(marked, list):
        return {name for name in marked if isinstance(name, str)}
    return _names_of_version_0_1(Path(folder))


def read_mark(folder: Path) -> dict[str, Any]:
    """The content of a folder's mark; empty if it has none."""
    try:
        mark = json.loads((folder / MARK).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return mark if isinstance(mark, dict) else {}


def _names_of_version_0_1(folder: Path) -> set[str]:
    """The outputs of the stages whose table lies in the folder and begins as ours do."""
    found: set[str] = set()
    for stage, names in OUTPUTS.items():
        for table in set(names) & set(_TABLES):
            with contextlib.suppress(OSError), (folder / table).open("rb") as file:
                if file.read(64).startswith(_TABLES[table]):
                    found |= set(OUTPUTS[stage])
    return found
