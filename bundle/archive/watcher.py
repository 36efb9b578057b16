"""Takes each new photograph of an archive once, and stores mask and report beside it, each once."""

from __future__ import annotations

import csv
import logging
import re
import shutil
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import pydicom
from pydicom.uid import UID

from bundle.archive.found import Archive, ArchiveAwayError, ArchiveRefusedError, Found
from bundle.archive.ledger import Ledger, Parcel
from bundle.data.dicom_header import holds_no_image, is_image_class
from bundle.errors import CallError
from bundle.report.dicom_filing import series_of
from bundle.report.model_in_words import model_in_words
from bundle.stages import BUNDLE_ROOT, run_stage

__all__ = ["Segmenter", "Watcher"]

logger = logging.getLogger(__name__)

_MOST_TRIES = 5
"""Of a photograph that the archive lists but does not hand over."""
_LONGEST_PAUSE_S = 300.0
_QUESTIONS = 10
_UID = re.compile(r"[0-9][0-9.]{0,63}")
"""It becomes a file's name. Components that begin with 0 are forbidden, and common."""


class Segmenter:
    """Makes DICOM masks and reports of a folder's photographs, with the stage ``inference``.

    Args:
        checkpoint: the model.
        options: further keys of the stage, such as ``view``.
    """

    def __init__(self, checkpoint: str | Path = BUNDLE_ROOT / "models" / "model.pt", **options: Any) -> None:
        self.checkpoint = Path(checkpoint)
        self.options = options
        if not self.checkpoint.is_file():
            raise CallError(f"there is no model {checkpoint}.", "Pass a model.pt with --checkpoint.")
        self.model = model_in_words(self.checkpoint)

    def __call__(self, folder: Path, output: Path) -> dict[str, str]:
        """Segment a folder.

        Args:
            folder: photographs, each named by its UID.
            output: receives ``masks/<UID>.dcm`` and ``structured_reports/<UID>.dcm``.

        Returns:
            why a photograph could not be read, by UID, of those that could not.
        """
        run_stage(
            "inference",
            dataset_dir=str(folder),
            output_dir=str(output),
            checkpoint=str(self.checkpoint),
            mask_format="dicom_seg",
            report_format="dicom_sr",
            keep_study=True,
            quiet=True,
            logging_file=False,
            **self.options,
        )
        with (output / "report.csv").open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
        return {row["image"].removesuffix(".dcm"): row["reason"] for row in rows if row["status"] == "unreadable"}


