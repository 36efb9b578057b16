"""Bad input costs its own row or one line: the catalogue of ``bad_input.py`` through whole stages."""

from __future__ import annotations

import io
import json
import os
import socket
import stat
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest
import torch
from monai.transforms import LoadImaged

from bundle.data.label_reader import LabelFits, LabelReader
from bundle.data.limits import MAX_BYTES
from bundle.data.listing import list_photographs
from bundle.data.photograph_reader import PhotographReader
from bundle.errors import CallError, UnreadablePhotographError
from bundle.networks.unet import DiscCupUNet
from bundle.networks.weights import load_weights
from bundle.stages import BUNDLE_ROOT, run_stage
from tests.robustness import bad_input
from tests.robustness.bad_input import Case, picture
from tests.support.opener import Opener
from tests.support.permissions import as_nobody
from tests.support.stages import TINY_CROPS, rows

READ = {"ok", "review", "no_disc"}
CATALOGUE = [*bad_input.truncated(), *bad_input.formats(), *bad_input.medical()]
MOST_MEMORY_KB = 3_000_000


@pytest.fixture
def checkpoint(network: DiscCupUNet, tmp_path: Path) -> Path:
    torch.save(network.state_dict(), tmp_path / "model.pt")
    return tmp_path / "model.pt"


def write(folder: Path, cases: Iterable[Case]) -> None:
    for case in cases:
        path = folder / case.name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(case.content)


def segment(folder: Path, output: Path, checkpoint: Path) -> tuple[int, dict[str, dict[str, str]]]:
    """The exit status and the report's rows by photograph, of which no two may be the same."""
    status = run_stage(
        "inference", dataset_dir=str(folder), output_dir=str(output), checkpoint=str(checkpoint), **TINY_CROPS
    )
    table = rows(output / "report.csv")
    by_name = {row["image"]: row for row in table}
    assert len(by_name) == len(table)
    return status, by_name


def test_the_catalogue_is_large_and_its_files_have_names_of_their_own() -> None:
    assert len({case.name for case in CATALOGUE}) == len(CATALOGUE) >= 60


@pytest.mark.filterwarnings("ignore")
def test_every_file_of_the_catalogue_gets_the_row_that_is_stated(tmp_path, checkpoint, capfd) -> None:
    write(tmp_path / "in", CATALOGUE)
    status, table = segment(tmp_path / "in", tmp_path / "out", checkpoint)
    assert status == 1
    assert set(table) == {case.name for case in CATALOGUE}
    wrong = []
    for case in CATALOGUE:
        row = table[case.name]
        as_stated = row["status"] in READ if case.reason is None else row["status"] == "unreadable"
        if not as_stated or (case.reason is not None and (case.reason not in row["reason"] or not row["reason"])):
            wrong.append((case.name, case.reason, row["status"], row["reason"]))
    assert wrong == []
    readable = sum(case.reason is None for case in CATALOGUE)
    assert len(list((tmp_path / "out" / "masks").iterdir())) == readable
    assert len(list((tmp_path / "out" / "overlays").iterdir())) == readable
    said = "".join(capfd.readouterr())
    assert "Traceback" not in said


