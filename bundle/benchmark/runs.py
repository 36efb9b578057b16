"""Adapt to every target by every recipe without its labels, score, and write tables and figures.

    python -m bundle.benchmark.runs --data DATA --output FOLDER [--page docs/benchmark.md --figures docs/images]
        [--summary README.md docs/README.md] [--metadata configs/metadata.json] [--record docs/benchmark_runs.tar.xz]
        [--workers N] [--targets a,b] [--recipes a,b] [--seeds 0,1] [--ablation_targets a] [--ablation_seeds 0]
        [--images N] [--steps runs,page]
        [--checkpoint model.pt --image_size 512]

DATA holds ``drishti_gs/train``, ``drishti_gs/test`` and ``refuge/train``: disc crops, ``image/`` and ``label/``. Each
finished run is kept in FOLDER and not repeated unless its weights, recipe or target changed; ``--record`` is a file of
the scores of all of them, read first and written last. The labels of a target's adaptation set are opened by the
ceiling ``supervised`` alone. ``--quick`` is a small version of it. A target ``drishti_gs+severe`` is that real camera
made worse by that shift; it is run when it is named.
"""

from __future__ import annotations

import argparse
import gc
import json
import multiprocessing
import os
import platform
import shutil
import statistics
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from bundle.adaptation.recipes import choose_recipe
from bundle.benchmark.record import read_record, write_record
from bundle.data.listing import list_photographs
from bundle.data.splits import split_source
from bundle.io.files import atomic_write
from bundle.io.provenance import model_identity
from bundle.networks.nested_classes import CLASSES
from bundle.stages import BUNDLE_ROOT, run_stage
from bundle.synthetic.phantoms.photographs import write_dataset
from bundle.synthetic.shifts import SHIFTS, write_shifted

REAL, PHANTOMS = "drishti_gs", "phantoms"
SOURCE, SUPERVISED, PLUS = "source", "supervised", "plus"
CHECKPOINT = BUNDLE_ROOT / "models" / "model.pt"
CONFIG = json.loads((BUNDLE_ROOT / "configs" / "adapt.json").read_text(encoding="utf-8"))
ABLATED = (REAL, PHANTOMS, "severe", "large_cups", "none")
"""The ablation's targets, unless told: the real one, three that pieces of ``plus`` are for, and one that needs none."""
PHOTOGRAPHS = 16
"""So many photographs of each made-up target are adapted to, and as many others are scored."""
QUICK = {"targets": f"{REAL},{PHANTOMS},severe", "seeds": "0", "images": 4, "steps": "runs,page"}
CEILING = {
    # All photographs are trained on; a few are looked at again after the last epoch, for nothing is chosen by them.
    "split": "$(@items, @items[:4])",
    "max_epochs": 25,
    "learning_rate": 3e-4,
    "warmup_epochs": 1,
    "val_interval": 1000,
    "pretrained": False,
}
ABLATIONS: dict[str, dict[str, Any]] = {
    "no cup prior": {"cup_prior": None},
    "teacher answers from one look": {"consensus": None},
    "norm statistics of the source": {"statistics": 0.0},
    "norm statistics of the target": {"statistics": 1.0},
    "larger learning rate": {"learning_rate": 5e-4},
    "twice the steps": {"max_epochs": 20, "least_steps": 80},
    "hard labels from 0.5": {"train#losses#class_balanced#threshold": 0.5},
    "norm layers only": {"trainable": "norm", "learning_rate": 1e-3},
    "soft labels instead of balanced hard ones": {"losses": {"class_balanced": None, "consistency": 1.0}},
    "stage 1 and contrast beside it": {
        "pseudo_labels": True,
        "label_threshold": 0.5,
        "losses": {"anchored_pseudo_label": 1.0, "separation": 0.1},
    },
    "photographs moved and zoomed": {"geometry": "views"},
    "student instead of teacher": {"kept": "student"},
}
"""Rows of the ablation: what is changed in ``plus``, as a JSON merge patch (None takes a setting or a loss away, and
the default holds); a key with ``#`` is one of the config itself."""


@dataclass(frozen=True)
class Run:
    """One recipe on one target with one seed; ``row`` is a name of ``ABLATIONS`` or empty."""

    target: str
    recipe: str
    seed: int
    row: str = ""

    def folder(self, output: Path) -> Path:
        """Where its results lie."""
        kind, name = ("ablation", self.row) if self.row else ("runs", self.recipe)
        return output / kind / self.target / name / str(self.seed)


