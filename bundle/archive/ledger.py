"""What a watcher has done, on disk: which photographs it knows, and what it still has to send."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from filelock import FileLock, Timeout

from bundle.archive.found import Found
from bundle.errors import CallError

__all__ = ["Ledger", "Parcel"]

_TABLES = """
CREATE TABLE IF NOT EXISTS photographs (
    instance TEXT PRIMARY KEY, study TEXT NOT NULL, state TEXT NOT NULL, tries INTEGER NOT NULL DEFAULT 0
);
CREATE TABLE IF NOT EXISTS parcels (
    instance TEXT PRIMARY KEY, photograph TEXT NOT NULL, study TEXT NOT NULL, file TEXT NOT NULL, state TEXT NOT NULL
);
"""


class Parcel(NamedTuple):
    """An object that waits to be sent.

    Attributes:
        instance: its UID.
        photograph: UID of the photograph that it is made of.
        study: UID of the study of both.
        path: its file.
    """

    instance: str
    photograph: str
    study: str
    path: Path


class Ledger:
    """A folder with a database, and the files that wait to be sent; at most one process holds it at a time.

    Each change is on disk when its method returns, so that a process which is killed goes on where it was.

    Args:
        folder: made if it is missing. It holds what identifies patients until that is sent.

    Raises:
        CallError: the folder cannot be written to, or another process holds it.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     ledger = Ledger(folder)
        ...     ledger.note(Found("1.2", "1.2.3", "1.2.3.4"), "failed")
        ...     states = ledger.state("1.2.3.4"), ledger.state("1.2.3.5")
        ...     ledger.close()
        >>> states
        ('failed', '')
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        self.outbox = self.folder / "outbox"
        self._lock = FileLock(self.folder / "lock")
        try:
            self.outbox.mkdir(parents=True, exist_ok=True)
            self._lock.acquire(timeout=0)
            self._database = sqlite3.connect(self.folder / "ledger.sqlite")
            self._database.executescript(_TABLES)
        except Timeout:
            raise CallError(
                f"another watcher is at work in {folder}.", "Wait for its end, or pass another --state."
            ) from None
        except (OSError, sqlite3.Error) as error:
            remedy = "Pass a folder on a local disk that can be written to with --state."
            raise CallError(f"the ledger in {folder} cannot be opened ({error}).", remedy) from None
        self._drop_unlisted()

    def close(self) -> None:
        """Let other processes have it."""
        self._database.close()
        self._lock.release()

    @property
    def has_begun(self) -> bool:
        """Whether ``begin`` was called, by this process or an earlier one."""
        return bool(self._database.execute("PRAGMA user_version").fetchone()[0])

    def begin(self, known: Iterable[Found]) -> None:
        """Take photographs for known that are not to be taken, once and for all, all or none."""
        with self._change() as database:
            for found in known:
                self._set(database, found, "passed over")
            database.execute("PRAGMA user_version = 1")

    def state(self, instance: str) -> str:
        """What became of a photograph: ``done``, ``failed``, ``passed over``, ``vanished``, ``tried``; empty if it is
        new."""
        row = self._database.execute("SELECT state FROM photographs WHERE instance = ?", (instance,)).fetchone()
        return row[0] if row else ""

    def note(self, found: Found, state: str) -> None:
        """Set what became of a photograph."""
        with self._change() as database:
            self._set(database, found, state)

    def tried(self, found: Found) -> int:
        """Count one more attempt at a photograph.

        Returns:
            how many there were.
        """
        with self._change() as database:
            database.execute(
                "INSERT INTO photographs VALUES (?, ?, 'tried', 1) "
                "ON CONFLICT (instance) DO UPDATE SET tries = tries + 1, state = 'tried'",
                (found.instance, found.study),
            )
        return self.tries(found)

    def tries(self, found: Found) -> int:
        """How many attempts there were."""
        row = self._database.execute("SELECT tries FROM photographs WHERE instance = ?", (found.instance,)).fetchone()
        return int(row[0]) if row else 0

    def finish(self, found: Found, files: Mapping[str, Path]) -> None:
        """Take a photograph's results over: move their files to the outbox and note them, all or none.

        Args:
            found: the photograph.
            files: by the UIDs of the objects in them.
        """
        for instance, path in files.items():
            shutil.move(path, self.outbox / f"{instance}.dcm")
        with self._change() as database:
            self._set(database, found, "done")
            database.executemany(
                "INSERT INTO parcels VALUES (?, ?, ?, ?, 'waiting') ON CONFLICT (instance) DO NOTHING",
                [(instance, found.instance, found.study, f"{instance}.dcm") for instance in files],
            )

    def waiting(self) -> list[Parcel]:
        """What is to be sent, in the order in which it was made."""
        rows = self._database.execute(
            "SELECT instance, photograph, study, file FROM parcels WHERE state = 'waiting' ORDER BY rowid"
        )
        return [Parcel(instance, photograph, study, self.outbox / file) for instance, photograph, study, file in rows]

    def sent(self, parcel: Parcel) -> None:
        """Note that an object is in the archive, and delete its file."""
        self._turn(parcel, "sent")
        parcel.path.unlink(missing_ok=True)

    def refused(self, parcel: Parcel) -> None:
        """Note that the archive does not take an object. Its file stays until ``try_again``."""
        self._turn(parcel, "refused")

    def vanished(self, parcel: Parcel) -> None:
        """Note that the archive no longer has the photograph of an object, whose file stays."""
        with self._change() as database:
            database.execute("UPDATE parcels SET state = 'vanished' WHERE photograph = ?", (parcel.photograph,))
            database.execute("UPDATE photographs SET state = 'vanished' WHERE instance = ?", (parcel.photograph,))

    def returned(self, found: Found) -> None:
        """Note that the archive has such a photograph again: its objects wait to be sent."""
        with self._change() as database:
            changed = "UPDATE parcels SET state = 'waiting' WHERE photograph = ? AND state = 'vanished'"
            database.execute(changed, (found.instance,))
            self._set(database, found, "done")

    def try_again(self) -> None:
        """Forget the photographs that failed, and let refused objects wait to be sent."""
        with self._change() as database:
            database.execute("DELETE FROM photographs WHERE state IN ('failed', 'tried')")
            database.execute("UPDATE parcels SET state = 'waiting' WHERE state = 'refused'")

    def _turn(self, parcel: Parcel, state: str) -> None:
        with self._change() as database:
            database.execute("UPDATE parcels SET state = ? WHERE instance = ?", (state, parcel.instance))

    @staticmethod
    def _set(database: sqlite3.Connection, found: Found, state: str) -> None:
        database.execute(
            "INSERT INTO photographs VALUES (?, ?, ?, 0) ON CONFLICT (instance) DO UPDATE SET state = excluded.state",
            (found.instance, found.study, state),
        )

    @contextmanager
    def _change(self) -> Iterator[sqlite3.Connection]:
        """One transaction."""
        with self._database:
            yield self._database

    def _drop_unlisted(self) -> None:
        """Delete files whose move an earlier process did not live to note: their photographs are done again."""
        listed = {row[0] for row in self._database.execute("SELECT file FROM parcels WHERE state != 'sent'")}
        for path in self.outbox.iterdir():
            if path.name not in listed:
                path.unlink()