def test_bombs_are_defused_within_three_gigabytes(tmp_path: Path) -> None:
    """In a process of its own, so that its largest size is due to the readers alone."""
    cases = list(bad_input.bombs(MAX_BYTES))
    write(tmp_path, cases)
    assert all(len(case.content) < 4_000_000 for case in cases)
    code = (
        "import json, pathlib, re, sys\n"
        "from bundle.errors import UnreadablePhotographError\n"
        "from bundle.data.photograph_reader import PhotographReader\n"
        "reasons = {}\n"
        "for path in sys.argv[1:]:\n"
        "    try:\n"
        "        PhotographReader().get_data((path,))\n"
        "    except UnreadablePhotographError as error:\n"
        "        reasons[path] = error.reason\n"
        # The peak of resource.getrusage begins with that of the process that started this one.
        "status = pathlib.Path('/proc/self/status').read_text()\n"
        "print(json.dumps([reasons, int(re.search(r'VmHWM:\\s+(\\d+)', status)[1])]))\n"
    )
    paths = [str(tmp_path / case.name) for case in cases]
    done = subprocess.run(
        [sys.executable, "-c", code, *paths], capture_output=True, text=True, check=True, timeout=120, cwd=BUNDLE_ROOT
    )
    reasons, peak = json.loads(done.stdout.splitlines()[-1])
    for case, path in zip(cases, paths, strict=True):
        assert (case.reason or "") in reasons[path]
    # Far below: not one of them may have been unpacked into memory.
    assert peak < MOST_MEMORY_KB / 3


# Names, links and what is no file


def test_photographs_are_read_whatever_their_names(tmp_path, checkpoint, capfd) -> None:
    folder = tmp_path / "in"
    for name in bad_input.NAMES:
        path = os.fsencode(folder) + b"/" + name
        os.makedirs(os.path.dirname(path), exist_ok=True)  # noqa: PTH103, PTH120
        with open(path, "wb") as file:  # noqa: PTH123
            file.write(picture())
    before = {path for path in tmp_path.iterdir()} | {tmp_path / "out"}
    status, table = segment(folder, tmp_path / "out", checkpoint)
    assert status == 0
    assert len(table) == len(bad_input.NAMES)
    assert {row["status"] for row in table.values()} <= READ
    for part in ("masks", "overlays"):
        made = [path.name for path in (tmp_path / "out" / part).iterdir()]
        assert len({name.casefold() for name in made}) == len(made) == len(bad_input.NAMES)
    assert set(tmp_path.iterdir()) == before
    page = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    assert "<img src=x" not in page
    assert "<script>alert" not in page
    # Logging prints a traceback of its own where a line cannot be written.
    assert "Traceback" not in "".join(capfd.readouterr())


def test_unreadable_files_with_odd_names_are_logged_in_a_line_each(tmp_path, checkpoint, monkeypatch, capfd) -> None:
    """On a terminal that knows ASCII alone."""
    folder, terminal = tmp_path / "in", io.BytesIO()
    folder.mkdir()
    for name in (b"not-\xff-utf8.png", "眼.png".encode(), b"new\nline.png"):
        with open(os.fsencode(folder) + b"/" + name, "wb") as file:  # noqa: PTH123
            file.write(b"x")
    with monkeypatch.context() as patch:
        patch.setattr(sys, "stdout", io.TextIOWrapper(terminal, encoding="ascii", write_through=True))
        status, table = segment(folder, tmp_path / "out", checkpoint)
    assert status == 1
    assert len(table) == 3
    lines = [line for line in terminal.getvalue().splitlines() if b"unreadable: " in line]
    assert len(lines) == 3
    assert all(line.endswith(b"8-bit RGB PNG") for line in lines)
    assert "Traceback" not in "".join(capfd.readouterr())