@dataclass(frozen=True)
class Setup:
    """What all runs share."""

    data: Path
    output: Path
    images: int | None = None
    checkpoint: Path = CHECKPOINT
    image_size: int = CONFIG["image_size"]
    provenance: Mapping[str, Any] = field(default_factory=dict)

    def adaptation_set(self, target: str) -> Path:
        """Folder of the photographs to adapt to, with labels."""
        return self.data / REAL / "train" if target == REAL else self.output / "targets" / target / "adapt"

    def scored_set(self, target: str) -> Path:
        """Folder of the photographs to score, with labels."""
        return self.data / REAL / "test" if target == REAL else self.output / "targets" / target / "score"

    def size(self) -> dict[str, int]:
        """The config override that every stage gets."""
        return {"image_size": self.image_size}

    def items(self, labels: str = "none", part: str = "{}") -> str:
        """Config expression of the photographs in ``dataset_dir``, at most ``images`` of them."""
        listed = part.format(f"bundle.data.listing.list_photographs(@dataset_dir, labels='{labels}')")
        return f"${listed}[:{self.images}]" if self.images else f"${listed}"


def main() -> None:
    """Run what is missing, measure speed, and write the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--page", type=Path, help="default: benchmark.md in the output folder")
    parser.add_argument("--figures", type=Path, help="folder; default: the output folder")
    parser.add_argument("--summary", type=Path, nargs="*", default=[], help="pages with a place for a short table")
    parser.add_argument("--metadata", type=Path, help="the metadata.json whose eval_metrics are to be filled")
    parser.add_argument("--workers", type=int, default=os.cpu_count())
    parser.add_argument("--targets", default=",".join((REAL, PHANTOMS, *SHIFTS)))
    parser.add_argument(
        "--ablation_targets", default=",".join(ABLATED), help="those of the targets that the ablation takes"
    )
    parser.add_argument("--recipes", default=",".join((SOURCE, *CONFIG["recipes"], SUPERVISED)))
    parser.add_argument("--seeds", default="0,1,2")
    parser.add_argument("--ablation_seeds", default="0,1")
    parser.add_argument("--images", type=int, help="at most so many photographs of each set")
    parser.add_argument("--checkpoint", type=Path, default=CHECKPOINT, help="source model; default: the shipped one")
    parser.add_argument("--image_size", type=int, default=CONFIG["image_size"], help="pixels a side the model sees")
    parser.add_argument("--record", type=Path, help="a .tar.xz with what earlier runs left, brought up to date")
    parser.add_argument("--beside", type=Path, help="output folder of runs with another source model, for the page")
    parser.add_argument("--steps", default="runs,ablation,speed,page", help="which of these to do")
    parser.add_argument(
        "--quick", action="store_true", help="1 seed, 3 targets, 4 photographs of each set, neither ablation nor speed"
    )
    args = parser.parse_args()
    if args.quick:
        parser.set_defaults(**QUICK)
        args = parser.parse_args()

    targets, recipes, steps = (text.split(",") for text in (args.targets, args.recipes, args.steps))
    # Everything is measured against these two.
    recipes = [SOURCE, *(recipe for recipe in recipes if recipe not in (SOURCE, SUPERVISED)), SUPERVISED]
    planned = plan(targets, recipes, [int(seed) for seed in args.seeds.split(",")])
    if PLUS in recipes and not args.quick:
        ablated = [target for target in args.ablation_targets.split(",") if target in targets]
        planned += plan_ablation(ablated, [int(seed) for seed in args.ablation_seeds.split(",")])
    setup = Setup(
        args.data.absolute(),
        args.output.absolute(),
        args.images,
        args.checkpoint.absolute(),
        args.image_size,
        provenance(),
    )
    if args.record and args.record.is_file():
        print(f"{read_record(args.record, setup.output)} runs taken from {args.record}", flush=True)
    failed = 0
    if {"runs", "ablation", "page"} & set(steps):
        for target in dict.fromkeys(run.target for run in planned):
            write_target(target, setup)
    wanted = [run for run in planned if ("ablation" if run.row else "runs") in steps]
    if wanted:
        failed = run_all([run for run in wanted if not is_done(run, setup)], setup, args.workers)
    if "speed" in steps:
        measure_speed([recipe for recipe in recipes if recipe not in (SOURCE, SUPERVISED)], setup)
    if args.record:
        print(f"{write_record(setup.output, args.record, PHANTOMS)} runs kept in {args.record}", flush=True)
    if "page" in steps:
        write_pages(planned, setup, args.page, args.figures, args.summary, args.metadata, args.beside, args.record)
    sys.exit(int(failed > 0))


def plan(targets: Sequence[str], recipes: Sequence[str], seeds: Sequence[int]) -> list[Run]:
    """All runs but the ablation's, those of the first seed before the others."""
    runs = [Run(target, recipe, seed) for seed in seeds for target in targets for recipe in recipes]
    return [run for run in runs if run.seed == seeds[0] or depends_on_seed(run.recipe)]


