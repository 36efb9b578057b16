"""A watcher against an archive that fails in every way; the real one is in tests/integration/test_archive_server.py."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pydicom
import pytest
from pydicom.uid import EncapsulatedPDFStorage, OphthalmicPhotography8BitImageStorage, SegmentationStorage

from bundle.archive.found import ArchiveAwayError, ArchiveRefusedError, Found
from bundle.archive.ledger import Ledger
from bundle.archive.watcher import Segmenter, Watcher
from bundle.errors import CallError
from bundle.report.dicom_filing import series_of
from tests.support.ophthalmic import write_photograph


class Crash(BaseException):
    """Ends a watcher as ``kill -9`` does: nothing catches it."""


class MemoryArchive:
    """Holds objects by UID, counts what it was sent, and fails when it is told to."""

    def __init__(self) -> None:
        self.held: dict[str, Found] = {}
        self.sent: list[str] = []
        self.away = False
        self.refuses: set[str] = set()
        self.swallows: set[str] = set()
        self.gone: set[str] = set()
        self.after_store: Callable[[str], None] = lambda uid: None

    def add(self, instance: str, sop_class: str = OphthalmicPhotography8BitImageStorage) -> None:
        self.held[instance] = Found("1.2", "1.2.3", instance, sop_class)

    def photographs(self) -> Iterator[Found]:
        self._answer()
        yield from [found for found in self.held.values() if found.series == "1.2.3"]

    def fetch(self, found: Found, path: Path) -> None:
        self._answer()
        if found.instance in self.gone:
            raise ArchiveRefusedError("it is gone")
        write_photograph(path, SOPInstanceUID=found.instance)

    def holds(self, study: str, series: str = "", instance: str = "") -> bool:
        self._answer()
        found = self.held.values()
        return any((not series or one.series == series) and (not instance or one.instance == instance) for one in found)

    def store(self, path: Path) -> None:
        self._answer()
        dataset = pydicom.dcmread(path)
        if dataset.SOPInstanceUID in self.refuses:
            raise ArchiveRefusedError("failure 0xa700")
        self.sent.append(str(dataset.SOPInstanceUID))
        if dataset.SOPInstanceUID in self.swallows:
            return
        uids = (dataset.StudyInstanceUID, dataset.SeriesInstanceUID, dataset.SOPInstanceUID, dataset.SOPClassUID)
        self.held[str(dataset.SOPInstanceUID)] = Found(*map(str, uids))
        self.after_store(str(dataset.SOPInstanceUID))

    def _answer(self) -> None:
        if self.away:
            raise ArchiveAwayError("ConnectionError")


class SmallSegmenter:
    """Gives two small objects for each photograph, whose UIDs depend on it alone."""

    model = "a model"

    def __init__(self) -> None:
        self.seen: list[list[str]] = []
        self.unreadable: set[str] = set()
        self.dies_of = ""

    def __call__(self, folder: Path, output: Path) -> dict[str, str]:
        names = sorted(path.stem for path in folder.iterdir())
        self.seen.append(names)
        if self.dies_of in names:
            raise Crash
        for name in names:
            for number, kind in enumerate(("masks", "structured_reports"), start=1):
                (output / kind).mkdir(parents=True, exist_ok=True)
                if name not in self.unreadable:
                    write_photograph(
                        output / kind / f"{name}.dcm",
                        SOPInstanceUID=f"{name}.{number}",
                        StudyInstanceUID="1.2",
                        SeriesInstanceUID=series_of(name, self.model, True, "dicom_sr" if number == 2 else "dicom_seg"),
                        SOPClassUID=SegmentationStorage,
                    )
        return dict.fromkeys(self.unreadable & set(names), "it is damaged")


class World:
    """An archive, a segmenter, and watchers one after the other on one ledger."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.archive = MemoryArchive()
        self.segment = SmallSegmenter()
        self.ledger: Ledger | None = None

    def watcher(self, state: str = "state") -> Watcher:
        """A watcher as a new process has it; the one before is dead."""
        if self.ledger is not None:
            self.ledger.close()
        self.ledger = Ledger(self.folder / state)
        return Watcher(self.archive, self.ledger, self.segment, batch=3, patience=0.01)

    def work_off(self, state: str = "state") -> None:
        watcher = self.watcher(state)
        while watcher.look():
            pass


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path)
    yield made
    if made.ledger is not None:
        made.ledger.close()


