"""The figures are drawn, and photographs of patients stay out of the documents."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
from PIL import Image

from bundle.benchmark.plan import Run
from bundle.benchmark.results import Results, load
from bundle.benchmark.setup import Setup
from bundle.synthetic.phantoms.photographs import write_dataset
from tests.benchmark.made_up import NAMES

pytest.importorskip("matplotlib")

from bundle.benchmark.figures import write_figures  # noqa: E402


def test_the_figures_are_drawn_and_real_photographs_stay_in_the_output_folder(results, output, tmp_path):
    setup = Setup(tmp_path, output)
    shutil.move(output / "runs" / "low_light", output / "runs" / "phantoms")
    runs = [
        Run(run.target.replace("low_light", "phantoms"), run.recipe, run.seed) for run in results.runs if not run.row
    ]
    scored = {target: setup.scored_set(target) for target in ("drishti_gs", "phantoms")}
    for folder in scored.values():
        write_dataset(folder, len(NAMES), kind="crop", size=64)
        for kind in ("image", "label"):
            for name, path in zip(NAMES, sorted((folder / kind).iterdir()), strict=True):
                path.rename(folder / kind / f"{name}.png")
    for run in runs:
        if run.recipe in ("source", "plus") and run.seed == 0 and run.target in scored:
            inference = run.folder(output) / "inference"
            shutil.copytree(scored[run.target] / "label", inference / "masks")
            rows = ["image,uncertainty", *(f"image/{name}.png,0.1" for name in NAMES)]
            (inference / "report.csv").write_text("\n".join(rows))
    drawn = write_figures(load(runs, output), setup, tmp_path / "docs")
    assert {path.name for path in drawn.values()} == {"gap_closed.png", "reliability.png", "gallery.jpg"}
    assert {path.name for path in (tmp_path / "docs").iterdir()} == {path.name for path in drawn.values()}
    for path in (*drawn.values(), output / "gallery_real.jpg"):
        with Image.open(path) as picture:
            assert np.asarray(picture.convert("L")).std() > 5


def test_without_results_nothing_is_drawn(output, tmp_path):
    assert write_figures(Results([]), Setup(tmp_path, output), tmp_path / "none") == {}
    assert not (tmp_path / "none").exists()
