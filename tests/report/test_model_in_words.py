"""The page says which model drew the contours, and what adapting was predicted to bring."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from bundle.io.provenance import model_identity
from bundle.networks.notes import with_notes
from bundle.report.model_in_words import model_in_words
from bundle.stages import BUNDLE_ROOT

SHIPPED = BUNDLE_ROOT / "models" / "model.pt"
RECORD: dict[str, Any] = {
    "recipe": "plus",
    "kept": "adapted",
    "reason": "",
    "before": {"predicted_dice": {"optic_disc": 0.951, "optic_cup": 0.852}, "photographs": 92},
    "after": {"predicted_dice": {"optic_disc": 0.97, "optic_cup": 0.8}, "photographs": 92},
}


@pytest.fixture
def own(tmp_path: Path) -> Path:
    torch.save({"weight": torch.zeros(2)}, tmp_path / "own.pt")
    return tmp_path / "own.pt"


def test_the_shipped_model_is_known_under_any_name(tmp_path: Path) -> None:
    copy = Path(shutil.copy(SHIPPED, tmp_path / "copy.pt"))
    assert model_in_words(copy) == f"the shipped model, {model_identity(copy)}"


def test_other_weights_are_the_user_s_own_or_adapted_if_they_say_so(own: Path) -> None:
    assert model_in_words(own) == f"a model of your own, {model_identity(own)}"
    torch.save(with_notes({"weight": torch.zeros(2)}, {"uncertainty_scale": 0.5}), own)
    assert model_in_words(own) == f"an adapted model, {model_identity(own)}"


def test_an_adaptation_tells_of_before_and_after(own: Path) -> None:
    record = RECORD | {"model": model_identity(own)}
    (own.parent / "adaptation.json").write_text(json.dumps(record))
    dice = "predicted Dice: disc 0.951 before, 0.970 after; cup 0.852 before, 0.800 after"
    said = f"adapted without labels to 92 photographs by plus ({dice})"
    assert model_in_words(own) == f"{said}, {model_identity(own)}"
    (own.parent / "adaptation.json").write_text(json.dumps(record | {"few_labels": ["a", "b"]}))
    assert model_in_words(own).startswith("adapted with 2 corrected photographs to 92 photographs by plus")
    (own.parent / "adaptation.json").write_text(json.dumps(record | {"kept": "source", "reason": "the cup fell"}))
    assert model_in_words(own).startswith("the model from before adapting, kept because adapting was predicted to harm")
    assert "the cup fell" in model_in_words(own)


@pytest.mark.parametrize("text", ["{", "[]", "{}", json.dumps(RECORD | {"model": "model.pt (sha256 0)"})])
def test_a_record_of_other_weights_or_a_broken_one_says_nothing(own: Path, text: str) -> None:
    (own.parent / "adaptation.json").write_text(text)
    assert model_in_words(own).startswith("a model of your own")
