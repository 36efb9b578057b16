"""Recipes of adaptation: their settings, and the parameters that they train.

A recipe is an entry of ``recipes`` in ``configs/adapt.json``. ``Recipe`` holds the settings of such an entry, completed
with the defaults and checked; its methods derive from them the trained parameters, the mean teacher and the number of
epochs.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any

from ignite.handlers import EMAHandler
from torch import nn

from bundle.errors import CallError
from bundle.networks.head import require_head
from bundle.networks.others import moves_the_cup_alone
from bundle.settings import nearest

__all__ = ["Recipe", "choose_recipe", "settings_with_base", "trainable_parameters"]

TRAINABLE = ("all", "norm", "all_but_head")
KEPT = ("teacher", "student")
_NORMS = (nn.modules.batchnorm._NormBase, nn.GroupNorm, nn.LayerNorm)


@dataclass(frozen=True)
class Recipe:
    """All settings of one recipe.

    Args:
        statistics: share of the target in the norm layers' statistics, in [0, 1].
        pseudo_labels: whether stage 1 makes pseudo-labels first.
        label_threshold: probability above which stage 1 labels a pixel as part of a structure, in (0, 1).
        features: mode of the class features of stage 1, see ``GradientFeatures``.
        trainable: see ``trainable_parameters``.
        max_epochs: number of epochs, at least 0; 0 trains nothing.
        least_steps: smallest number of batches, at least 0; if ``max_epochs`` gives fewer, there are more epochs.
        photographs_per_epoch: largest number of photographs in an epoch, drawn again for each epoch; None for all.
        photographs_per_step: largest number of photographs in a training step; None for a whole batch.
        learning_rate: of Adam, at least 0.
        learning_rate_decay: share by which the rate falls after each epoch, in [0, 1).
        teacher: momentum of the mean teacher, in (0, 1); None for no teacher.
        kept: whether the weights of the ``teacher`` or the ``student`` are the result.
        consensus: whether the teacher's prediction is the mean over several views.
        cup_prior: temperature at which the target's share of cup is estimated, above 0; None for no estimate.
        augmentation: a key of ``train#augmentations``.
        geometry: a key of ``train#geometries``.
        harm_tolerance: see ``AdaptationResult``, at least 0; None ignores the predicted Dice.
        losses: weights of the losses, by their key in ``train#losses``.

    Raises:
        ValueError: a setting is out of range.

    Example:
        >>> import json
        >>> from bundle.stages import BUNDLE_ROOT
        >>> config = json.loads((BUNDLE_ROOT / "configs" / "adapt.json").read_text())
        >>> recipe = choose_recipe(config["recipes"], "plus", config["recipe_defaults"])
        >>> recipe.epochs(batches=2), recipe.epochs(batches=12)
        (26, 5)
    """

    statistics: float
    pseudo_labels: bool
    label_threshold: float
    features: str
    trainable: str
    max_epochs: int
    least_steps: int
    photographs_per_epoch: int | None
    photographs_per_step: int | None
    learning_rate: float
    learning_rate_decay: float
    teacher: float | None
    kept: str
    consensus: bool
    cup_prior: float | None
    augmentation: str
    geometry: str
    harm_tolerance: float | None
    losses: Mapping[str, float]

    def __post_init__(self) -> None:
        ranges = {
            "statistics": 0 <= self.statistics <= 1,
            "label_threshold": 0 < self.label_threshold < 1,
            "trainable": self.trainable in TRAINABLE,
            "max_epochs": self.max_epochs >= 0,
            "least_steps": self.least_steps >= 0,
            "photographs_per_epoch": self.photographs_per_epoch is None or self.photographs_per_epoch > 0,
            "photographs_per_step": self.photographs_per_step is None or self.photographs_per_step > 0,
            "learning_rate": self.learning_rate >= 0,
            "learning_rate_decay": 0 <= self.learning_rate_decay < 1,
            "teacher": self.teacher is None or 0 < self.teacher < 1,
            "kept": self.kept in KEPT,
            "cup_prior": self.cup_prior is None or self.cup_prior > 0,
            "harm_tolerance": self.harm_tolerance is None or self.harm_tolerance >= 0,
            "losses": bool(self.losses) or self.max_epochs == 0,
        }
        for name, holds in ranges.items():
            if not holds:
                raise ValueError(f"the recipe's {name} cannot be {getattr(self, name)!r}.")

    def check_names(self, tables: Mapping[str, Any]) -> Recipe:
        """This recipe, if the config has all that it names.

        Args:
            tables: ``losses``, ``augmentations`` and ``geometries``, each by its name, as in ``train`` of the config.

        Raises:
            CallError: one of these tables lacks a name.
        """
        named = {"augmentations": [self.augmentation], "geometries": [self.geometry], "losses": list(self.losses)}
        for table, names in named.items():
            for name in names:
                if name not in tables[table]:
                    problem = f"the recipe names {name!r}, which train#{table} does not have"
                    raise CallError(
                        f"{problem}{nearest(name, tables[table])}.", f"Use one of {', '.join(tables[table])}."
                    )
        return self

    def check_network(self, network: nn.Module, image_size: int, losses_with_head: Sequence[str] = ()) -> None:
        """Refuse a network that lacks what the recipe needs.

        Args:
            network: to be adapted.
            image_size: side in pixels of the pictures that it gets.
            losses_with_head: those of the recipe's losses that need a head.

        Raises:
            CallError: the recipe needs a head (see ``has_head``), norm layers to train, batch norm layers or a bias
                that the network does not have.
        """
        needing = [f"the loss {name}" for name in losses_with_head]
        needing += ["pseudo_labels"] * self.pseudo_labels + ["all_but_head"] * (self.trainable == "all_but_head")
        if needing:
            require_head(network, f"the recipe's {needing[0].removeprefix('the ')}")
        lacks = ""
        layers = list(network.modules())
        if self.max_epochs and self.trainable == "norm" and not any(_has_scale(layer) for layer in layers):
            lacks = "norm layers with scale and shift, which this recipe trains"
        elif not self.max_epochs and not any(isinstance(layer, nn.modules.batchnorm._BatchNorm) for layer in layers):
            lacks = "batch norm layers, whose statistics are all that this recipe changes"
        elif self.cup_prior and not moves_the_cup_alone(network, image_size):
            lacks = "last convolution with a bias that moves the cup's logit alone, as cup_prior needs"
        if lacks:
            raise CallError(f"{type(network).__name__} has no {lacks}.", "See docs/how-to/other_networks.md.")

    def as_dict(self) -> dict[str, Any]:
        """The settings as a dictionary that JSON can store."""
        return asdict(self)

    def parameters(self, network: nn.Module) -> list[nn.Parameter]:
        """The parameters that are trained; see ``trainable_parameters``."""
        return trainable_parameters(network, self.trainable)

    def mean_teacher(self, network: nn.Module) -> EMAHandler | None:
        """The mean teacher, an average of the student's weights and buffers; None in a recipe without one."""
        if self.teacher is None:
            return None
        return EMAHandler(network, momentum=1 - self.teacher, handle_buffers="update")

    def result(self, student: nn.Module, teacher: nn.Module | None) -> nn.Module:
        """The network whose weights are the result of the adaptation."""
        return student if teacher is None or self.kept == "student" else teacher

    def epochs(self, batches: int) -> int:
        """Number of epochs, if an epoch has ``batches`` batches."""
        return max(self.max_epochs, math.ceil(self.least_steps / max(1, batches)))

    def photographs(self, available: int) -> int:
        """Number of photographs in an epoch, if ``available`` photographs can be read."""
        return min(available, self.photographs_per_epoch or available)

    def visits(self, views: int) -> int:
        """Number of visits over which the teacher's answers can be averaged, if it takes turns through ``views`` views.

        One without a consensus, and where photographs are moved: what the teacher said then lies elsewhere.
        """
        return views if self.consensus and self.geometry == "none" else 1

    def step(self, batch_size: int) -> int:
        """Number of photographs in a training step, if a batch has ``batch_size`` photographs."""
        return min(batch_size, self.photographs_per_step or batch_size)


