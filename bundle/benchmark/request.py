"""The settings that the result of a run depends on; they are stored with the result."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from monai.bundle import ConfigParser

from bundle.adaptation.label_shift import source_cup_share
from bundle.benchmark.plan import (
    CEILING,
    CONFIG,
    PLUS,
    SOURCE,
    SUPERVISED,
    Run,
    ablation_overrides,
    config_with,
    settings_of,
)
from bundle.benchmark.setup import CHECKPOINT, Setup
from bundle.benchmark.targets import made_of
from bundle.io.provenance import model_identity
from bundle.settings import first_part

__all__ = ["asked_for"]


def asked_for(run: Run, setup: Setup) -> dict[str, Any]:
    """Everything that a run's result depends on; if it changes, the run is repeated.

    Returns:
        A dictionary as JSON gives it back, with lists instead of tuples.
    """
    asked: dict[str, Any] = {
        "weights": model_identity(setup.checkpoint),
        "images": setup.images,
        "of": made_of(run.target),
        "image_size": setup.image_size,
    }
    if run.recipe == SUPERVISED:
        asked["ceiling"] = CEILING
    elif run.recipe == SOURCE:
        # Such runs include inference, whose uncertainty the page compares with the true Dice.
        asked["uncertainty"] = "expected Dice"
    else:
        asked |= _asked_of_recipe(run, setup)
        if run.recipe == PLUS and run.seed == 0 and not run.row:
            asked["uncertainty"] = "expected Dice, scaled"
    return json.loads(json.dumps(asked))


def _asked_of_recipe(run: Run, setup: Setup) -> dict[str, Any]:
    direct = ablation_overrides(run.row)
    config = config_with(setup.own) if setup.is_own(run.recipe) else CONFIG
    settings = settings_of(run.recipe, direct.pop(f"recipes#{PLUS}", None), config)
    asked: dict[str, Any] = {
        "direct": direct,
        # A new setting whose default is None, False or 0 does not change the results of old recipes. No target here has
        # more photographs than the limit of an epoch.
        "settings": {key: value for key, value in settings.items() if value and key != "photographs_per_epoch"},
        "losses": {name: _asked_of_loss(config["train"]["losses"][name], settings) for name in settings["losses"]},
        "augmentation": config["train"]["augmentations"][settings["augmentation"]],
    }
    if config is not CONFIG:
        # Whatever else the file holds may change the result too.
        content = ConfigParser.load_config_file(str(setup.own))
        asked["own"] = {key: value for key, value in content.items() if first_part(key.lstrip("+")) != "recipes"}
    if settings["consensus"]:
        asked["consensus"] = config["consensus"]
    if settings["cup_prior"]:
        share = config["source_cup_share"]
        asked["cup_prior"] = [
            source_cup_share(CHECKPOINT) if isinstance(share, dict) else share,
            config["least_cup_shift"],
        ]
    return asked


def _asked_of_loss(loss: Mapping[str, Any], settings: Mapping[str, Any]) -> dict[str, Any]:
    """The loss's arguments; the number of visits counts only where the teacher takes several views."""
    return {name: value for name, value in loss.items() if name != "visits" or settings["consensus"]}
