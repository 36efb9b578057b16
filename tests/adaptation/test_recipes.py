"""A recipe is its entry with the defaults filled in, answers what the stage asks of it, and trains what it may."""

from __future__ import annotations

from typing import Any

import pytest
from torch import nn

from bundle.adaptation.recipes import Recipe, choose_recipe, trainable_parameters
from bundle.errors import CallError

DEFAULTS: dict[str, Any] = {
    "statistics": 1.0,
    "pseudo_labels": False,
    "label_threshold": 0.75,
    "features": "cam",
    "trainable": "norm",
    "max_epochs": 0,
    "least_steps": 0,
    "photographs_per_epoch": None,
    "photographs_per_step": None,
    "learning_rate": 0.0,
    "learning_rate_decay": 0.0,
    "teacher": None,
    "kept": "teacher",
    "consensus": False,
    "cup_prior": None,
    "augmentation": "none",
    "geometry": "none",
    "harm_tolerance": None,
    "losses": {},
}


def recipe(**settings: Any) -> Recipe:
    return choose_recipe({"mine": settings}, "mine", DEFAULTS)


def test_a_recipe_is_its_settings_and_the_defaults():
    assert recipe(statistics=0.5).as_dict() == DEFAULTS | {"statistics": 0.5}


def test_an_unknown_recipe_is_a_wrong_call():
    with pytest.raises(CallError, match="--recipe tent is unknown. Use one of bn, plus"):
        choose_recipe({"plus": {}, "bn": {}}, "tent", DEFAULTS)


def test_a_misspelt_setting_is_refused_with_the_one_that_was_meant():
    with pytest.raises(ValueError, match=r"setting .max_epoch. \(did you mean max_epochs\?\)"):
        recipe(max_epoch=3)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("statistics", 1.5),
        ("label_threshold", 1.0),
        ("trainable", "head"),
        ("max_epochs", -1),
        ("least_steps", -1),
        ("photographs_per_epoch", 0),
        ("photographs_per_step", 0),
        ("learning_rate", -0.1),
        ("learning_rate_decay", 1.0),
        ("teacher", 1.0),
        ("kept", "both"),
        ("cup_prior", 0.0),
        ("harm_tolerance", -0.1),
    ],
)
def test_a_setting_out_of_range_is_refused(name, value):
    with pytest.raises(ValueError, match=f"the recipe's {name} cannot be"):
        recipe(**{name: value})


def test_training_needs_a_loss():
    with pytest.raises(ValueError, match="losses"):
        recipe(max_epochs=1)


def test_few_photographs_are_seen_more_often():
    own = recipe(max_epochs=2, least_steps=40, losses={"entropy": 1.0})
    assert [own.epochs(batches) for batches in (100, 20, 19, 1, 0)] == [2, 2, 3, 40, 40]


def test_an_epoch_takes_no_more_photographs_than_there_are():
    assert [recipe(photographs_per_epoch=limit).photographs(50) for limit in (None, 20, 80)] == [50, 20, 50]


def test_a_step_takes_no_more_photographs_than_a_batch():
    assert [recipe(photographs_per_step=limit).step(8) for limit in (None, 4, 16)] == [8, 4, 8]


def test_answers_are_averaged_over_visits_only_where_photographs_stay_where_they_are():
    assert recipe(consensus=True).visits(4) == 4
    assert recipe(consensus=True, geometry="views").visits(4) == recipe().visits(4) == 1


def test_the_teacher_is_the_result_where_there_is_one(network):
    assert recipe().mean_teacher(network) is None
    taught = recipe(teacher=0.9)
    teacher = taught.mean_teacher(network)
    assert teacher is not None
    assert taught.result(network, teacher.ema_model) is teacher.ema_model
    assert recipe(teacher=0.9, kept="student").result(network, teacher.ema_model) is network
    assert recipe().result(network, None) is network


def test_norm_trains_scale_and_shift_of_the_norm_layers_only(network):
    chosen = trainable_parameters(network, "norm")
    expected = [p for m in network.modules() if isinstance(m, nn.BatchNorm2d) for p in (m.weight, m.bias)]
    assert {id(p) for p in chosen} == {id(p) for p in expected}
    assert len(chosen) == len(expected)
    for parameter in network.parameters():
        assert parameter.requires_grad == any(parameter is p for p in expected)


def test_all_trains_everything_also_after_norm(network):
    trainable_parameters(network, "norm")
    chosen = trainable_parameters(network, "all")
    assert [id(p) for p in chosen] == [id(p) for p in network.parameters()]
    assert all(p.requires_grad for p in network.parameters())


def test_all_but_head_leaves_the_head(network):
    chosen = trainable_parameters(network, "all_but_head")
    head = list(network.segmentation_head.parameters())
    assert not any(p.requires_grad for p in head)
    assert len(chosen) + len(head) == len(list(network.parameters()))


def test_unknown_choice_of_parameters_is_refused(network):
    with pytest.raises(ValueError, match="trainable must be one of"):
        trainable_parameters(network, "head")