class Watcher:
    """Asks an archive for photographs that it has not seen, segments them, and stores what that gives.

    What happens to one object costs no other one, and is one line of the log with its UID. A process that is killed at
    any point is followed by one that goes on: results have UIDs that depend on photograph, model and version alone, and
    the archive is asked for each of them before it is sent.

    Args:
        archive: where photographs come from and results go.
        ledger: what was done so far.
        segment: takes a folder of photographs and one for the results, as ``Segmenter`` does, and has ``model``.
        batch: most photographs that are fetched before they are segmented.
        patience: seconds within which the archive must show what it has accepted.
    """

    def __init__(self, archive: Archive, ledger: Ledger, segment: Any, batch: int = 16, patience: float = 10.0) -> None:
        self.archive = archive
        self.ledger = ledger
        self.segment = segment
        self.batch = batch
        self.patience = patience
        self._work = ledger.folder / "work"

    def run(self, interval: float, only_new: bool = False, wait: Callable[[float], None] = time.sleep) -> None:
        """Look again and again, until the process ends.

        Args:
            interval: seconds between two looks. While the archive is away they double, up to five minutes.
            only_new: pass over what the archive holds when the ledger is first used.
            wait: called with the seconds.
        """
        pause = interval
        while True:
            try:
                if only_new:
                    self.begin()
                while self.look():
                    pause = interval
                pause = interval
            except ArchiveAwayError as error:
                logger.warning("the archive is away (%s); asking again in %.0f s", error, pause)
            except ArchiveRefusedError as error:
                logger.error("the archive does not answer a search: %s; asking again in %.0f s", error, pause)
            else:
                wait(interval)
                continue
            wait(pause)
            pause = min(2 * pause, max(_LONGEST_PAUSE_S, interval))

    def begin(self) -> None:
        """Take what the archive holds now for known, unless that was done before with this ledger."""
        if not self.ledger.has_begun:
            known = [found for found in self.archive.photographs() if not self.ledger.state(found.instance)]
            self.ledger.begin(known)
            logger.info("%d photographs that were there before are passed over", len(known))

    def look(self) -> bool:
        """Send what waits, take up to ``batch`` new photographs, and send what they gave.

        Returns:
            whether there may be more to do at once.

        Raises:
            ArchiveAwayError: the archive does not answer. What was done stays done.
            ArchiveRefusedError: the archive refuses the search.
        """
        self._send()
        taken = self._taken(self._new())
        if taken:
            self._segment(taken)
        self._send()
        return bool(taken)

    def _new(self) -> list[Found]:
        """At most ``batch`` photographs that are to be taken; one whose last attempt failed or ended the process comes
        after all others, and alone, so that it costs no other one."""
        new: list[Found] = []
        again: list[Found] = []
        for found in self.archive.photographs():
            state = self.ledger.state(found.instance)
            if state == "vanished":
                self.ledger.returned(found)
                logger.info("%s is there again", found.instance)
            elif state == "tried" and self.ledger.tries(found) >= _MOST_TRIES:
                self.ledger.note(found, "failed")
                logger.error("%s: given up after %d attempts; it waits for --retry", found.instance, _MOST_TRIES)
            elif state == "tried":
                again.append(found)
            elif not state and self._is_wanted(found):
                new.append(found)
                if len(new) == self.batch:
                    break
        return new or again[:1]

    def _is_wanted(self, found: Found) -> bool:
        if not _UID.fullmatch(found.instance):
            logger.warning("%r is no UID: passed over", found.instance)
        elif found.sop_class and not is_image_class(found.sop_class):
            logger.warning("%s is no photograph (%s): passed over", found.instance, UID(found.sop_class).name)
        elif self.archive.holds(found.study, series_of(found.instance, self.segment.model, True, "dicom_sr")):
            logger.info("%s has its report already: passed over", found.instance)
        else:
            return True
        self.ledger.note(found, "passed over")
        return False

    def _taken(self, new: Iterable[Found]) -> list[Found]:
        """The photographs that were fetched, into a folder that is empty but for them."""
        shutil.rmtree(self._work, ignore_errors=True)
        (self._work / "in").mkdir(parents=True)
        taken = []
        for found in new:
            path = self._work / "in" / f"{found.instance}.dcm"
            tries = self.ledger.tried(found)
            try:
                self.archive.fetch(found, path)
            except ArchiveRefusedError as error:
                logger.warning(
                    "%s was not handed over: %s (attempt %d of %d)", found.instance, error, tries, _MOST_TRIES
                )
                continue
            if holds_no_image(path):
                path.unlink()
                self.ledger.note(found, "passed over")
                logger.warning("%s is no photograph: passed over", found.instance)
            else:
                taken.append(found)
        return taken

    def _segment(self, taken: Sequence[Found]) -> None:
        output = self._work / "out"
        unreadable = self.segment(self._work / "in", output)
        for found in taken:
            files = [output / kind / f"{found.instance}.dcm" for kind in ("masks", "structured_reports")]
            made = {_uid(path): path for path in files if path.is_file()}
            if len(made) == len(files):
                self.ledger.finish(found, made)
                logger.info("%s: segmented", found.instance)
            else:
                self.ledger.note(found, "failed")
                reason = unreadable.get(found.instance, "it gave no result")
                logger.warning("%s: %s; it waits for --retry", found.instance, reason)
        shutil.rmtree(self._work, ignore_errors=True)

    def _send(self) -> None:
        gone: set[str] = set()
        for parcel in self.ledger.waiting():
            if parcel.photograph in gone:
                continue
            try:
                if not self._deliver(parcel):
                    gone.add(parcel.photograph)
            except ArchiveRefusedError as error:
                self.ledger.refused(parcel)
                logger.error(
                    "%s of %s was refused: %s; it waits for --retry", parcel.instance, parcel.photograph, error
                )

    def _deliver(self, parcel: Parcel) -> bool:
        """Send an object; whether its photograph is still there."""
        if self.archive.holds(parcel.study, instance=parcel.instance):
            # Sent before by a process that did not live to note it, or by another watcher.
            self.ledger.sent(parcel)
        elif not self.archive.holds(parcel.study, instance=parcel.photograph):
            self.ledger.vanished(parcel)
            logger.warning("%s is gone from the archive: its results are kept, and not sent", parcel.photograph)
            return False
        else:
            self.archive.store(parcel.path)
            self._confirm(parcel)
            self.ledger.sent(parcel)
            logger.info("%s of %s: stored", parcel.instance, parcel.photograph)
        return True

    def _confirm(self, parcel: Parcel) -> None:
        """Ask for what was stored: an archive with a filter says that all is well, and drops it."""
        for _ in range(_QUESTIONS):
            if self.archive.holds(parcel.study, instance=parcel.instance):
                return
            time.sleep(self.patience / _QUESTIONS)
        raise ArchiveRefusedError("it was accepted, and is not there")


def _uid(path: Path) -> str:
    return str(pydicom.dcmread(path, stop_before_pixels=True).SOPInstanceUID)