def test_links_pipes_sockets_and_folders_neither_hang_nor_stop(tmp_path, checkpoint) -> None:
    folder, elsewhere = tmp_path / "in", tmp_path / "elsewhere"
    (folder / "folder.png").mkdir(parents=True)
    elsewhere.mkdir()
    (elsewhere / "real.png").write_bytes(picture())
    (folder / "linked.png").symlink_to(elsewhere / "real.png")
    (folder / "hard.png").hardlink_to(elsewhere / "real.png")
    (folder / "dangling.png").symlink_to("nowhere.png")
    (folder / "cycle.png").symlink_to("cycle.png")
    (folder / "ping.png").symlink_to("pong.png")
    (folder / "pong.png").symlink_to("ping.png")
    (folder / "long.png").symlink_to("x" * 300)
    (folder / "around").symlink_to(folder)
    (folder / "device.png").symlink_to("/dev/zero")
    (folder / "piped.png").symlink_to("pipe.png")
    os.mkfifo(folder / "pipe.png")
    os.mkfifo(folder / "pipe")
    here = Path.cwd()
    with socket.socket(socket.AF_UNIX) as listener:
        try:
            # The address of a socket has to be short.
            os.chdir(folder)
            listener.bind("socket.png")
        finally:
            os.chdir(here)
        assert stat.S_ISSOCK((folder / "socket.png").stat().st_mode)
        status, table = segment(folder, tmp_path / "out", checkpoint)
    assert status == 1
    broken = {"dangling.png", "cycle.png", "ping.png", "pong.png", "long.png"}
    assert set(table) == broken | {"linked.png", "hard.png"}
    assert {name for name, row in table.items() if row["status"] == "unreadable"} == broken
    assert "link to nowhere" in table["dangling.png"]["reason"]


def test_what_may_not_be_read_says_so(open_folder: Path, network: DiscCupUNet) -> None:
    closed = open_folder / "closed"
    closed.mkdir()
    for path in (open_folder / "secret.png", open_folder / "secret.dcm", closed / "inside.png"):
        path.write_bytes(picture())
    torch.save(network.state_dict(), open_folder / "model.pt")
    for path in (open_folder / "secret.png", open_folder / "secret.dcm", open_folder / "model.pt"):
        path.chmod(0o000)
    # Its names may be listed, what they stand for may not be looked at.
    closed.chmod(0o744)

    def check() -> None:
        found = [item["image"] for item in list_photographs(open_folder)]
        assert len(found) == 3, found
        for path in found:
            with pytest.raises(UnreadablePhotographError, match="change its permissions"):
                PhotographReader().get_data((path,))
        with pytest.raises(CallError, match="cannot be read"):
            load_weights(network, open_folder / "model.pt")
        with pytest.raises(CallError, match="does not exist"):
            load_weights(network, closed / "model.pt")

    as_nobody(check)


def test_a_folder_that_may_not_be_listed_is_named(open_folder: Path) -> None:
    (open_folder / "a.png").write_bytes(picture())
    (open_folder / "closed").mkdir(mode=0o711)

    def check() -> None:
        with pytest.raises(CallError, match="closed cannot be read"):
            list_photographs(open_folder)

    as_nobody(check)


@pytest.mark.parametrize("name", ["nul\0", "~nobody-of-that-name", "x" * 300, "a\nb", "\udcff", ""])
def test_impossible_folders_are_wrong_calls(name: str) -> None:
    with pytest.raises(CallError) as caught:
        list_photographs(name)
    assert "\n" not in caught.value.message


# Labels


@pytest.mark.parametrize("case", sorted(bad_input.LABELS))
def test_a_bad_label_costs_its_own_photograph(case, tmp_path, checkpoint) -> None:
    label_format, content, words = bad_input.LABELS[case]
    folder = tmp_path / "in"
    good = np.zeros((bad_input.HEIGHT, bad_input.WIDTH), np.uint8)
    good[10:40, 20:50] = 1
    good[20:30, 30:40] = 2
    sound = np.array([255, 128, 0], np.uint8)[good] if label_format == "refuge" else good
    for part in ("disc", "cup") if label_format == "pair" else ("label",):
        sound = (good > (1 if part == "cup" else 0)).astype(np.uint8) if label_format == "pair" else sound
        (folder / part).mkdir(parents=True)
        (folder / part / "bad.png").write_bytes(content if part != "disc" else picture(sound))
        (folder / part / "good.png").write_bytes(picture(sound))
    (folder / "image").mkdir()
    for name in ("bad.png", "good.png"):
        (folder / "image" / name).write_bytes(picture())
    settings = TINY_CROPS | {"label_format": label_format, "checkpoint": str(checkpoint)}
    status = run_stage("evaluation", dataset_dir=str(folder), output_dir=str(tmp_path / "out"), **settings)
    assert status == 1
    metrics = json.loads((tmp_path / "out" / "metrics.json").read_text())
    assert metrics["images"] == 1
    assert [row["image"] for row in rows(tmp_path / "out" / "metrics.csv")] == ["good"]
    items = list_photographs(folder, labels="required", label_format=label_format)
    with pytest.raises(UnreadablePhotographError, match=words):
        _load_pair(items[0], label_format)