def test_each_photograph_is_taken_once_and_each_result_sent_once(world: World) -> None:
    photographs = [f"1.{number}" for number in range(1, 6)]
    for uid in photographs:
        world.archive.add(uid)
    watcher = world.watcher()
    while watcher.look():
        pass
    assert world.segment.seen == [["1.1", "1.2", "1.3"], ["1.4", "1.5"]]
    assert sorted(world.archive.sent) == [f"{uid}.{number}" for uid in photographs for number in (1, 2)]
    world.archive.add("1.6")
    world.work_off()
    world.work_off()
    assert world.segment.seen[2:] == [["1.6"]]
    assert world.archive.sent[10:] == ["1.6.1", "1.6.2"]
    assert list((world.folder / "state" / "outbox").iterdir()) == []
    assert not (world.folder / "state" / "work" / "out").exists()


def test_another_watcher_finds_the_results_that_are_there(world: World) -> None:
    world.archive.add("1.1")
    world.work_off("one")
    world.work_off("two")
    assert world.segment.seen == [["1.1"]]
    assert len(world.archive.sent) == 2


def test_two_watchers_at_the_same_work_send_each_result_once(world: World, tmp_path: Path) -> None:
    world.archive.add("1.1")
    ledgers = [Ledger(tmp_path / name) for name in ("one", "two")]
    first, second = (Watcher(world.archive, ledger, world.segment) for ledger in ledgers)
    taken = [watcher._taken(watcher._new()) for watcher in (first, second)]
    for watcher, found in zip((first, second), taken, strict=True):
        watcher._segment(found)
    for watcher in (first, second):
        watcher.look()
    for ledger in ledgers:
        ledger.close()
    assert sorted(world.archive.sent) == ["1.1.1", "1.1.2"]


def test_a_second_watcher_on_the_same_ledger_is_refused(world: World) -> None:
    world.watcher()
    with pytest.raises(CallError, match="another watcher is at work in"):
        Ledger(world.folder / "state")


@pytest.mark.parametrize("point", ["fetched", "segmented", "noted", "first stored", "all stored"])
def test_a_watcher_that_is_killed_is_followed_by_one_that_goes_on(
    world: World, monkeypatch: pytest.MonkeyPatch, point: str
) -> None:
    for uid in ("1.1", "1.2"):
        world.archive.add(uid)

    def crash(*arguments: Any) -> None:
        raise Crash

    with monkeypatch.context() as patch:
        watcher = world.watcher()
        if point == "fetched":
            patch.setattr(world, "segment", crash)
            watcher.segment = type("Dying", (), {"model": "a model", "__call__": crash})()
        elif point == "segmented":
            patch.setattr(Ledger, "_set", staticmethod(crash))
        elif point == "noted":
            patch.setattr(world.archive, "store", crash)
        else:
            last = "1.1.1" if point == "first stored" else "1.2.2"
            # The archive has it; the process dies before it can note that.
            patch.setattr(world.archive, "after_store", lambda uid: crash() if uid == last else None)
        with pytest.raises(Crash):
            watcher.look()
    world.work_off()
    assert sorted(world.archive.sent) == ["1.1.1", "1.1.2", "1.2.1", "1.2.2"]
    assert list((world.folder / "state" / "outbox").iterdir()) == []


def test_an_archive_that_goes_away_loses_nothing(world: World, caplog: pytest.LogCaptureFixture) -> None:
    for uid in ("1.1", "1.2"):
        world.archive.add(uid)
    world.archive.after_store = lambda uid: setattr(world.archive, "away", True)
    pauses: list[float] = []

    def wait(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) == 4:
            # It comes back, and stays.
            world.archive.after_store = lambda uid: None
            world.archive.away = False
        elif len(pauses) == 6:
            raise Crash

    with caplog.at_level(logging.INFO), pytest.raises(Crash):
        world.watcher().run(10, wait=wait)
    assert sorted(world.archive.sent) == ["1.1.1", "1.1.2", "1.2.1", "1.2.2"]
    assert pauses == [10, 20, 40, 80, 10, 10]
    lines = [record.getMessage() for record in caplog.records if "away" in record.getMessage()]
    assert lines[0] == "the archive is away (ConnectionError); asking again in 10 s"
    assert len(lines) == 4


def test_what_is_refused_waits_and_costs_nothing_else(world: World, caplog: pytest.LogCaptureFixture) -> None:
    for uid in ("1.1", "1.2"):
        world.archive.add(uid)
    world.archive.refuses = {"1.1.1"}
    world.work_off()
    assert sorted(world.archive.sent) == ["1.1.2", "1.2.1", "1.2.2"]
    (line,) = [record.getMessage() for record in caplog.records if "refused" in record.getMessage()]
    assert line == "1.1.1 of 1.1 was refused: failure 0xa700; it waits for --retry"
    world.archive.refuses = set()
    world.work_off()
    assert len(world.archive.sent) == 3
    watcher = world.watcher()
    assert world.ledger is not None
    world.ledger.try_again()
    watcher.look()
    assert world.archive.sent[3:] == ["1.1.1"]
    assert len(world.segment.seen) == 1