def plan_ablation(targets: Sequence[str], seeds: Sequence[int]) -> list[Run]:
    """Every row on every target, those of the first seed before the others."""
    return [Run(target, PLUS, seed, row) for seed in seeds for row in ABLATIONS for target in targets]


def depends_on_seed(recipe: str) -> bool:
    """Whether anything is drawn at random: without training, nothing is."""
    return recipe == SUPERVISED or (recipe != SOURCE and settings_of(recipe)["max_epochs"] > 0)


def settings_of(recipe: str) -> dict[str, Any]:
    """All settings of a recipe of ``configs/adapt.json``."""
    return choose_recipe(CONFIG["recipes"], recipe, CONFIG["recipe_defaults"])


def merge(settings: Mapping[str, Any], patch: Mapping[str, Any]) -> dict[str, Any]:
    """JSON merge patch (RFC 7396)."""
    merged = dict(settings)
    for key, value in patch.items():
        if value is None:
            merged.pop(key, None)
        else:
            merged[key] = merge(merged.get(key) or {}, value) if isinstance(value, Mapping) else value
    return merged


def ablation_overrides(row: str) -> dict[str, Any]:
    """Config overrides that make ``plus`` the variant called ``row``."""
    if not row:
        return {}
    patch = {key: value for key, value in ABLATIONS[row].items() if "#" not in key}
    direct = {key: value for key, value in ABLATIONS[row].items() if "#" in key}
    return {f"recipes#{PLUS}": merge(CONFIG["recipes"][PLUS], patch), **direct}


def asked_for(run: Run, setup: Setup) -> dict[str, Any]:
    """What the run's result depends on; a result that was made from something else is made again."""
    asked: dict[str, Any] = {
        "weights": model_identity(setup.checkpoint),
        "images": setup.images,
        "of": made_of(run.target),
        "image_size": setup.image_size,
    }
    if run.recipe == SUPERVISED:
        asked["ceiling"] = CEILING
    elif run.recipe == SOURCE:
        # What inference reports as uncertainty, which the page holds against the true Dice.
        asked["uncertainty"] = "expected Dice"
    else:
        direct = ablation_overrides(run.row)
        own = direct.pop(f"recipes#{PLUS}", CONFIG["recipes"][run.recipe])
        settings = choose_recipe({run.recipe: own}, run.recipe, CONFIG["recipe_defaults"])
        asked["direct"] = direct
        # A new setting whose default is none, off or zero leaves the old recipes as they were, and no target here has
        # as many photographs as an epoch takes.
        asked["settings"] = {key: value for key, value in settings.items() if value and key != "photographs_per_epoch"}
        asked["losses"] = {name: CONFIG["train"]["losses"][name] for name in settings["losses"]}
        if settings["consensus"]:
            asked["consensus"] = CONFIG["consensus"]
        if settings["cup_prior"]:
            asked["cup_prior"] = [CONFIG["source_cup_share"], CONFIG["least_cup_shift"]]
        asked["augmentation"] = CONFIG["train"]["augmentations"][settings["augmentation"]]
        if run.recipe == PLUS and run.seed == 0 and not run.row:
            # The runs that inference is asked of too.
            asked["uncertainty"] = "expected Dice, scaled"
    return json.loads(json.dumps(asked))


def is_done(run: Run, setup: Setup) -> bool:
    """Whether the result is there and was made from what is asked for now."""
    result = run.folder(setup.output) / "result.json"
    return result.is_file() and json.loads(result.read_text())["asked"] == asked_for(run, setup)


def finished(planned: Sequence[Run], output: Path) -> list[tuple[Run, Path]]:
    """The planned runs that have a result in another output folder, whatever it was made from."""
    return [(run, run.folder(output)) for run in planned if (run.folder(output) / "result.json").is_file()]


def made_of(target: str) -> str:
    """What settles a target's pictures, beside the photographs that they are made of."""
    photographed, plus, shift = target.rpartition("+")
    return f"{photographed}{plus}{SHIFTS[shift]!r}" if shift in SHIFTS else target


