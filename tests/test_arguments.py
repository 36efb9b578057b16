"""What a shell passes is what a stage gets."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from monai.bundle import ConfigParser

from bundle.arguments import Arguments, as_config, config_content, read_arguments, settled
from bundle.errors import CallError

NAMES = [
    "scan #2",
    "2024",
    "a,b",
    "True",
    "[x]",
    "@home",
    "$HOME",
    "%x",
    "100%#1",
    "a::b",
    "a@#b",
    "it's",
    '"q"',
    "1e3",
]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("form", ["apart", "equals"])
def test_a_folder_s_name_stays_a_name(name, form):
    flags = ["--dataset_dir", name] if form == "apart" else [f"--dataset_dir={name}"]
    assert read_arguments(["run", *flags]).values() == {"dataset_dir": name}


@given(st.text(alphabet=st.characters(exclude_characters="\0", exclude_categories=())))
def test_a_config_that_holds_a_text_gives_that_text(text):
    parser = ConfigParser({"name": as_config(text), "home": 7, "other": "@name"})
    assert parser.get_parsed_content("name") == text
    assert parser.get_parsed_content("other") == text


@pytest.mark.parametrize(
    ("text", "value"),
    [("false", False), ("True", True), ("no", False), ("0", "0"), ("maybe", "maybe")],
)
def test_yes_and_no_are_read_as_words(text, value):
    read = Arguments(flags={"guess_eye": text}).values()["guess_eye"]
    assert read == value
    assert type(read) is type(value)


@pytest.mark.parametrize(("text", "value"), [("3", 3), ("0.5", 0.5), ("1e-3", 0.001), ("0,05", "0,05"), ("8%", "8%")])
def test_numbers_are_read_as_numbers_and_the_rest_stays_text_to_be_refused(text, value):
    assert Arguments(flags={"max_uncertainty": text}).values() == {"max_uncertainty": value}


def test_nothing_is_a_value_where_it_is_allowed():
    assert Arguments(flags={"checkpoint": "null", "output_dir": "null"}).values() == {
        "checkpoint": None,
        "output_dir": "null",
    }


def test_a_flag_without_a_value_is_true_and_words_stay_in_order():
    call = read_arguments(["run", "inference", "--quiet", "--seed", "-1", "rest", "--dataset-dir", "--view=crop"])
    assert call.words == ["run", "inference", "rest"]
    assert call.flags == {"quiet": None, "seed": "-1", "dataset_dir": None, "view": "crop"}


def test_every_path_is_expanded_and_nothing_else(monkeypatch):
    monkeypatch.setenv("HOME", "/home/reader")
    given = {"dataset_dir": "~/in", "output_dir": "~/out", "checkpoint": None, "recipe": "~", "x#path": "~/y"}
    assert settled(given) == given | {"dataset_dir": "/home/reader/in", "output_dir": "/home/reader/out"}


def test_config_files_are_merged_and_a_missing_or_broken_one_is_named(tmp_path):
    (tmp_path / "a.json").write_text(json.dumps({"seed": 1, "view": "crop"}))
    (tmp_path / "b.yaml").write_text("seed: 2\n")
    assert config_content([tmp_path / "a.json", tmp_path / "b.yaml"]) == {"seed": 2, "view": "crop"}
    (tmp_path / "c.json").write_text("{")
    for name, said in (("missing.json", "does not exist"), ("c.json", "cannot be read")):
        with pytest.raises(CallError, match=f"{name}.* {said}"):
            config_content([tmp_path / name])
