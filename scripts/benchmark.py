"""Adapt to Drishti-GS by every recipe without its labels, score on its test photographs, and write the page.

    python scripts/benchmark.py --data DATA --output FOLDER [--page docs/benchmark.md] [--summary README.md] [--seed 0]

DATA holds ``drishti_gs/train``, ``drishti_gs/test`` (disc crops, ``image/`` and ``label/``) and ``refuge/train``.
Finished parts are kept in FOLDER and not run again. The labels of ``drishti_gs/train`` are never opened.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from bundle.folders import atomic_write, list_photographs
from bundle.provenance import model_identity
from bundle.stages import BUNDLE_ROOT, run_stage

RECIPES = ("source", "bn", "grad_cl")
BEGIN, END = "<!-- benchmark -->", "<!-- end of benchmark -->"
CHECKPOINT = BUNDLE_ROOT / "models" / "model.pt"
HELD_OUT = "$bundle.folders.split_source(bundle.folders.list_photographs(@dataset_dir, labels='required'), 0.2, 0)[1]"


def main() -> None:
    """Run what is missing and write the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--page", type=Path)
    parser.add_argument("--summary", type=Path, nargs="*", default=[], help="pages with a place for a short table")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()

    scores = {recipe: adapt_and_score(recipe, args.data, args.output, args.seed) for recipe in RECIPES}
    forgotten = {recipe: score_on_source(recipe, args.data, args.output) for recipe in RECIPES}
    speed = cached(args.output / "speed.json", lambda: measure_speed(args.data, args.output))
    page = render(scores, forgotten, speed, args.seed, args.output / "sweep.md")
    print(page)
    if args.page:
        with atomic_write(args.page) as path:
            path.write_text(page, encoding="utf-8")
    for page_path in args.summary:
        before, _, rest = page_path.read_text(encoding="utf-8").partition(BEGIN)
        _, _, after = rest.partition(END)
        with atomic_write(page_path) as path:
            path.write_text(f"{before}{BEGIN}\n{summary(scores, forgotten)}\n{END}{after}", encoding="utf-8")


def cached(path: Path, make: Any) -> Any:
    """The JSON in ``path``, made first if it is not there."""
    if not path.is_file():
        content = make()
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_write(path) as temporary:
            temporary.write_text(json.dumps(content, indent=2))
    return json.loads(path.read_text())


def weights_of(recipe: str, output: Path) -> str:
    """Checkpoint file after a recipe; ``source`` is none."""
    return str(CHECKPOINT if recipe == "source" else output / recipe / "model.pt")


def adapt_and_score(recipe: str, data: Path, output: Path, seed: int) -> dict[str, Any]:
    """``metrics.json`` on the target's test photographs."""
    if recipe != "source" and not Path(weights_of(recipe, output)).is_file():
        folder = {"dataset_dir": str(data / "drishti_gs" / "train"), "output_dir": str(output / recipe)}
        run_stage("adaptation", recipe=recipe, seed=seed, **folder)
    scores = output / "scores" / recipe
    if not (scores / "metrics.json").is_file():
        folder = {"dataset_dir": str(data / "drishti_gs" / "test"), "output_dir": str(scores)}
        run_stage("evaluation", checkpoint=weights_of(recipe, output), **folder)
    return json.loads((scores / "metrics.json").read_text())


def score_on_source(recipe: str, data: Path, output: Path) -> dict[str, Any]:
    """``metrics.json`` of the recipe's weights back on the held-out source photographs."""
    scores = output / "forgotten" / recipe
    if not (scores / "metrics.json").is_file():
        folder = {"dataset_dir": str(data / "refuge" / "train"), "output_dir": str(scores)}
        run_stage("evaluation", checkpoint=weights_of(recipe, output), items=HELD_OUT, **folder)
    return json.loads((scores / "metrics.json").read_text())


def measure_speed(data: Path, output: Path, rounds: int = 3) -> dict[str, Any]:
    """Wall time of refinement against inference in turns, and time and peak memory of the whole job on 50 crops."""
    folder = str(data / "drishti_gs" / "train")
    seconds: dict[str, list[float]] = {"inference": [], "refinement": []}
    for turn in range(rounds + 1):
        for stage, times in seconds.items():
            start = time.perf_counter()
            run_stage(stage, dataset_dir=folder, output_dir=str(output / "speed" / f"{stage}{turn}"))
            # The first turn warms up the file cache and the allocator.
            times += [time.perf_counter() - start] if turn else []
    ratios = [r / i for i, r in zip(seconds["inference"], seconds["refinement"], strict=True)]
    job = output / "speed" / "job"
    call = [sys.executable, "-m", "monai.bundle", "run"]
    runs = [
        ["adaptation", "--config_file", "configs/adapt.json", "--output_dir", str(job)],
        ["inference", "--config_file", "configs/inference.json", "--output_dir", str(job)],
    ]
    runs[1] += ["--checkpoint", str(job / "model.pt")]
    whole = [timed([*call, *run, "--dataset_dir", folder]) for run in runs]
    return {
        "photographs": len(list_photographs(folder)),
        "inference_s": statistics.median(seconds["inference"]),
        "refinement_s": statistics.median(seconds["refinement"]),
        "ratio": statistics.median(ratios),
        "adaptation_s": whole[0][0],
        "segmentation_s": whole[1][0],
        "peak_gib": max(memory for _, memory in whole),
    }