def write_target(target: str, setup: Setup) -> None:
    """Make a target, unless it is there.

    Held-out source photographs make one, every other to adapt to and the rest to score; or, shifted, the real target's
    own two parts (``drishti_gs+severe``).

    Raises:
        SystemExit: there is no such target.
    """
    if target == REAL:
        return
    photographed, plus, shift = target.rpartition("+")
    if target != PHANTOMS and (shift not in SHIFTS or (plus and photographed != REAL)):
        sys.exit(f"error: there is no target {target}. Use some of {', '.join((REAL, PHANTOMS, *SHIFTS))}.")
    folder = setup.output / "targets" / target
    made = json.dumps([made_of(target), setup.images])
    if (folder / "made_of.json").is_file() and (folder / "made_of.json").read_text() == made:
        return
    shutil.rmtree(folder, ignore_errors=True)
    count = 2 * (setup.images or PHOTOGRAPHS)
    if photographed == REAL:
        adapt, score = (
            list_photographs(setup.data / REAL / split, labels="required")[: setup.images]
            for split in ("train", "test")
        )
    elif target == PHANTOMS:
        write_dataset(folder / "all", count, kind="crop", cameras=("tight_red", "harsh"), seed=900)
        items = list_photographs(folder / "all", labels="required")
        adapt, score = items[::2], items[1::2]
    else:
        items = split_source(list_photographs(setup.data / "refuge" / "train", labels="required"), 0.2, 0)[1][:count]
        # In the order of their names, so that both parts hold normal and glaucomatous eyes, as with both cameras above.
        adapt, score = items[::2], items[1::2]
    for part, chosen in (("adapt", adapt), ("score", score)):
        if target != PHANTOMS:
            write_shifted(chosen, folder / part, shift)
            continue
        for item in chosen:
            for kind in ("image", "label"):
                (folder / part / kind).mkdir(parents=True, exist_ok=True)
                Path(item[kind]).rename(folder / part / kind / Path(item[kind]).name)
    shutil.rmtree(folder / "all", ignore_errors=True)
    (folder / "made_of.json").write_text(made)


def end_with_parent() -> None:
    """Let a worker end when the process that started it was killed and cannot tell it to."""
    parent = multiprocessing.parent_process()

    def wait() -> None:
        if parent is not None:
            parent.join()
            os._exit(1)

    threading.Thread(target=wait, daemon=True).start()


def run_all(runs: Sequence[Run], setup: Setup, workers: int) -> int:
    """Perform the runs in worker processes of one thread each and return how many failed."""
    if not runs:
        return 0
    # Read when torch is imported, which a spawned process does before anything of ours runs.
    before = os.environ.get("OMP_NUM_THREADS")
    os.environ["OMP_NUM_THREADS"] = "1"
    failed, start = 0, time.perf_counter()
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, mp_context=context, initializer=end_with_parent) as pool:
        futures = {pool.submit(attempt, run, setup): run for run in runs}
        for count, future in enumerate(as_completed(futures), start=1):
            run = futures[future]
            try:
                line = future.result()
            except Exception as error:  # noqa: BLE001
                failed += 1
                line = f"FAILED: {error!r}; see {run.folder(setup.output) / 'log.txt'}"
            left = (time.perf_counter() - start) / count * (len(runs) - count) / 60
            name = run.row or run.recipe
            print(f"{count}/{len(runs)} {run.target} {name} seed {run.seed}: {line} ({left:.0f} min left)", flush=True)
    os.environ.pop("OMP_NUM_THREADS")
    if before is not None:
        os.environ["OMP_NUM_THREADS"] = before
    return failed


def attempt(run: Run, setup: Setup) -> str:
    """Perform a run in a worker, whose output goes to the run's log, and say in a line how it went."""
    torch.set_num_threads(1)
    folder = run.folder(setup.output)
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "log.txt").open("w") as log:
        for stream in (1, 2):
            os.dup2(log.fileno(), stream)
    try:
        result = perform(run, setup)
    except BaseException as error:
        traceback.print_exc()
        # A call that cannot succeed ends in SystemExit, which would end the worker.
        raise RuntimeError(f"{type(error).__name__}: {error}") from None
    finally:
        gc.collect()
    return f"mean Dice {100 * result['mean_dice']:.2f} % in {result['seconds']:.0f} s"


