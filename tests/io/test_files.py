"""Files appear whole or not at all, and nowhere but in the output folder."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from torch import nn

from bundle.errors import CallError
from bundle.io.files import atomic_write, check_output_dir, safe_output_path, save_atomically
from bundle.networks.weights import save_weights
from tests.support.permissions import as_nobody


def test_safe_output_path(tmp_path: Path) -> None:
    assert safe_output_path(tmp_path, "masks", "a.png") == tmp_path / "masks" / "a.png"
    assert safe_output_path(tmp_path, "a/../b.png") == tmp_path / "b.png"
    assert safe_output_path("out", "a..b.png") == Path("out/a..b.png")
    assert safe_output_path(".", "a.png") == Path("a.png")
    assert safe_output_path("../out", "a.png") == Path("../out/a.png")
    for output_dir in (tmp_path / "out", "out", ".", ".."):
        for parts in (("..",), ("masks", "../../a.png"), ("/etc/passwd",), ("../out2/a.png",), ("a\0.png",)):
            with pytest.raises(ValueError, match="leave"):
                safe_output_path(output_dir, *parts)


def test_atomic_write(tmp_path: Path) -> None:
    target = tmp_path / "new" / "a.npz"
    with atomic_write(target) as temporary:
        assert temporary.parent == target.parent
        assert temporary.name.startswith(".")
        assert temporary.suffix == ".npz"
        np.savez(temporary, values=np.arange(3))
        assert not target.exists()
    assert np.load(target)["values"].tolist() == [0, 1, 2]
    with atomic_write(target) as temporary:
        temporary.write_text("newer")
    assert target.read_text() == "newer"
    assert list(target.parent.iterdir()) == [target]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit])
def test_atomic_write_that_fails_leaves_nothing(tmp_path: Path, error: type[BaseException]) -> None:
    target = tmp_path / "a.csv"
    target.write_text("older")

    def write() -> None:
        with atomic_write(target) as temporary:
            temporary.write_text("half")
            raise error

    with pytest.raises(error):
        write()
    assert list(tmp_path.iterdir()) == [target]
    assert target.read_text() == "older"


def test_atomic_write_of_nothing_or_onto_a_folder(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError), atomic_write(tmp_path / "a.csv"):
        pass
    (tmp_path / "folder").mkdir()
    with pytest.raises(IsADirectoryError), atomic_write(tmp_path / "folder") as temporary:
        temporary.write_text("x")
    assert list(tmp_path.iterdir()) == [tmp_path / "folder"]


def test_a_failed_write_leaves_the_old_file(tmp_path):
    path = tmp_path / "model.pt"
    save_weights(nn.Linear(2, 1), path)
    before = path.read_bytes()
    with pytest.raises(AttributeError):
        save_atomically({"a": lambda: None}, path)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_what_is_checked_leaves_nothing_behind(tmp_path):
    check_output_dir(tmp_path / "a" / "b")
    assert list((tmp_path / "a" / "b").iterdir()) == []


def test_a_closed_folder(open_folder):
    open_folder.chmod(0o555)

    def check():
        with pytest.raises(CallError, match="Permission denied"):
            check_output_dir(open_folder)

    as_nobody(check)


def test_other_errors_pass(tmp_path):
    with pytest.raises(FileNotFoundError), atomic_write(tmp_path / "a.txt"):
        (tmp_path.parent / "nowhere" / "b").read_text()
    with pytest.raises(RuntimeError, match="mine"), atomic_write(tmp_path / "a.txt"):
        raise RuntimeError("mine")
    assert list(tmp_path.iterdir()) == []
