"""Every photograph gets a name of its own that any file system can take."""

from __future__ import annotations

import os
import random
from pathlib import Path

import pytest

from bundle.data.listing import list_photographs
from bundle.data.names import _folded
from tests.support.folders import names_of, touch


def test_names_where_stems_collide(tmp_path: Path) -> None:
    touch(tmp_path, "left/1.png", "right/1.PNG", "right/1.jpg", "Single.png", "x/eye.nii.gz", "x/eye.nii", "y/EYE.png")
    assert names_of(tmp_path) == {
        "left/1.png": "left__1",
        "right/1.PNG": "right__1_png",
        "right/1.jpg": "right__1_jpg",
        "Single.png": "Single",
        "x/eye.nii": "x__eye_nii",
        "x/eye.nii.gz": "x__eye_nii_gz",
        "y/EYE.png": "y__EYE",
    }


def test_unusual_names(tmp_path: Path) -> None:
    touch(tmp_path, "a'b\".png", "new\nline\t.png", "back\\slash.png", "\u202egnp.png", "été 1.png", " .png", "...png")
    names = names_of(tmp_path)
    assert names["a'b\".png"] == "a_b_"
    assert names["new\nline\t.png"] == "new_line_"
    assert names["back\\slash.png"] == "back_slash"
    assert names["\u202egnp.png"] == "_gnp"
    assert names["été 1.png"] == "été 1"
    assert names[" .png"] == "_"
    assert "...png" not in names  # It is hidden.


def test_name_that_is_not_text(tmp_path: Path) -> None:
    raw = os.fsencode(tmp_path) + b"/caf\xe9.png"
    try:
        os.close(os.open(raw, os.O_CREAT))
    except OSError:
        pytest.skip("this file system takes UTF-8 only")
    assert [item["name"] for item in list_photographs(tmp_path)] == ["caf_"]


def test_long_names_are_cut_and_stay_apart(tmp_path: Path) -> None:
    touch(tmp_path, "é" * 120 + "1.png", "é" * 120 + "2.png", "x" * 150 + ".png", "deep/" + "x" * 150 + ".png")
    names = list(names_of(tmp_path).values())
    assert len(set(names)) == 4
    assert all(len(name.encode()) <= 150 for name in names)
    assert all(name.startswith(("é" * 60, "x" * 60, "deep__x")) for name in names)


def test_names_are_unique_whatever_the_files(tmp_path: Path) -> None:
    draw = random.Random(0)
    for case in range(30):
        root = tmp_path / str(case)
        for _ in range(40):
            parts = [
                draw.choice(["a", "A", "a_", "a__a", "a'", 'a"', "_", "é", "e\u0301"])
                for _ in range(draw.randint(1, 3))
            ]
            touch(root, "/".join(parts) + draw.choice([".png", ".PNG", ".jpg", "_jpg.png", ".nii.gz"]))
        names = names_of(root)
        assert len({_folded(name) for name in names.values()}) == len(names)
        assert not any("/" in name or name in ("", ".", "..") for name in names.values())
        assert names == names_of(root)
