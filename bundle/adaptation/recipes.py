"""Recipes of adaptation: what each sets, and which parameters it trains.

A recipe is data, an entry of ``recipes`` in ``configs/adapt.json``. ``Recipe`` is that entry with its defaults filled
in and checked, and answers what the stage asks of it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from ignite.handlers import EMAHandler
from torch import nn

from bundle.errors import CallError
from bundle.settings import nearest

__all__ = ["Recipe", "choose_recipe", "trainable_parameters"]

TRAINABLE = ("all", "norm", "all_but_head")
KEPT = ("teacher", "student")


@dataclass(frozen=True)
class Recipe:
    """All settings of one recipe.

    Args:
        statistics: share of the target in the norm layers' statistics, in [0, 1].
        pseudo_labels: whether stage 1 makes pseudo-labels first.
        label_threshold: a pixel whose probability is above it is labelled, in (0, 1).
        features: mode of the class features of stage 1, see ``GradientFeatures``.
        trainable: see ``trainable_parameters``.
        max_epochs: epochs, at least 0; 0 trains nothing.
        least_steps: as many epochs as it takes for so many batches, where ``max_epochs`` gives fewer.
        photographs_per_epoch: at most so many photographs an epoch, drawn anew for each; None for all.
        learning_rate: of Adam, at least 0.
        learning_rate_decay: share that the rate loses after each epoch, in [0, 1).
        teacher: momentum of a mean teacher, in (0, 1); None for none.
        kept: whether the weights of the ``teacher`` or the ``student`` are the result.
        consensus: whether the teacher answers by the mean of several views.
        cup_prior: temperature at which the target's share of cup is estimated, above 0; None for no estimate.
        augmentation: a key of ``train#augmentations``.
        geometry: a key of ``train#geometries``.
        harm_tolerance: see ``AdaptationResult``; None keeps what was adapted.
        losses: weights of the losses, by their key in ``train#losses``.

    Raises:
        ValueError: when a setting is out of range.

    Example:
        >>> import json
        >>> from bundle.stages import BUNDLE_ROOT
        >>> config = json.loads((BUNDLE_ROOT / "configs" / "adapt.json").read_text())
        >>> recipe = choose_recipe(config["recipes"], "plus", config["recipe_defaults"])
        >>> recipe.epochs(batches=2), recipe.epochs(batches=12)
        (20, 10)
    """

    statistics: float
    pseudo_labels: bool
    label_threshold: float
    features: str
    trainable: str
    max_epochs: int
    least_steps: int
    photographs_per_epoch: int | None
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

    def as_dict(self) -> dict[str, Any]:
        """The settings as JSON takes them."""
        return asdict(self)

    def parameters(self, network: nn.Module) -> list[nn.Parameter]:
        """The parameters that are trained; see ``trainable_parameters``."""
        return trainable_parameters(network, self.trainable)

    def mean_teacher(self, network: nn.Module) -> EMAHandler | None:
        """The teacher: an average of the student's weights and buffers, None in a recipe without one."""
        if self.teacher is None:
            return None
        return EMAHandler(network, momentum=1 - self.teacher, handle_buffers="update")

    def result(self, student: nn.Module, teacher: nn.Module | None) -> nn.Module:
        """The network whose weights the adaptation gives."""
        return student if teacher is None or self.kept == "student" else teacher

    def epochs(self, batches: int) -> int:
        """How many epochs of ``batches`` batches are trained."""
        return max(self.max_epochs, math.ceil(self.least_steps / max(1, batches)))

    def photographs(self, available: int) -> int:
        """How many of the ``available`` photographs an epoch takes."""
        return min(available, self.photographs_per_epoch or available)


def choose_recipe(recipes: Mapping[str, Mapping[str, Any]], name: str, defaults: Mapping[str, Any]) -> Recipe:
    """The recipe called ``name``.

    Args:
        recipes: for each recipe the settings in which it differs from ``defaults``.
        name: one of their names.
        defaults: every setting there is.

    Raises:
        CallError: when there is no such recipe.
        ValueError: when a recipe has a setting that there is none of, or one that is out of range.
    """
    if name not in recipes:
        raise CallError(f"--recipe {name} is unknown.", f"Use one of {', '.join(sorted(recipes))}.")
    known = [field.name for field in fields(Recipe)]
    for setting in (*recipes[name], *defaults):
        if setting not in known:
            raise ValueError(f"recipe {name} has an unknown setting {setting!r}{nearest(setting, known)}.")
    return Recipe(**{**defaults, **recipes[name]})


def trainable_parameters(network: nn.Module, which: str) -> list[nn.Parameter]:
    """Freeze everything of ``network`` but the chosen parameters, and return those.

    Args:
        network: changed in place.
        which: ``all``, ``norm`` for scale and shift of the norm layers, or ``all_but_head``, which leaves the
            pointwise head as it is.

    Raises:
        ValueError: when ``which`` is none of them.
    """
    if which not in TRAINABLE:
        raise ValueError(f"trainable must be one of {TRAINABLE}, not {which!r}.")
    chosen = set()
    head = set(network.segmentation_head.modules()) if which == "all_but_head" else set()  # type: ignore[union-attr]
    for module in network.modules():
        if (
            which == "all"
            or (which == "all_but_head" and module not in head)
            or (which == "norm" and isinstance(module, nn.modules.batchnorm._NormBase))
        ):
            chosen |= set(module.parameters(recurse=False))
    for parameter in network.parameters():
        parameter.requires_grad_(parameter in chosen)
    return [parameter for parameter in network.parameters() if parameter in chosen]