def timed(command: Sequence[str]) -> tuple[float, float]:
    """Wall seconds and peak memory (GiB) of a command, which must succeed."""
    start = time.perf_counter()
    process = subprocess.Popen(command, cwd=BUNDLE_ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, command)
    return time.perf_counter() - start, usage.ru_maxrss / 2**20


def summary(scores: dict[str, Any], forgotten: dict[str, Any]) -> str:
    """A short table, in Markdown."""
    rows = {"REFUGE held out (the source), shipped model": forgotten["source"]}
    names = {"source": "shipped model", "bn": "adapted by `bn`", "grad_cl": "adapted by `grad_cl`"}
    rows |= {f"Drishti-GS test (another camera), {names[recipe]}": m for recipe, m in scores.items()}
    lines = ["| | disc Dice | cup Dice | mean | vCDR error |", "|---|---|---|---|---|"]
    for name, m in rows.items():
        disc, cup = m["optic_disc"]["dice"], m["optic_cup"]["dice"]
        lines.append(f"| {name} | {disc:.3f} | {cup:.3f} | {(disc + cup) / 2:.3f} | {m['vcdr_mae']:.3f} |")
    return "\n".join(lines)


def render(scores: dict[str, Any], forgotten: dict[str, Any], speed: dict[str, Any], seed: int, sweep: Path) -> str:
    """The page, in Markdown."""
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], cwd=BUNDLE_ROOT, capture_output=True, text=True, check=False
    ).stdout.strip()
    lines = [
        "# Benchmark",
        "",
        "Written by `make benchmark DATA=folder`; nothing here is typed. Source: REFUGE. Target: Drishti-GS disc",
        "crops, adapted to the 50 training photographs without their labels, scored on the 51 test photographs at",
        f"their own 512 px. The last epoch counts; nothing is chosen on the target. Seed {seed}, one run.",
        "",
        f"Source weights {model_identity(CHECKPOINT)}, commit {commit}, torch {torch.__version__}, "
        f"{os.cpu_count()} cores ({platform.machine()}), no GPU.",
        "",
        "## Drishti-GS test",
        "",
        "| recipe | disc Dice | cup Dice | mean | disc ASSD px | cup ASSD px | disc HD95 px | cup HD95 px | vCDR error "
        "| missed | source after it: disc | cup |",
        "|---" * 12 + "|",
    ]
    for recipe, m in scores.items():
        disc, cup, back = m["optic_disc"], m["optic_cup"], forgotten[recipe]
        cells = [f"{disc['dice']:.4f}", f"{cup['dice']:.4f}", f"{(disc['dice'] + cup['dice']) / 2:.4f}"]
        cells += [f"{value:.2f}" for value in (disc["assd_px"], cup["assd_px"], disc["hd95_px"], cup["hd95_px"])]
        cells += [f"{m['vcdr_mae']:.4f}", str(m["missed"])]
        cells += [f"{back[structure]['dice']:.4f}" for structure in ("optic_disc", "optic_cup")]
        lines.append(f"| `{recipe}` | " + " | ".join(cells) + " |")
    lines += [
        "",
        f"{scores['source']['images']} photographs are scored. {scores['source']['rule']}",
        "The last two columns are the Dice of the adapted weights back on the held-out REFUGE photographs: what",
        "adapting forgets.",
        "",
        "## Speed",
        "",
        f"On the {speed['photographs']} training crops, on the machine above; ratios are medians over turns of both.",
        "",
        "| what | figure |",
        "|---|---|",
        f"| inference, whole stage | {speed['inference_s']:.1f} s |",
        f"| refinement, whole stage with statistics and 10 stochastic passes | {speed['refinement_s']:.1f} s |",
        f"| refinement / inference | {speed['ratio']:.2f} |",
        f"| adapting by the default recipe, as a command | {speed['adaptation_s']:.0f} s |",
        f"| then segmenting, as a command | {speed['segmentation_s']:.0f} s |",
        f"| peak memory of either | {speed['peak_gib']:.2f} GiB |",
    ]
    if sweep.is_file():
        lines += [
            "",
            "## How the learning rate and the weight of the contrastive loss were chosen",
            "",
            "On made-up camera shifts of held-out REFUGE photographs, by mean of disc and cup Dice:",
            "`python scripts/sweep.py --data DATA/refuge/train --output output/benchmark --images 24 --statistics 0,1",
            "--learning_rates 2e-4,5e-4,2e-3 --weights 0.1 --shifts phantoms,all,tight_crop,none`, seed 0.",
            "",
            sweep.read_text().strip(),
        ]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
