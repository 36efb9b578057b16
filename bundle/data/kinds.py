"""Which files are photographs, by their name or their first bytes, and which are passed over."""

from __future__ import annotations

import logging
from collections import Counter
from pathlib import Path

from bundle.data.dicom_header import holds_no_image
from bundle.data.formats import DICOM_SUFFIXES, PHOTOGRAPH_SUFFIXES, has_dicom_preamble

__all__ = ["PassedOver", "is_photograph"]

logger = logging.getLogger(__name__)

_DICOM_INDEX = "dicomdir"
"""A file of this name lists the DICOM files beside it and is none itself, though it starts as they do."""
_UNMENTIONED = frozenset(
    {
        *(".csv", ".tsv", ".xls", ".xlsx", ".ods", ".txt", ".md", ".log", ".htm", ".html", ".json", ".jsonl"),
        *(".yaml", ".yml", ".xml", ".ini", ".conf", ".db", ".py", ".ipynb", ".pt"),
    }
)
"""Tables, texts, programs and what the bundle writes: nobody takes them for photographs."""


def is_photograph(path: Path) -> bool:
    """Whether a file has a photograph's suffix, in either case, or starts as a DICOM file does, whatever its name.

    DICOM's segmentations and reports, which lie beside the photographs of a study, are none.

    Example:
        >>> is_photograph(Path("IMG_1.JPG")), is_photograph(Path("DICOMDIR")), is_photograph(Path("notes.txt"))
        (True, False, False)
    """
    if path.name.lower() == _DICOM_INDEX:
        return False
    name = path.name.lower()
    if name.endswith(PHOTOGRAPH_SUFFIXES) and not name.endswith(DICOM_SUFFIXES):
        return True
    if has_dicom_preamble(path):
        return not holds_no_image(path)
    return name.endswith(DICOM_SUFFIXES)


class PassedOver:
    """Counts files that are not read, by suffix, and says so in one line.

    Tables, texts and programs are not counted.
    """

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()

    def add(self, path: Path) -> None:
        """Count a file."""
        suffix = path.suffix.lower()
        if path.name.lower() == _DICOM_INDEX:
            self.counts["DICOMDIR"] += 1
        elif has_dicom_preamble(path):
            self.counts["DICOM without an image"] += 1
        elif suffix not in _UNMENTIONED:
            # What follows a dot may be the last number of a UID, or anything else that nobody calls a suffix.
            self.counts[suffix if suffix[1:].isalnum() and not suffix[1:].isdecimal() else "without suffix"] += 1

    def report(self, folder: Path) -> None:
        """Log how many there were, the most frequent first, if any."""
        if self.counts:
            listed = ", ".join(f"{suffix} {count}" for suffix, count in sorted(self.counts.items(), key=_most_first))
            noun = "file" if self.counts.total() == 1 else "files"
            logger.warning("%d %s passed over in %s: %s", self.counts.total(), noun, folder, listed)


def _most_first(counted: tuple[str, int]) -> tuple[int, str]:
    return -counted[1], counted[0]
