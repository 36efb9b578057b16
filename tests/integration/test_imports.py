"""Inference loads nothing of training, adaptation and benchmark: it starts sooner, and their faults cannot reach it."""

from __future__ import annotations

import json
import subprocess
import sys
import tomllib
from pathlib import Path

from PIL import Image

from bundle.stages import BUNDLE_ROOT
from bundle.synthetic.phantoms.photographs import make_crop

SEGMENT = """
import json, pathlib, sys
from bundle.stages import run_stage

settings, modules = sys.argv[1:]
status = run_stage("inference", **json.loads(settings))
pathlib.Path(modules).write_text(json.dumps(sorted(sys.modules)))
raise SystemExit(status)
"""


def forbidden() -> tuple[str, ...]:
    """What inference may not import, by the contract that ``lint-imports`` checks in the sources."""
    project = tomllib.loads((BUNDLE_ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    contracts = project["tool"]["importlinter"]["contracts"]
    (contract,) = [contract for contract in contracts if contract["type"] == "forbidden"]
    return tuple(contract["forbidden_modules"])


def test_inference_loads_no_other_stage(tmp_path: Path) -> None:
    """By the real config, whose expressions import what no linter sees."""
    (tmp_path / "in").mkdir()
    Image.fromarray(make_crop(1, size=128).image).save(tmp_path / "in" / "a.png")
    settings = {"dataset_dir": str(tmp_path / "in"), "output_dir": str(tmp_path / "out")}
    command = [sys.executable, "-c", SEGMENT, json.dumps(settings), str(tmp_path / "modules.json")]
    done = subprocess.run(command, cwd=BUNDLE_ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    assert (tmp_path / "out" / "masks" / "a.png").is_file()
    modules = json.loads((tmp_path / "modules.json").read_text())
    assert {"bundle.locator.search", "bundle.report.page", "bundle.transforms.disc_view"} <= set(modules)
    assert [name for name in modules if f"{name}.".startswith(tuple(f"{room}." for room in forbidden()))] == []
