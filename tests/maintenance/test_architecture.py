"""The pictures of the architecture show the code as it is."""

from __future__ import annotations

import ast
import json

import pytest

from bundle.maintenance.architecture import WALKS, floors, imports_of_rooms
from bundle.stages import BUNDLE_ROOT
from scripts.draw_architecture import main

STEPS = [(walk, where) for walk, steps in WALKS.items() for _, where in steps]


def test_the_pictures_are_up_to_date():
    assert main(["--check"]) == 0, "run python scripts/draw_architecture.py"


@pytest.mark.parametrize(("walk", "where"), STEPS)
def test_every_step_of_a_walk_exists(walk, where):
    file, names = where.split("\n")
    if file.endswith(".json"):
        known = set(json.loads((BUNDLE_ROOT / file).read_text(encoding="utf-8")))
    else:
        nodes = ast.parse((BUNDLE_ROOT / "bundle" / file).read_text(encoding="utf-8")).body
        kinds = (ast.FunctionDef, ast.ClassDef, ast.ImportFrom)
        known = {
            name
            for node in nodes
            if isinstance(node, kinds)
            for name in ([alias.name for alias in node.names] if isinstance(node, ast.ImportFrom) else [node.name])
        }
    for name in names.replace(" -> ", ", ").split(", "):
        assert name.partition(".")[0] in known, where


def test_rooms_stand_above_what_they_import():
    imports = imports_of_rooms(BUNDLE_ROOT / "bundle")
    height = {room: number for number, floor in enumerate(floors(imports)) for room in floor}
    assert all(height[room] > height[other] for room, used in imports.items() for other in used)
    assert "data" in height


def test_a_circle_is_refused():
    with pytest.raises(ValueError, match="circle"):
        floors({"a": {"b"}, "b": {"a"}})