def perform(run: Run, setup: Setup) -> dict[str, Any]:
    """Adapt, score, and keep what the page needs; the result's file is written last and marks the run as done."""
    folder = run.folder(setup.output)
    (folder / "result.json").unlink(missing_ok=True)
    start = time.perf_counter()
    weights = str(make_weights(run, setup))
    scored = {"dataset_dir": str(setup.scored_set(run.target)), "checkpoint": weights, "view": "crop", **setup.size()}
    stage("evaluation", output_dir=str(folder), items=setup.items("required"), **scored)
    if not run.row and run.seed == 0:
        if run.target == REAL:
            held_out = setup.items("required", "bundle.data.splits.split_source({}, 0.2, 0)[1]")
            back = {**scored, "dataset_dir": str(setup.data / "refuge" / "train"), "items": held_out}
            stage("evaluation", output_dir=str(folder / "forgotten"), **back)
        if run.recipe in (SOURCE, PLUS):
            stage("inference", output_dir=str(folder / "inference"), items=setup.items(), **scored)
            shutil.rmtree(folder / "inference" / "overlays")
    metrics = json.loads((folder / "metrics.json").read_text())
    result = {
        "mean_dice": statistics.mean(metrics[structure]["dice"] for structure in CLASSES),
        "seconds": time.perf_counter() - start,
        "seed": run.seed,
        **setup.provenance,
        "asked": asked_for(run, setup),
    }
    for leftover in ("pseudo_labels", "events"):
        shutil.rmtree(folder / leftover, ignore_errors=True)
    if run.target != REAL or run.seed != 0 or run.row:
        (folder / "model.pt").unlink(missing_ok=True)
    write_json(folder / "result.json", result)
    return result


def make_weights(run: Run, setup: Setup) -> Path:
    """The checkpoint file after the run's adaptation."""
    if run.recipe == SOURCE:
        return setup.checkpoint
    folder = run.folder(setup.output)
    common = {"output_dir": str(folder), "checkpoint": str(setup.checkpoint), "seed": run.seed, **setup.size()}
    photographs = setup.adaptation_set(run.target)
    if run.recipe == SUPERVISED:
        items = setup.items("required")
        stage("training", dataset_dir=str(photographs), items=items, **common, **CEILING)
    else:
        # From inside the image folder no label can be found.
        choice = {"recipe": run.recipe, "view": "crop", **ablation_overrides(run.row)}
        stage("adaptation", dataset_dir=str(photographs / "image"), items=setup.items(), **common, **choice)
    return folder / "model.pt"


def stage(name: str, **overrides: Any) -> None:
    """Run a stage, which must not leave a photograph out.

    Raises:
        RuntimeError: some photographs were unreadable.
    """
    if run_stage(name, **overrides):
        raise RuntimeError(f"{name} found unreadable photographs in {overrides['dataset_dir']}.")


def measure_speed(recipes: Sequence[str], setup: Setup) -> None:
    """Measure each recipe's command, inference, and refinement against inference, where no result is there yet."""
    photographs = setup.data / REAL / "train" / "image"
    count = min(setup.images or 10**6, len(list_photographs(photographs)))
    common = {"dataset_dir": str(photographs), "view": "crop", "items": setup.items(), **setup.size()}
    for recipe in recipes:
        path = setup.output / "speed" / f"{recipe}.json"
        asked = asked_for(Run(REAL, recipe, 0), setup)
        if path.is_file() and json.loads(path.read_text())["asked"] == asked:
            continue
        seconds, memory = timed("adaptation", "adapt", {**common, "recipe": recipe}, setup.output / "speed" / "job")
        segmentation = {**common, "checkpoint": str(setup.output / "speed" / "job" / "model.pt")}
        inference_s, inference_gib = timed("inference", "inference", segmentation, setup.output / "speed" / "job")
        speed = {"photographs": count, "seconds": seconds, "peak_gib": memory, "asked": asked, **setup.provenance}
        write_json(path, speed | {"inference_s": inference_s, "inference_gib": inference_gib})
        print(f"speed of {recipe}: {seconds:.0f} s for {count} photographs, {memory:.2f} GiB", flush=True)
        shutil.rmtree(setup.output / "speed" / "job")
    if PLUS in recipes:
        profile_plus(common, setup)
    path = setup.output / "speed" / "refinement" / "ratio.json"
    if not path.is_file():
        write_json(path, {**refinement_ratio(common, setup.output / "speed" / "job"), **setup.provenance})
        shutil.rmtree(setup.output / "speed" / "job")