def choose_recipe(
    recipes: Mapping[str, Mapping[str, Any]],
    name: str,
    defaults: Mapping[str, Any],
    changes: Mapping[str, Any] | None = None,
) -> Recipe:
    """Build the recipe called ``name``.

    Args:
        recipes: for each recipe the settings that differ from ``defaults``, or from the recipe that ``base`` names.
        name: name of the recipe.
        defaults: a value for every setting.
        changes: settings that replace the recipe's, where corrected photographs are at hand; losses are added to its
            losses.

    Raises:
        CallError: there is no recipe of this name, or a setting is unknown, of another kind or out of range.

    Example:
        >>> import json
        >>> from bundle.stages import BUNDLE_ROOT
        >>> config = json.loads((BUNDLE_ROOT / "configs" / "adapt.json").read_text())
        >>> own = {"mine": {"base": "tent", "max_epochs": 1}}
        >>> recipe = choose_recipe({**config["recipes"], **own}, "mine", config["recipe_defaults"])
        >>> recipe.max_epochs, recipe.losses
        (1, {'entropy': 1.0})
    """
    if name not in recipes:
        raise CallError(f"--recipe {name} is unknown.", f"Use one of {', '.join(sorted(recipes))}.")
    settings = {**defaults, **settings_with_base(recipes, name)}
    if changes:
        settings = {**settings, **changes, "losses": {**settings["losses"], **changes.get("losses", {})}}
    known = {field.name: str(field.type) for field in fields(Recipe)}
    remedy = "What each setting may be: docs/explanation/recipes.md."
    for setting, value in settings.items():
        if setting not in known:
            raise CallError(f"recipe {name} has an unknown setting {setting!r}{nearest(setting, known)}.", remedy)
        if not _is(value, known[setting]):
            # YAML 1.1 reads 5e-4 as a text.
            hint = " (in YAML, write 5.0e-4 for 5e-4)" if isinstance(value, str) and "float" in known[setting] else ""
            raise CallError(f"recipe {name}: {setting} cannot be {value!r}{hint}.", remedy)
    try:
        return Recipe(**settings)
    except ValueError as error:
        raise CallError(f"recipe {name}: {error}", remedy) from error


