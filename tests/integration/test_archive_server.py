"""A real archive, Orthanc on loopback, and the watcher as a process beside it; see ``make test-archive``."""

from __future__ import annotations

import csv
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pydicom
import pytest
from PIL import Image
from pydicom.uid import EncapsulatedPDFStorage, generate_uid

from bundle.archive.dicomweb import DicomWebArchive
from bundle.archive.found import ArchiveAwayError, ArchiveRefusedError, Found
from bundle.stages import BUNDLE_ROOT, run_stage
from bundle.synthetic.phantoms.photographs import make_crop, make_photograph
from tests.support.dicom_tools import TOOLS, errors_found
from tests.support.ophthalmic import PATIENT, write_photograph
from tests.support.orthanc import Orthanc

pytestmark = [
    pytest.mark.skipif(not TOOLS.is_dir(), reason="needs a real archive: make test-archive"),
    pytest.mark.timeout(600),
]


@pytest.fixture
def orthanc(tmp_path: Path) -> Iterator[Orthanc]:
    pytest.importorskip("dicomweb_client")
    server = Orthanc(tmp_path / "orthanc")
    server.start()
    yield server
    server.stop()


def photographs(folder: Path, count: int, study: str = "") -> list[Path]:
    """Crops, and as the last a whole photograph, in one study of one patient."""
    study, series = study or generate_uid(), generate_uid()
    paths = [folder / f"{number}.dcm" for number in range(count)]
    for number, path in enumerate(paths):
        image = make_photograph(5, size=(512, 512)).image if path == paths[-1] else make_crop(number, size=160).image
        write_photograph(path, image, StudyInstanceUID=study, SeriesInstanceUID=series, InstanceNumber=number + 1)
    return paths


def watch(orthanc: Orthanc, state: Path, *options: str) -> subprocess.Popen[str]:
    """The watcher as a process of its own."""
    command = [sys.executable, str(BUNDLE_ROOT / "scripts" / "watch.py"), orthanc.url, "--state", str(state), *options]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(BUNDLE_ROOT), *sys.path])}
    return subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True, env=environment)


def work_off(orthanc: Orthanc, state: Path, *options: str) -> str:
    """Let a watcher do what is to be done; what it said."""
    process = watch(orthanc, state, "--once", *options)
    _, said = process.communicate(timeout=300)
    assert process.returncode == 0, said
    return said


def until(holds: Callable[[], bool], seconds: float = 120) -> None:
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, "it did not come to pass"
        time.sleep(0.1)


def counts(orthanc: Orthanc) -> dict[str, int]:
    return {modality: len(uids) for modality, uids in orthanc.objects().items()}


def fetched(orthanc: Orthanc, folder: Path) -> dict[str, list[pydicom.Dataset]]:
    """All that the archive holds, over its own interface, by modality."""
    folder.mkdir(exist_ok=True)
    found: dict[str, list[pydicom.Dataset]] = {}
    for instance in orthanc.ask("/instances"):
        (folder / f"{instance}.dcm").write_bytes(orthanc.ask(f"/instances/{instance}/file"))
        dataset = pydicom.dcmread(folder / f"{instance}.dcm")
        found.setdefault(dataset.Modality, []).append(dataset)
    return found


def test_the_round_trip_is_the_command_lines_pixel_for_pixel(orthanc: Orthanc, tmp_path: Path) -> None:
    """C-STORE in; mask and report in the same study; the mask of each photograph that of ``inference`` on its file."""
    (tmp_path / "camera").mkdir()
    paths = photographs(tmp_path / "camera", 3)
    orthanc.send(*paths)
    said = work_off(orthanc, tmp_path / "state")
    assert said.count(": segmented") == 3
    assert said.count(": stored") == 6
    assert counts(orthanc) == {"OP": 3, "SEG": 3, "SR": 3}
    (study,) = orthanc.ask("/studies?expand")
    assert study["PatientMainDicomTags"]["PatientID"] == PATIENT["PatientID"]
    assert study["MainDicomTags"]["AccessionNumber"] == PATIENT["AccessionNumber"]

    run_stage("inference", dataset_dir=str(tmp_path / "camera"), output_dir=str(tmp_path / "out"))
    with (tmp_path / "out" / "report.csv").open(encoding="utf-8", newline="") as file:
        rows = {row["image"]: row for row in csv.DictReader(file)}
    held = fetched(orthanc, tmp_path / "held")
    masks = {
        mask.ReferencedSeriesSequence[0].ReferencedInstanceSequence[0].ReferencedSOPInstanceUID: mask
        for mask in held["SEG"]
    }
    reports = {}
    for report in held["SR"]:
        named = {element.value for element in report.iterall() if element.keyword == "ReferencedSOPInstanceUID"}
        (photograph,) = named & masks.keys()
        assert masks[photograph].SOPInstanceUID in named
        reports[photograph] = report
    for path in paths:
        photograph = pydicom.dcmread(path)
        expected = np.asarray(Image.open(tmp_path / "out" / "masks" / f"{path.stem}.png"))
        disc, cup = masks[photograph.SOPInstanceUID].pixel_array
        np.testing.assert_array_equal(disc.astype(np.uint8) + cup, expected)
        assert expected.max() == 2
        vcdr = next(
            item.MeasuredValueSequence[0].NumericValue
            for group in reports[photograph.SOPInstanceUID].ContentSequence[-1].ContentSequence
            for item in group.ContentSequence
            if item.ConceptNameCodeSequence[0].CodeValue == "vcdr"
        )
        assert float(vcdr) == pytest.approx(float(rows[path.name]["vcdr"]), abs=1e-4)
    for path in (tmp_path / "held").iterdir():
        if pydicom.dcmread(path).Modality in ("SEG", "SR"):
            assert errors_found(path) == []


