"""A recipe is found by its name, differs from the defaults where it says so, and trains what it may."""

from __future__ import annotations

import pytest
from torch import nn

from bundle.adaptation.recipes import choose_recipe, trainable_parameters
from bundle.errors import CallError

RECIPES = {"plus": {"max_epochs": 2}, "bn": {"max_epochs": 0}}


def test_a_recipe_is_found_by_name_and_copied():
    found = choose_recipe(RECIPES, "plus")
    assert found == RECIPES["plus"]
    found["max_epochs"] = 9
    assert RECIPES["plus"]["max_epochs"] == 2


def test_an_unknown_recipe_is_a_wrong_call():
    with pytest.raises(CallError, match="--recipe tent is unknown. Use one of bn, plus"):
        choose_recipe(RECIPES, "tent")


def test_a_recipe_differs_from_the_defaults_where_it_says_so():
    assert choose_recipe(RECIPES, "bn", {"max_epochs": 1, "teacher": None}) == {"max_epochs": 0, "teacher": None}


def test_a_setting_that_nothing_reads_is_refused():
    with pytest.raises(ValueError, match=r"recipe bn has unknown settings \['max_epochs'\]"):
        choose_recipe(RECIPES, "bn", {"teacher": None})


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