def settings_with_base(recipes: Mapping[str, Mapping[str, Any]], name: str) -> dict[str, Any]:
    """The settings of a recipe: those of its ``base``, if it names one, replaced by its own.

    Args:
        recipes: a table with the recipe and its base, which may have a base too.
        name: the recipe's name.

    Raises:
        CallError: there is no such base, a recipe is its own base, or a recipe is no table of settings.

    Example:
        >>> table = {"plus": {"teacher": 0.98, "max_epochs": 10}, "mine": {"base": "plus", "max_epochs": 2}}
        >>> settings_with_base(table, "mine")
        {'teacher': 0.98, 'max_epochs': 2}
    """
    line: list[str] = [name]
    settings: dict[str, Any] = {}
    while True:
        own = recipes[line[-1]]
        if not isinstance(own, Mapping):
            raise CallError(f"recipe {line[-1]} cannot be {own!r}.", "Give it as a table of settings.")
        settings = {**own, **settings}
        base = settings.pop("base", None)
        if base is None:
            return settings
        if base not in recipes or base in line:
            what = "is built on itself, by its base" if base in line else "has an unknown base"
            hint = "" if base in line else nearest(str(base), recipes)
            raise CallError(f"recipe {line[-1]} {what} {base!r}{hint}.", f"Use one of {', '.join(sorted(recipes))}.")
        line.append(base)


def _is(value: Any, kind: str) -> bool:
    """Whether a value is of the kind that a field of ``Recipe`` is declared as."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return any(
        {
            "None": value is None,
            "bool": isinstance(value, bool),
            "int": is_number and isinstance(value, int),
            "float": is_number,
            "str": isinstance(value, str),
            "Mapping[str, float]": isinstance(value, Mapping) and all(_is(each, "float") for each in value.values()),
        }[each]
        for each in kind.split(" | ")
    )


def _has_scale(layer: nn.Module) -> bool:
    return isinstance(layer, _NORMS) and any(True for _ in layer.parameters(recurse=False))


def trainable_parameters(network: nn.Module, which: str) -> list[nn.Parameter]:
    """Freeze all parameters of ``network`` except the chosen ones, and return these.

    Args:
        network: changed in place.
        which: ``all``, ``norm`` for scale and shift of the norm layers, or ``all_but_head`` for all except those of the
            pointwise head.

    Raises:
        ValueError: ``which`` is not one of these.

    Example:
        >>> network = nn.Sequential(nn.Conv2d(3, 8, 1), nn.BatchNorm2d(8))
        >>> [tuple(parameter.shape) for parameter in trainable_parameters(network, "norm")]
        [(8,), (8,)]
    """
    if which not in TRAINABLE:
        raise ValueError(f"trainable must be one of {TRAINABLE}, not {which!r}.")
    chosen = set()
    head = set(network.segmentation_head.modules()) if which == "all_but_head" else set()  # type: ignore[union-attr]
    for module in network.modules():
        if (
            which == "all"
            or (which == "all_but_head" and module not in head)
            or (which == "norm" and isinstance(module, _NORMS))
        ):
            chosen |= set(module.parameters(recurse=False))
    for parameter in network.parameters():
        parameter.requires_grad_(parameter in chosen)
    return [parameter for parameter in network.parameters() if parameter in chosen]
