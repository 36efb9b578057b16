"""What is found in a folder, under which names, and how outputs are written."""

from __future__ import annotations

import os
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bundle.data.listing import list_photographs
from bundle.data.names import _folded
from bundle.data.splits import split_source
from bundle.errors import CallError
from bundle.io.files import atomic_write, safe_output_path


def touch(root: Path, *relatives: str) -> None:
    for relative in relatives:
        (root / relative).parent.mkdir(parents=True, exist_ok=True)
        (root / relative).touch()


def found(root: Path, **options: Any) -> list[str]:
    """The relative paths that are listed."""
    return [Path(item["image"]).relative_to(root).as_posix() for item in list_photographs(root, **options)]


def names_of(root: Path) -> dict[str, str]:
    return {Path(item["image"]).relative_to(root).as_posix(): item["name"] for item in list_photographs(root)}


def call_error(*arguments: Any, **options: Any) -> str:
    with pytest.raises(CallError) as caught:
        list_photographs(*arguments, **options)
    return str(caught.value)


# Which files


def test_every_suffix_in_either_case(tmp_path: Path) -> None:
    suffixes = ["png", "jpg", "jpeg", "tif", "tiff", "bmp", "dcm", "dicom", "nii", "nii.gz", "PNG", "Nii.GZ"]
    touch(tmp_path, *(f"{index:02}.{suffix}" for index, suffix in enumerate(suffixes)))
    touch(tmp_path, "notes.txt", "report.csv", "archive.gz", "png", "x.png.bak", "model.pt")
    assert found(tmp_path) == [f"{index:02}.{suffix}" for index, suffix in enumerate(suffixes)]
    assert [item["name"] for item in list_photographs(tmp_path)] == [f"{index:02}" for index in range(len(suffixes))]


def test_dicom_by_its_preamble(tmp_path: Path) -> None:
    for name in ("scan", "1.2.840.10008", "other.txt"):
        (tmp_path / name).write_bytes(b"\0" * 128 + b"DICM" + b"\0" * 10)
    (tmp_path / "README").write_text("x" * 200)
    assert names_of(tmp_path) == {"1.2.840.10008": "1.2.840.10008", "scan": "scan"}


def test_image_folder_if_there_is_one(tmp_path: Path) -> None:
    touch(tmp_path, "a.png", "image/b.png", "image/deep/er/c.png", "label/b.png", "masks/d.png")
    assert found(tmp_path) == ["image/b.png", "image/deep/er/c.png"]


def test_everywhere_otherwise_in_order(tmp_path: Path) -> None:
    touch(tmp_path, "b/z.png", "b.png", "a/x.png", "B.png", "c/d/e.png")
    assert found(tmp_path) == sorted(["b/z.png", "b.png", "a/x.png", "B.png", "c/d/e.png"])


def test_hidden_and_label_folders_are_left_out(tmp_path: Path) -> None:
    touch(tmp_path, "a.png", ".b.png", "._a.png", ".cache/c.png", "label/a.png", "disc/a.png", "cup/a.png")
    touch(tmp_path, "site/image/d.png", "site/label/d.png", "site/disc/d.png")
    assert found(tmp_path) == ["a.png", "site/image/d.png"]


def test_a_lone_disc_folder_holds_photographs(tmp_path: Path) -> None:
    touch(tmp_path, "disc/a.png", "macula/a.png")
    assert found(tmp_path) == ["disc/a.png", "macula/a.png"]


@pytest.mark.parametrize("label_folders", [("label",), ("disc", "cup"), ("label", "disc", "cup")])
@pytest.mark.parametrize("prefix", ["", "image/"])
def test_labels_are_never_looked_at_unless_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, label_folders: tuple[str, ...], prefix: str
) -> None:
    touch(tmp_path, f"{prefix}a.png", f"{prefix}b.png")
    without = list_photographs(tmp_path)
    touch(tmp_path, *(f"{folder}/a.png" for folder in label_folders))
    scandir, listed = os.scandir, []

    def watched(path: Any) -> Any:
        listed.append(Path(path).name)
        return scandir(path)

    monkeypatch.setattr(os, "scandir", watched)
    monkeypatch.setattr("bundle.data.listing._first_label", lambda *arguments: pytest.fail("looked for a label"))
    assert list_photographs(tmp_path) == without
    assert listed
    assert not set(listed) & set(label_folders)


def test_excluded_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    touch(tmp_path, "a.png", "out/overlays/a.png", "deep/out/b.png")
    assert found(tmp_path, exclude=[tmp_path / "out"]) == ["a.png", "deep/out/b.png"]
    monkeypatch.chdir(tmp_path)
    assert found(tmp_path, exclude=["out", "deep/../deep/out", "", "absent"]) == ["a.png"]
    assert "a.png" in found(tmp_path, exclude=[tmp_path])


def test_links(tmp_path: Path) -> None:
    root, other = tmp_path / "root", tmp_path / "other"
    touch(root, "a.png")
    touch(other, "b.png", "c.png")
    (root / "link.png").symlink_to(other / "b.png")
    (root / "dangling.png").symlink_to(other / "absent.png")
    (root / "itself.png").symlink_to("itself.png")
    (root / "folder").symlink_to(other)
    (other / "cycle").symlink_to(root)
    (root / "again").symlink_to(other)
    assert found(root) == ["a.png", "again/b.png", "again/c.png", "dangling.png", "itself.png", "link.png"]


def test_pipes_are_no_photographs(tmp_path: Path) -> None:
    touch(tmp_path, "a.png")
    os.mkfifo(tmp_path / "b.png")
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "c.png").mkdir()
    assert found(tmp_path) == ["a.png"]


