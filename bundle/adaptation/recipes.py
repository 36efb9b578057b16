"""Recipes of adaptation: what each sets, and which parameters it trains."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import nn

from bundle.errors import CallError

__all__ = ["choose_recipe", "trainable_parameters"]

TRAINABLE = ("all", "norm", "all_but_head")


def choose_recipe(
    recipes: Mapping[str, Mapping[str, Any]], name: str, defaults: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """The settings of the recipe called ``name``.

    Args:
        recipes: for each recipe the settings in which it differs from ``defaults``.
        name: one of their names.
        defaults: every setting there is; None takes the recipe as it stands.

    Raises:
        CallError: when there is no such recipe.
        ValueError: when a recipe has a setting that ``defaults`` has not.
    """
    if name not in recipes:
        raise CallError(f"--recipe {name} is unknown.", f"Use one of {', '.join(sorted(recipes))}.")
    unknown = sorted(set(recipes[name]) - set(defaults)) if defaults is not None else []
    if unknown:
        raise ValueError(f"recipe {name} has unknown settings {unknown}; there are {sorted(defaults or ())}.")
    return {**(defaults or {}), **recipes[name]}


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