def profile_plus(common: Mapping[str, Any], setup: Setup) -> None:
    """Measure where the time of ``plus`` goes, in this process with two threads, where no result is there yet."""
    from bundle.benchmark.profile import profile_adaptation

    path, asked = setup.output / "speed" / "profile" / "plus.json", asked_for(Run(REAL, PLUS, 0), setup)
    if path.is_file() and json.loads(path.read_text())["asked"] == asked:
        return
    torch.set_num_threads(2)
    job = setup.output / "speed" / "job"
    seconds = profile_adaptation(**common, recipe=PLUS, output_dir=str(job))
    write_json(path, {"seconds": seconds, "asked": asked, **setup.provenance})
    shutil.rmtree(job)


def timed(name: str, config: str, overrides: Mapping[str, Any], output: Path) -> tuple[float, float]:
    """Wall seconds and peak memory (GiB) of a stage as a command with two threads, which must succeed."""
    command = [sys.executable, "-m", "monai.bundle", "run", name, "--config_file", f"configs/{config}.json"]
    for key, value in {**overrides, "output_dir": str(output)}.items():
        command += [f"--{key}", str(value)]
    start = time.perf_counter()
    process = subprocess.Popen(
        command,
        cwd=BUNDLE_ROOT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "OMP_NUM_THREADS": "2"},
    )
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, command)
    return time.perf_counter() - start, usage.ru_maxrss / 2**20


def refinement_ratio(common: Mapping[str, Any], output: Path, rounds: int = 3) -> dict[str, float]:
    """Wall time of refinement against inference, in turns, in one process with two threads."""
    torch.set_num_threads(2)
    seconds: dict[str, list[float]] = {"inference": [], "refinement": []}
    for turn in range(rounds + 1):
        for name, times in seconds.items():
            start = time.perf_counter()
            stage(name, output_dir=str(output / f"{name}{turn}"), **common)
            # The first turn warms up the file cache and the allocator.
            times += [time.perf_counter() - start] if turn else []
    ratios = [r / i for i, r in zip(seconds["inference"], seconds["refinement"], strict=True)]
    return {f"{name}_s": statistics.median(times) for name, times in seconds.items()} | {
        "ratio": statistics.median(ratios)
    }


def provenance() -> dict[str, Any]:
    """Which code on which machine: a commit with ``+`` had changes that were not committed."""
    command = ["git", "describe", "--always", "--exclude=*", "--dirty=+"]
    commit = subprocess.run(command, cwd=BUNDLE_ROOT, capture_output=True, text=True, check=False).stdout.strip()
    return {
        "commit": commit or "unknown",
        "torch": torch.__version__,
        "cores": os.cpu_count(),
        "machine": platform.machine(),
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
    }


def write_json(path: Path, content: Any) -> None:
    """Write a file, whole or not at all."""
    with atomic_write(path) as temporary:
        temporary.write_text(json.dumps(content, indent=2), encoding="utf-8")


def write_pages(
    planned: Sequence[Run],
    setup: Setup,
    page: Path | None,
    figures: Path | None,
    summaries: Sequence[Path],
    metadata: Path | None = None,
    beside: Path | None = None,
    record: Path | None = None,
) -> None:
    """Write the page, the figures, the short tables and the metadata's scores from what lies in the output folder."""
    from bundle.benchmark import page as benchmark_page
    from bundle.benchmark.figures import write_figures

    missing = [run for run in planned if not is_done(run, setup)]
    results = benchmark_page.load([(run, run.folder(setup.output)) for run in planned if run not in missing])
    page, figures = page or setup.output / "benchmark.md", figures or setup.output
    drawn = write_figures(results, setup, figures)
    facts = {"weights": model_identity(setup.checkpoint), **setup.provenance, "images": setup.images}
    if record:
        facts["record"] = os.path.relpath(record, page.parent)
    text = benchmark_page.render(
        results,
        missing=[f"{run.target}/{run.row or run.recipe}/{run.seed}" for run in missing],
        speed=benchmark_page.load_speed(setup.output),
        facts=facts,
        figures={name: os.path.relpath(path, page.parent) for name, path in drawn.items()},
        beside=benchmark_page.load(finished(planned, beside)) if beside else None,
    )
    print(text)
    with atomic_write(page) as path:
        path.write_text(text, encoding="utf-8")
    for summary in summaries:
        benchmark_page.replace_summary(summary, results)
    if metadata:
        benchmark_page.replace_eval_metrics(metadata, results)


if __name__ == "__main__":
    main()
