"""What is asked of an archive, whatever it speaks, and how it fails."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple, Protocol

__all__ = ["Archive", "ArchiveAwayError", "ArchiveRefusedError", "Found"]


class Found(NamedTuple):
    """An object that an archive holds.

    Attributes:
        study: UID of its study.
        series: UID of its series.
        instance: UID of itself.
        sop_class: UID of its class; empty if the archive does not say.
    """

    study: str
    series: str
    instance: str
    sop_class: str = ""


class ArchiveAwayError(ConnectionError):
    """An archive that does not answer, or says that it cannot now; to be asked again later.

    Args:
        reason: in words for the log, with nothing of a patient.
    """


class ArchiveRefusedError(ValueError):
    """An archive that answers but does not do what it was asked, such as for an object that is gone.

    Args:
        reason: in words for the log, with nothing of a patient.
    """


class Archive(Protocol):
    """What a watcher asks of an archive.

    Each of the methods raises :class:`ArchiveAwayError` or :class:`ArchiveRefusedError`.
    """

    def photographs(self) -> Iterator[Found]:
        """Everything whose modality is ophthalmic photography."""

    def fetch(self, found: Found, path: Path) -> None:
        """Write an object to a file."""

    def holds(self, study: str, series: str = "", instance: str = "") -> bool:
        """Whether there is such a study, series in it, or object."""

    def store(self, path: Path) -> None:
        """Hand an object's file over."""