def test_paths_are_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    touch(tmp_path, "~x/a.png")
    monkeypatch.chdir(tmp_path)
    assert [item["image"] for item in list_photographs(".")] == [str(tmp_path / "~x" / "a.png")]


# Names


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


# Labels


def test_labels_none_optional_required(tmp_path: Path) -> None:
    touch(tmp_path, "image/a.png", "image/b.jpg", "label/a.png")
    a, b = str(tmp_path / "image/a.png"), str(tmp_path / "image/b.jpg")
    label = str(tmp_path / "label/a.png")
    assert list_photographs(tmp_path) == [{"image": a, "name": "a"}, {"image": b, "name": "b"}]
    assert list_photographs(tmp_path, "optional") == [
        {"image": a, "name": "a", "label": label},
        {"image": b, "name": "b"},
    ]
    message = call_error(tmp_path, "required")
    assert "1 of 2" in message
    assert str(tmp_path / "label/b.png") in message
    touch(tmp_path, "label/b.png")
    assert [item["label"] for item in list_photographs(tmp_path, "required")] == [label, str(tmp_path / "label/b.png")]


def test_pairs(tmp_path: Path) -> None:
    touch(tmp_path, "a.nii.gz", "b.png", "disc/a.png", "cup/a.png", "disc/b.png")
    pair = [str(tmp_path / "disc/a.png"), str(tmp_path / "cup/a.png")]
    items = list_photographs(tmp_path, "optional", "pair")
    assert [item.get("label") for item in items] == [pair, None]
    assert str(tmp_path / "cup/b.png") in call_error(tmp_path, "required", "pair")


def test_labels_in_subfolders(tmp_path: Path) -> None:
    touch(tmp_path, "image/l/1.png", "image/r/1.png", "image/r/2.png", "image/s/1.png")
    touch(tmp_path, "label/1.png", "label/l/1.png", "label/r__1.png", "label/2.png")
    labels = {item["name"]: item.get("label") for item in list_photographs(tmp_path, "optional")}
    assert labels == {
        "l__1": str(tmp_path / "label/l/1.png"),
        "r__1": str(tmp_path / "label/r__1.png"),
        "2": str(tmp_path / "label/2.png"),
        "s__1": None,  # label/1.png might be anyone's.
    }


# Calls that cannot succeed


def test_wrong_calls(tmp_path: Path) -> None:
    assert "does not exist" in call_error(tmp_path / "absent")
    touch(tmp_path, "a.png")
    assert "is a file" in call_error(tmp_path / "a.png")
    assert "--dataset_dir" in call_error("")
    assert "index, refuge, pair" in call_error(tmp_path, label_format="colour")
    assert str(tmp_path / "label") in call_error(tmp_path, "required")
    assert str(tmp_path / "disc") in call_error(tmp_path, "required", "pair")
    touch(tmp_path, "empty/image/notes.txt", "empty/a.png")
    message = call_error(tmp_path / "empty")
    assert str(tmp_path / "empty" / "image") in message
    assert all(word in message for word in ("PNG", "JPEG", "TIFF", "BMP", "DICOM", "NIfTI"))


def test_folder_without_permission(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    touch(tmp_path, "a.png", "closed/b.png")
    scandir = os.scandir

    def refuse(path: Any) -> Any:
        if Path(path).name == "closed":
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    assert "closed cannot be read" in call_error(tmp_path)


# Splitting


def items_named(*names: str) -> list[dict[str, Any]]:
    return [{"name": name, "image": f"{name}.png"} for name in names]


SOURCE = items_named(*(f"g{index:03}" for index in range(40)), *(f"n{index:03}" for index in range(360)))


def test_split_is_stratified_and_complete() -> None:
    training, validation = split_source(SOURCE, 0.2, seed=0)
    assert len(validation) == 80
    assert sum(item["name"][0] == "g" for item in validation) == 8
    names = [item["name"] for item in training + validation]
    assert sorted(names) == sorted(item["name"] for item in SOURCE)
    for part in (training, validation):
        assert [item["name"] for item in part] == sorted(item["name"] for item in part)
    assert training[0]["image"] == f"{training[0]['name']}.png"


def test_split_depends_on_seed_and_names_only() -> None:
    shuffled = list(SOURCE)
    random.Random(1).shuffle(shuffled)
    assert split_source(shuffled, 0.2, seed=3) == split_source(SOURCE, 0.2, seed=3)
    assert split_source(SOURCE, 0.2, seed=4) != split_source(SOURCE, 0.2, seed=3)
    prefixes = split_source(SOURCE, 0.2, seed=3, prefix_length=3)[1]
    assert {item["name"][:3] for item in prefixes} == {item["name"][:3] for item in SOURCE}


def test_split_of_this_version_stays() -> None:
    held_out = split_source(items_named(*"abcdefgh"), 0.25, seed=0, prefix_length=0)[1]
    assert [item["name"] for item in held_out] == ["f", "h"]


@pytest.mark.parametrize("fraction", [0.01, 0.5, 0.99])
def test_small_strata(fraction: float) -> None:
    training, validation = split_source(items_named("g1", "g2", "n1", "n2", "n3", "x1"), fraction, seed=0)
    assert {item["name"][0] for item in validation} == {"g", "n"}
    assert {item["name"][0] for item in training} == {"g", "n", "x"}
    for names in ("ab", "abcdefg"):
        assert all(split_source(items_named(*names), fraction, seed=0))


def test_impossible_splits() -> None:
    for fraction in (0, 1, -0.1, 1.5, float("nan")):
        with pytest.raises(CallError):
            split_source(SOURCE, fraction, seed=0)
    with pytest.raises(CallError):
        split_source(items_named("a"), 0.5, seed=0)


# Writing


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