def test_what_is_accepted_and_dropped_is_not_taken_for_stored(world: World, caplog: pytest.LogCaptureFixture) -> None:
    world.archive.add("1.1")
    world.archive.swallows = {"1.1.2"}
    world.work_off()
    world.work_off()
    assert world.archive.sent == ["1.1.1", "1.1.2"]
    assert "1.1.2 of 1.1 was refused: it was accepted, and is not there; it waits for --retry" in caplog.text
    assert [path.name for path in (world.folder / "state" / "outbox").iterdir()] == ["1.1.2.dcm"]


def test_a_study_that_vanishes_gets_no_results_until_it_is_back(world: World, caplog: pytest.LogCaptureFixture) -> None:
    world.archive.add("1.1")
    watcher = world.watcher()
    found = watcher._taken(watcher._new())
    watcher._segment(found)
    photograph = world.archive.held.pop("1.1")
    watcher.look()
    world.work_off()
    assert world.archive.sent == []
    lines = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
    assert lines == ["1.1 is gone from the archive: its results are kept, and not sent"]
    assert len(list((world.folder / "state" / "outbox").iterdir())) == 2
    world.archive.held["1.1"] = photograph
    world.watcher().look()
    assert sorted(world.archive.sent) == ["1.1.1", "1.1.2"]
    assert len(world.segment.seen) == 1


def test_one_that_is_not_handed_over_is_given_up_and_holds_nobody_up(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    for uid in ("1.1", "1.2"):
        world.archive.add(uid)
    world.archive.gone = {"1.1"}
    watcher = world.watcher()
    for _ in range(9):
        watcher.look()
    assert world.segment.seen == [["1.2"]]
    lines = [record.getMessage() for record in caplog.records if record.getMessage().startswith("1.1 was")]
    assert lines[0] == "1.1 was not handed over: it is gone (attempt 1 of 5)"
    assert len(lines) == 5
    assert "1.1: given up after 5 attempts; it waits for --retry" in caplog.text
    world.archive.gone = set()
    world.watcher()
    assert world.ledger is not None
    world.ledger.try_again()
    world.work_off()
    assert world.segment.seen == [["1.2"], ["1.1"]]


def test_one_that_ends_the_process_is_tried_alone_and_given_up(world: World) -> None:
    for uid in ("1.1", "1.2", "1.3"):
        world.archive.add(uid)
    world.segment.dies_of = "1.2"
    for _ in range(12):
        try:
            world.work_off()
        except Crash:
            continue
        break
    else:
        pytest.fail("it never came to an end")
    assert world.segment.seen[0] == ["1.1", "1.2", "1.3"]
    assert all(len(names) == 1 for names in world.segment.seen[1:])
    assert sorted(world.archive.sent) == ["1.1.1", "1.1.2", "1.3.1", "1.3.2"]


def test_what_is_no_photograph_or_unreadable_has_one_line(world: World, caplog: pytest.LogCaptureFixture) -> None:
    world.archive.add("1.1", EncapsulatedPDFStorage)
    world.archive.add("1.2")
    world.archive.add("1.3")
    world.archive.add("../etc/passwd")
    world.segment.unreadable = {"1.2"}
    for _ in range(3):
        world.work_off()
    assert world.segment.seen == [["1.2", "1.3"]]
    lines = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
    assert lines == [
        "1.1 is no photograph (Encapsulated PDF Storage): passed over",
        "'../etc/passwd' is no UID: passed over",
        "1.2: it is damaged; it waits for --retry",
    ]


def test_what_was_there_before_may_be_passed_over(world: World) -> None:
    world.archive.add("1.1")
    watcher = world.watcher()
    watcher.begin()
    world.archive.add("1.2")
    watcher.look()
    # A later process does not pass over what came while none was running.
    world.archive.add("1.3")
    watcher = world.watcher()
    watcher.begin()
    watcher.look()
    assert world.segment.seen == [["1.2"], ["1.3"]]


def test_a_search_that_is_refused_is_said_and_tried_again(world: World, caplog: pytest.LogCaptureFixture) -> None:
    def refuse() -> Iterator[Found]:
        raise ArchiveRefusedError("status 400")

    def wait(seconds: float) -> None:
        raise Crash

    world.archive.photographs = refuse  # type: ignore[method-assign]
    with pytest.raises(Crash):
        world.watcher().run(10, wait=wait)
    assert "the archive does not answer a search: status 400; asking again in 10 s" in caplog.text


def test_a_ledger_needs_a_folder_that_can_be_written_to(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(CallError, match="--state"):
        Ledger(tmp_path / "file")


def test_a_segmenter_needs_a_model(tmp_path: Path) -> None:
    with pytest.raises(CallError, match="--checkpoint"):
        Segmenter(tmp_path / "model.pt")