def _load_pair(item: dict, label_format: str) -> None:
    labels = LoadImaged("label", LabelReader, label_format=label_format)
    LabelFits()(labels(LoadImaged("image", PhotographReader)(item)))


# Checkpoints


def bad_checkpoint(kind: str, network: DiscCupUNet, path: Path) -> None:
    state = dict(network.state_dict())
    first = next(iter(state))
    shape = state[first].shape
    if kind.startswith("cut "):
        torch.save(state, path)
        path.write_bytes(path.read_bytes()[: path.stat().st_size * int(kind[4:]) // 10])
    elif kind == "empty":
        path.touch()
    elif kind == "text":
        path.write_text("weights: none\n" * 20)
    elif kind == "photograph":
        path.write_bytes(picture())
    elif kind == "folder":
        path.mkdir()
    elif kind == "pipe":
        os.mkfifo(path)
    else:
        contents = {
            "nan": {**state, first: torch.full(shape, torch.nan)},
            "terabytes": {name: value.new_zeros(1).expand(10**4, 10**4, 10**5) for name, value in state.items()},
            "sparse": {**state, first: torch.zeros(shape).to_sparse()},
            "complex": {**state, first: torch.zeros(shape, dtype=torch.complex64)},
            "meta": {**state, first: torch.zeros(shape, device="meta")},
            "opener": {**state, first: Opener(path.with_name("opened"))},
            "opener in a list": [Opener(path.with_name("opened"))],
            "network": network,
            "another architecture": torch.nn.Linear(3, 4).state_dict(),
            "one more": {**state, "extra\nline": torch.zeros(1)},
            "text inside": {**state, first: "weights"},
        }
        torch.save(contents[kind], path)


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        *((f"cut {tenth}", "cannot be read") for tenth in range(1, 10)),
        ("empty", "cannot be read"),
        ("text", "cannot be read"),
        ("photograph", "cannot be read"),
        ("folder", "is no file"),
        ("pipe", "is no file"),
        ("nan", "not finite"),
        ("terabytes", "size mismatch"),
        ("sparse", "no plain tensor"),
        ("complex", "no plain tensor"),
        ("meta", "no plain tensor"),
        ("opener", "cannot be read"),
        ("opener in a list", "cannot be read"),
        ("network", "cannot be read"),
        ("another architecture", "missing key"),
        ("one more", "unexpected key extra line"),
        ("text inside", "no state dict"),
    ],
)
def test_a_bad_checkpoint_is_a_wrong_call_and_runs_nothing(kind, words, network, tmp_path) -> None:
    path = tmp_path / "model.pt"
    bad_checkpoint(kind, network, path)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    with pytest.raises(CallError, match=words) as caught:
        load_weights(network, path)
    assert str(path) in caught.value.message
    assert "\n" not in caught.value.message
    assert not (tmp_path / "opened").exists()
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())


@pytest.mark.parametrize("name", ["x" * 300, "nul\0"])
def test_an_impossible_checkpoint_is_a_wrong_call(name, network, tmp_path) -> None:
    with pytest.raises(CallError, match="does not exist"):
        load_weights(network, tmp_path / name)


def test_the_opener_would_open(tmp_path: Path) -> None:
    """The tests above would prove nothing if the pickle did nothing."""
    torch.save(Opener(tmp_path / "opened"), tmp_path / "model.pt")
    torch.load(tmp_path / "model.pt", weights_only=False)
    assert (tmp_path / "opened").exists()