def test_inference_runs_on_what_a_query_returns(orthanc: Orthanc, tmp_path: Path) -> None:
    """The documented way by hand: STOW-RS in, a query, ``inference``, STOW-RS back."""
    (tmp_path / "camera").mkdir()
    archive = DicomWebArchive(orthanc.url)
    for path in photographs(tmp_path / "camera", 2):
        archive.store(path)
    (tmp_path / "study").mkdir()
    for found in archive.photographs():
        archive.fetch(found, tmp_path / "study" / f"{found.instance}.dcm")
    command = [sys.executable, "-m", "monai.bundle", "run", "inference", "--config_file", "configs/inference.json"]
    command += ["--dataset_dir", str(tmp_path / "study"), "--output_dir", str(tmp_path / "out")]
    command += ["--mask_format", "dicom_seg", "--report_format", "dicom_sr", "--keep_study", "true"]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(BUNDLE_ROOT), *sys.path])}
    subprocess.run(command, check=True, cwd=BUNDLE_ROOT, env=environment, capture_output=True)
    for kind in ("masks", "structured_reports"):
        for path in (tmp_path / "out" / kind).iterdir():
            archive.store(path)
    assert counts(orthanc) == {"OP": 2, "SEG": 2, "SR": 2}
    assert len(orthanc.ask("/studies")) == 1
    # The watcher knows the same results, made by hand, for its own.
    assert work_off(orthanc, tmp_path / "state").count("has its report already: passed over") == 2
    assert orthanc.arrivals() == 6


def test_a_watcher_killed_again_and_again_sends_nothing_twice(orthanc: Orthanc, tmp_path: Path) -> None:
    orthanc.send(*photographs(tmp_path, 4))
    # From before it has read anything to after its last line.
    for seconds in (1, 3, 5, 6, 7, 8):
        process = watch(orthanc, tmp_path / "state", "--interval", "0.2")
        time.sleep(seconds)
        process.send_signal(signal.SIGKILL)
        process.communicate()
    work_off(orthanc, tmp_path / "state")
    assert counts(orthanc) == {"OP": 4, "SEG": 4, "SR": 4}
    assert orthanc.arrivals() == 12
    assert orthanc.ask("/statistics")["CountInstances"] == 12
    assert "stored" not in work_off(orthanc, tmp_path / "state")


def test_an_archive_that_goes_away_comes_back_to_a_watcher_that_waits(orthanc: Orthanc, tmp_path: Path) -> None:
    paths = photographs(tmp_path, 3)
    orthanc.stop()
    process = watch(orthanc, tmp_path / "state", "--interval", "0.5")
    time.sleep(8)
    orthanc.start()
    orthanc.send(paths[0])
    until(lambda: counts(orthanc).get("SR") == 1)
    orthanc.stop()
    time.sleep(2)
    orthanc.start()
    orthanc.send(*paths[1:])
    until(lambda: counts(orthanc).get("SR") == 3)
    process.terminate()
    _, said = process.communicate(timeout=60)
    assert "the archive is away (ConnectionError); asking again in" in said
    assert "Traceback" not in said
    assert orthanc.arrivals() == 9


def test_two_watchers_at_once(orthanc: Orthanc, tmp_path: Path) -> None:
    """On one ledger the second is refused; with a ledger of its own it sends nothing that is there."""
    orthanc.send(*photographs(tmp_path, 4))
    processes = [watch(orthanc, tmp_path / name, "--interval", "0.2") for name in ("one", "two")]
    until(lambda: (tmp_path / "one" / "ledger.sqlite").exists())
    third = watch(orthanc, tmp_path / "one", "--once")
    _, said = third.communicate(timeout=60)
    assert third.returncode == 2
    assert said.strip().splitlines() == [
        f"error: another watcher is at work in {tmp_path / 'one'}. Wait for its end, or pass another --state."
    ]
    until(lambda: counts(orthanc).get("SR") == 4)
    time.sleep(3)
    for process in processes:
        process.terminate()
        process.communicate(timeout=60)
    assert counts(orthanc) == {"OP": 4, "SEG": 4, "SR": 4}
    assert orthanc.arrivals() == 12


