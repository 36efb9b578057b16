"""A fingerprint changes with everything a result depends on, and with nothing else."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from bundle.io.provenance import fingerprint, model_identity


@pytest.fixture
def call(tmp_path) -> tuple:
    (tmp_path / "model.pt").write_bytes(b"weights")
    items = []
    for name in ("a", "b"):
        path = tmp_path / f"{name}.png"
        path.write_bytes(name.encode())
        os.utime(path, ns=(10**18, 10**18))
        items.append({"name": name, "image": str(path)})
    return str(tmp_path / "model.pt"), items, "auto", 256, {"losses": {"a": 1.0, "b": 2.0}}


def test_it_is_32_hexadecimal_digits_and_stable(call):
    found = fingerprint(*call)
    assert len(found) == 32
    assert int(found, 16) >= 0
    assert fingerprint(*call) == found


@pytest.mark.parametrize("change", ["weights", "no weights", "pixels", "time", "gone", "fewer", "renamed"])
def test_it_changes_with_weights_and_photographs(call, change):
    before = fingerprint(*call)
    checkpoint, items, *settings = call
    image = Path(items[1]["image"])
    if change == "weights":
        Path(checkpoint).write_bytes(b"weightz")
    elif change == "no weights":
        Path(checkpoint).unlink()
    elif change == "pixels":
        image.write_bytes(b"longer")
        os.utime(image, ns=(10**18, 10**18))
    elif change == "time":
        os.utime(image, ns=(10**18, 10**18 + 1000))
    elif change == "gone":
        image.unlink()
    elif change == "fewer":
        items = items[:1]
    else:
        items = [items[0], {**items[1], "name": "c"}]
    assert fingerprint(checkpoint, items, *settings) != before


@pytest.mark.parametrize(
    "settings",
    [
        ("crop", 256, {"losses": {"a": 1.0, "b": 2.0}}),
        ("auto", 128, {"losses": {"a": 1.0, "b": 2.0}}),
        ("auto", 256, {"losses": {"a": 1.0, "b": 2.5}}),
        ("auto", {"losses": {"a": 1.0, "b": 2.0}}, 256),
        ("auto", 256),
    ],
)
def test_it_changes_with_the_settings(call, settings):
    assert fingerprint(*call[:2], *settings) != fingerprint(*call)


def test_it_changes_with_neither_labels_nor_order_nor_place(call, tmp_path):
    before = fingerprint(*call)
    checkpoint, items, *settings = call
    label = tmp_path / "label.png"
    labelled = [{**item, "label": str(label)} for item in items]
    assert fingerprint(checkpoint, labelled, *settings) == before
    label.write_bytes(b"another")
    assert fingerprint(checkpoint, labelled[::-1], *settings) == before
    settings[-1] = {"losses": {"b": 2.0, "a": 1.0}}
    assert fingerprint(checkpoint, items, *settings) == before
    moved = tmp_path / "moved" / "a.png"
    moved.parent.mkdir()
    Path(items[0]["image"]).rename(moved)
    assert fingerprint(checkpoint, [{**items[0], "image": str(moved)}, items[1]], *settings) == before


def test_the_model_is_named_by_file_and_content(call):
    expected = hashlib.sha256(b"weights").hexdigest()[:12]
    assert model_identity(call[0]) == f"model.pt (sha256 {expected})"
