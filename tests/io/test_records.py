"""A record counts for the very photograph and settings that it was made from, and for nothing else."""

from __future__ import annotations

import json
import math
import os
from pathlib import Path

import pytest

from bundle.io.records import Records


@pytest.fixture
def items(tmp_path: Path) -> list[dict]:
    folder = tmp_path / "in"
    folder.mkdir()
    for name in "abc":
        (folder / f"{name}.png").write_bytes(name.encode())
    return [{"name": name, "image": str(folder / f"{name}.png")} for name in "abc"]


@pytest.fixture
def records(tmp_path: Path) -> Records:
    return Records(tmp_path / "out", ".stage", "these settings")


def names(items: list[dict]) -> str:
    return "".join(item["name"] for item in items)


def test_what_was_saved_is_no_longer_pending(records, items):
    assert names(records.pending(items)) == "abc"
    records.save(items[1], {"vcdr": 0.1 + 0.2, "hcdr": math.nan, "image": "odd \udce9"})
    assert names(records.pending(items)) == "ac"
    again = Records(records.output_dir, ".stage", "these settings")
    assert names(again.pending(items)) == "ac"
    content = again.load(items[1])
    assert content is not None
    assert (content["vcdr"], content["image"]) == (0.1 + 0.2, "odd \udce9")
    assert math.isnan(content["hcdr"])


def test_what_is_not_final_counts_and_is_pending_again(records, items):
    records.save(items[0], {"x": 1}, final=False)
    assert records.load(items[0])["x"] == 1
    assert names(records.pending(items)) == "abc"


@pytest.mark.parametrize("change", ["settings", "bytes", "time", "path", "missing"])
def test_a_record_of_something_else_does_not_count_and_goes(change, records, items):
    records.save(items[0], {})
    path, other = Path(items[0]["image"]), records
    if change == "settings":
        other = Records(records.output_dir, ".stage", "other settings")
    elif change == "bytes":
        path.write_bytes(b"longer")
    elif change == "time":
        os.utime(path, ns=(0, path.stat().st_mtime_ns + 1))
    elif change == "path":
        items[0]["image"] = str(path.rename(path.with_name("elsewhere.png")))
    else:
        path.unlink()
    assert other.load(items[0]) is None
    assert names(other.pending(items)) == "abc"
    assert not list(records.folder.iterdir())


def test_a_record_does_not_count_without_its_files(records, items):
    mask = records.output_dir / "masks" / "a.png"
    mask.parent.mkdir(parents=True)
    mask.touch()
    records.save(items[0], {"files": ["masks/a.png"]})
    assert names(records.pending(items)) == "bc"
    mask.unlink()
    assert names(records.pending(items)) == "abc"


@pytest.mark.parametrize("content", ["", "{", "[]", "null", '{"of": "x"}', "\xff"])
def test_a_damaged_record_does_not_count(content, records, items):
    records.save(items[0], {})
    (records.folder / "a.json").write_text(content, encoding="latin-1")
    assert names(records.pending(items)) == "abc"


def test_processes_share_the_work_by_nothing_but_the_folder(records, items):
    shares = [Records(records.output_dir, ".stage", "these settings") for _ in range(2)]
    for rank, share in enumerate(shares):
        for item in share.pending(items[rank::2]):
            share.save(item, {"rank": rank})
    assert [records.load(item)["rank"] for item in items] == [0, 1, 0]


def test_clearing_leaves_what_is_the_users(records, items):
    records.save(items[0], {})
    keep = [".DS_Store", ".0123456789abcdef0.png", "0123456789abcdef.png", ".notes"]
    go = [".0123456789abcdef.png", ".0123456789abcdef", "masks/.0123456789abcdef.nii.gz"]
    (records.output_dir / "masks").mkdir()
    for name in (*keep, *go):
        (records.output_dir / name).touch()
    records.clear()
    assert sorted(path.name for path in records.output_dir.rglob("*")) == sorted([*keep, "masks"])


def test_records_are_json(records, items):
    records.save(items[0], {"x": "ä"})
    assert json.loads((records.folder / "a.json").read_bytes())["content"] == {"x": "ä", "final": True}
