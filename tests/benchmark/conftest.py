"""Tiny made-up results and photographs; nothing is trained."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from bundle.benchmark import execution
from bundle.benchmark.plan import CONFIG, Run
from bundle.benchmark.results import Results, load
from bundle.synthetic.phantoms.photographs import write_dataset
from tests.benchmark.made_up import SCORES, write_run


@pytest.fixture
def output(tmp_path: Path) -> Path:
    """The benchmark's output folder."""
    return tmp_path / "output"


@pytest.fixture
def results(output: Path) -> Results:
    """Runs of ``SCORES``, and a row of the ablation on each target."""
    runs = [
        write_run(output, Run(target, recipe, seed), disc)
        for target, recipes in SCORES.items()
        for recipe, discs in recipes.items()
        for seed, disc in enumerate(discs)
    ]
    runs += [write_run(output, Run(target, "plus", 0, "no teacher"), 0.85) for target in SCORES]
    return load(runs, output)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """REFUGE's names, so that a fifth of each kind is held out: 4 glaucomatous and 8 normal eyes."""
    refuge = tmp_path / "data" / "refuge" / "train"
    write_dataset(tmp_path / "made", 60, kind="crop", size=64)
    for kind in ("image", "label"):
        (refuge / kind).mkdir(parents=True)
        for i, path in enumerate(sorted((tmp_path / "made" / kind).iterdir())):
            path.rename(refuge / kind / f"{'g' if i < 20 else 'n'}{i:04d}.png")
    return tmp_path / "data"


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, dict[str, Any]]]:
    """The stages that runs consist of; each writes what the contract names, and nothing else happens."""
    made: list[tuple[str, dict[str, Any]]] = []

    def run_stage(name: str, **overrides: Any) -> int:
        made.append((name, overrides))
        folder = Path(overrides["output_dir"])
        for part in ("pseudo_labels", "events", "overlays", "masks"):
            (folder / part).mkdir(parents=True, exist_ok=True)
        if name in ("training", "adaptation"):
            (folder / "model.pt").write_bytes(b"weights")
        metrics = {"optic_disc": {"dice": 0.9}, "optic_cup": {"dice": 0.7}}
        (folder / "metrics.json").write_text(json.dumps(metrics if name == "evaluation" else {}))
        return 0

    monkeypatch.setattr(execution, "run_stage", run_stage)
    monkeypatch.setitem(CONFIG["recipes"], "plus", {"max_epochs": 1, "losses": {}})
    return made
