"""The plan of the benchmark: targets, recipes and seeds, and the changes of the ablation."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bundle.adaptation.recipes import choose_recipe, settings_with_base
from bundle.arguments import config_content
from bundle.errors import CallError
from bundle.stages import BUNDLE_ROOT
from bundle.synthetic.shifts import SHIFTS

__all__ = [
    "ABLATED",
    "ABLATIONS",
    "CEILING",
    "CONFIG",
    "CONFIG_FILE",
    "PEERS",
    "PHANTOMS",
    "PLUS",
    "REAL",
    "SOURCE",
    "SUPERVISED",
    "TARGETS",
    "Run",
    "ablation_overrides",
    "config_with",
    "depends_on_seed",
    "merge",
    "plan",
    "plan_ablation",
    "settings_of",
]

REAL, PHANTOMS = "drishti_gs", "phantoms"
TARGETS = (REAL, PHANTOMS, *SHIFTS)
SOURCE, SUPERVISED, PLUS = "source", "supervised", "plus"
PEERS = ("bn", "tent", "dpl", "cbmt", "pfa", "dac", "grad_cl")
"""The published recipes."""
CONFIG_FILE = BUNDLE_ROOT / "configs" / "adapt.json"
CONFIG: dict[str, Any] = json.loads(CONFIG_FILE.read_text(encoding="utf-8"))
ABLATED = (REAL, PHANTOMS, "severe", "large_cups", "none")
"""Default targets of the ablation: the real one, three that parts of ``plus`` were made for, one without a shift."""
CEILING: dict[str, Any] = {
    # Trains on all photographs. The validation after the last epoch chooses nothing, so four of the same suffice.
    "split": "$(@items, @items[:4])",
    "max_epochs": 25,
    "learning_rate": 3e-4,
    "warmup_epochs": 1,
    "val_interval": 1000,
    "pretrained": False,
}
"""Keys of ``configs/train.json`` for ``supervised``, the model trained with the target's labels."""
ABLATIONS: dict[str, dict[str, Any]] = {
    "no cup prior": {"cup_prior": None},
    "teacher answers from one look": {"consensus": None},
    "norm statistics of the source": {"statistics": 0.0},
    "norm statistics of the target": {"statistics": 1.0},
    "larger learning rate": {"learning_rate": 5e-4},
    "twice the steps": {"max_epochs": 8, "least_steps": 104},
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
"""Rows of the ablation: what each changes in ``plus``, as a JSON merge patch. None removes a setting, so that its
default holds, or a loss. A key with ``#`` is one of the config itself."""


@dataclass(frozen=True)
class Run:
    """One recipe on one target with one seed.

    Args:
        target: its name.
        recipe: its name, ``source`` or ``supervised``.
        seed: of everything that is drawn at random.
        row: a name of ``ABLATIONS``; empty for a run that is not part of the ablation.

    Example:
        >>> run = Run("drishti_gs", "plus", seed=0)
        >>> str(run), run.folder(Path("output")).as_posix()
        ('drishti_gs/plus/0', 'output/runs/drishti_gs/plus/0')
    """

    target: str
    recipe: str
    seed: int
    row: str = ""

    def __str__(self) -> str:
        return f"{self.target}/{self.row or self.recipe}/{self.seed}"

    def folder(self, output: Path) -> Path:
        """Folder of the run's results in the benchmark's output folder."""
        kind, name = ("ablation", self.row) if self.row else ("runs", self.recipe)
        return output / kind / self.target / name / str(self.seed)


def config_with(own: Path | None) -> dict[str, Any]:
    """``configs/adapt.json`` with a file of somebody's own recipes laid over it.

    Args:
        own: a JSON or YAML file with ``recipes``; None for none.

    Raises:
        CallError: the file cannot be read, holds no recipe, one with the name of another row of the tables, or one with
            a setting that cannot be.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     own = Path(folder, "mine.yaml")
        ...     _ = own.write_text("recipes: {mine: {base: tent, max_epochs: 1}}")
        ...     list(config_with(own)["recipes"])[-2:]
        ['plus', 'mine']
    """
    if own is None:
        return CONFIG
    config = config_content([CONFIG_FILE, own])
    added = config["recipes"].keys() - CONFIG["recipes"].keys()
    changed = [name for name, settings in CONFIG["recipes"].items() if config["recipes"].get(name) != settings]
    if changed or added & {SOURCE, SUPERVISED}:
        name = [*changed, *sorted(added & {SOURCE, SUPERVISED})][0]
        raise CallError(
            f"{own} changes the row {name}.", "Give your recipe a name of its own, and say base: plus in it."
        )
    if not added:
        raise CallError(f"{own} adds no recipe.", "Its key recipes is a table of recipes: docs/how-to/add_a_recipe.md.")
    for name in sorted(added):
        recipe = choose_recipe(config["recipes"], name, config["recipe_defaults"])
        recipe.check_names(config["train"])
    return config


def plan(
    targets: Sequence[str], recipes: Sequence[str], seeds: Sequence[int], config: Mapping[str, Any] = CONFIG
) -> list[Run]:
    """Plan all runs except the ablation's; those of the first seed come first.

    Args:
        targets: names of the targets.
        recipes: names of the recipes, ``source`` or ``supervised``.
        seeds: further seeds are only planned for recipes that depend on them.
        config: of the ``adaptation`` stage, see ``config_with``.

    Raises:
        CallError: there is no such recipe.

    Example:
        >>> [str(run) for run in plan(["phantoms"], ["source", "plus"], seeds=[0, 1])]
        ['phantoms/source/0', 'phantoms/plus/0', 'phantoms/plus/1']
    """
    again = {recipe for recipe in recipes if depends_on_seed(recipe, config)}
    runs = [Run(target, recipe, seed) for seed in seeds for target in targets for recipe in recipes]
    return [run for run in runs if run.seed == seeds[0] or run.recipe in again]


def plan_ablation(targets: Sequence[str], seeds: Sequence[int]) -> list[Run]:
    """Plan every row of the ablation on every target; runs of the first seed come first.

    Example:
        >>> str(plan_ablation(["phantoms"], seeds=[0])[0])
        'phantoms/no cup prior/0'
    """
    return [Run(target, PLUS, seed, row) for seed in seeds for row in ABLATIONS for target in targets]


def depends_on_seed(recipe: str, config: Mapping[str, Any] = CONFIG) -> bool:
    """Whether a recipe draws random numbers, which only training does.

    Raises:
        CallError: there is no such recipe.

    Example:
        >>> depends_on_seed("plus"), depends_on_seed("bn")
        (True, False)
    """
    return recipe == SUPERVISED or (recipe != SOURCE and settings_of(recipe, config=config)["max_epochs"] > 0)


def settings_of(
    recipe: str, own: Mapping[str, Any] | None = None, config: Mapping[str, Any] = CONFIG
) -> dict[str, Any]:
    """All settings of a recipe, including defaults.

    Args:
        recipe: its name.
        own: the settings in which it differs from the defaults; None takes those of the config.
        config: of the ``adaptation`` stage, see ``config_with``.

    Raises:
        CallError: there is no such recipe, or it has no such base.

    Example:
        >>> settings_of("tent")["trainable"]
        'norm'
    """
    recipes = config["recipes"]
    if recipe not in recipes:
        raise CallError(f"there is no recipe {recipe}.", f"Use some of {', '.join((SOURCE, *recipes, SUPERVISED))}.")
    return {**config["recipe_defaults"], **(settings_with_base(recipes, recipe) if own is None else own)}


def merge(settings: Mapping[str, Any], patch: Mapping[str, Any]) -> dict[str, Any]:
    """Apply a JSON merge patch (RFC 7396).

    Example:
        >>> merge({"teacher": 0.9, "losses": {"a": 1.0, "b": 0.5}}, {"teacher": None, "losses": {"b": 2.0}})
        {'losses': {'a': 1.0, 'b': 2.0}}
    """
    merged = dict(settings)
    for key, value in patch.items():
        if value is None:
            merged.pop(key, None)
        else:
            merged[key] = merge(merged.get(key) or {}, value) if isinstance(value, Mapping) else value
    return merged


def ablation_overrides(row: str) -> dict[str, Any]:
    """Overrides of ``configs/adapt.json`` that turn ``plus`` into the variant ``row``; none for an empty ``row``.

    Example:
        >>> ablation_overrides("hard labels from 0.5")["train#losses#class_balanced#threshold"]
        0.5
    """
    if not row:
        return {}
    patch = {key: value for key, value in ABLATIONS[row].items() if "#" not in key}
    direct = {key: value for key, value in ABLATIONS[row].items() if "#" in key}
    return {f"recipes#{PLUS}": merge(CONFIG["recipes"][PLUS], patch), **direct}