def test_bad_objects_have_one_line_each(orthanc: Orthanc, tmp_path: Path) -> None:
    (good,) = photographs(tmp_path, 1)
    letter = write_photograph(
        tmp_path / "letter.dcm", SOPClassUID=EncapsulatedPDFStorage, PixelData=None, EncapsulatedDocument=b"%PDF"
    )
    letter.file_meta.MediaStorageSOPClassUID = EncapsulatedPDFStorage
    letter.save_as(tmp_path / "letter.dcm", enforce_file_format=True)
    frames = write_photograph(tmp_path / "frames.dcm", np.zeros((80, 70, 3), np.uint8), NumberOfFrames=2, Rows=40)
    archive = DicomWebArchive(orthanc.url)
    for path in (good, tmp_path / "letter.dcm", tmp_path / "frames.dcm"):
        archive.store(path)
    said = work_off(orthanc, tmp_path / "state")
    lines = [line.split(" ", 2)[2] for line in said.splitlines() if "WARNING" in line or "ERROR" in line]
    assert sorted(lines) == sorted(
        [
            f"WARNING {letter.SOPInstanceUID} is no photograph (Encapsulated PDF Storage): passed over",
            f"WARNING {frames.SOPInstanceUID}: the DICOM file holds 2 frames: export the one to be segmented as a file "
            "of its own; it waits for --retry",
        ]
    )
    assert counts(orthanc) == {"OP": 3, "SEG": 1, "SR": 1}
    assert work_off(orthanc, tmp_path / "state") == ""


def test_a_study_that_vanishes_while_its_results_wait(orthanc: Orthanc, tmp_path: Path) -> None:
    paths = photographs(tmp_path, 2)
    orthanc.send(*paths)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(DicomWebArchive, "store", lambda self, path: (_ for _ in ()).throw(ArchiveAwayError("test")))
        from scripts.watch import main

        assert main([orthanc.url, "--state", str(tmp_path / "state"), "--once"]) == 1
    (study,) = orthanc.ask("/studies")
    orthanc.ask(f"/studies/{study}", method="DELETE")
    assert work_off(orthanc, tmp_path / "state").count("is gone from the archive: its results are kept") == 2
    assert orthanc.ask("/studies") == []
    orthanc.send(*paths)
    assert work_off(orthanc, tmp_path / "state").count("stored") == 4
    assert counts(orthanc) == {"OP": 2, "SEG": 2, "SR": 2}


def test_an_archive_that_refuses_to_store(tmp_path: Path) -> None:
    """One whose disk is full: each object has its line, and waits."""
    pytest.importorskip("dicomweb_client")
    full = Orthanc(tmp_path / "orthanc", MaximumPatientCount=0, MaximumStorageSize=0)
    full.start()
    try:
        full.send(*photographs(tmp_path, 1))
        (tmp_path / "orthanc" / "refuse.lua").write_text(
            "function ReceivedInstanceFilter(dicom, origin)\n  return dicom.Modality == 'OP'\nend\n", encoding="utf-8"
        )
        full.stop()
        configuration = (tmp_path / "orthanc" / "orthanc.json").read_text(encoding="utf-8")
        scripts = f'{{"LuaScripts": ["{tmp_path / "orthanc" / "refuse.lua"}"], '
        (tmp_path / "orthanc" / "orthanc.json").write_text(scripts + configuration[1:], encoding="utf-8")
        full.start()
        said = work_off(full, tmp_path / "state")
        assert said.count("was refused: ") == 2, said
        assert counts(full) == {"OP": 1}
        full.stop()
        (tmp_path / "orthanc" / "orthanc.json").write_text(configuration, encoding="utf-8")
        full.start()
        assert work_off(full, tmp_path / "state") == ""
        assert work_off(full, tmp_path / "state", "--retry").count(": stored") == 2
        assert counts(full) == {"OP": 1, "SEG": 1, "SR": 1}
    finally:
        full.stop()


def test_failures_have_their_kinds(orthanc: Orthanc, tmp_path: Path) -> None:
    archive = DicomWebArchive(orthanc.url)
    with pytest.raises(ArchiveRefusedError):
        archive.fetch(Found("1.2", "1.3", "1.4"), tmp_path / "a.dcm")
    assert not archive.holds("1.2")
    with pytest.raises(ArchiveRefusedError, match="it is gone"):
        list(DicomWebArchive(orthanc.url + "/nowhere").photographs())
    orthanc.stop()
    with pytest.raises(ArchiveAwayError, match="ConnectionError"):
        list(archive.photographs())
    process = watch(orthanc, tmp_path / "state", "--once")
    _, said = process.communicate(timeout=60)
    assert process.returncode == 1
    assert said.strip().endswith("the archive does not answer: ConnectionError")
