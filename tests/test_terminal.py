"""The terminal tells an engineer what happens and what to do; the log tells the rest."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
import torch

from bundle import fundus
from bundle.errors import CallError
from bundle.networks.unet import DiscCupUNet
from bundle.networks.weights import save_weights
from bundle.synthetic.phantoms.photographs import write_dataset
from bundle.terminal import Terminal, _advice, _summary

TINY = ["--network_def#backbone", "efficientnet-lite0-small", "--network_def#decoder_channels", "[16,16,8,8]"]


@pytest.fixture
def folders(tmp_path, monkeypatch) -> list[str]:
    """A folder of photographs, one of them broken, one for results, and the options of a small model."""
    monkeypatch.setattr(fundus, "end_in_one_line", lambda *_: None)
    write_dataset(tmp_path / "in", 3, kind="crop", cameras=("tight_red",), size=96, seed=3)
    (tmp_path / "in" / "image" / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    torch.manual_seed(0)
    network = DiscCupUNet(backbone="efficientnet-lite0-small", decoder_channels=(16, 16, 8, 8))
    save_weights(network, tmp_path / "start.pt")
    options = ["--checkpoint", str(tmp_path / "start.pt"), "--image_size", "64", "--view", "crop", *TINY]
    return [str(tmp_path / "in"), str(tmp_path / "out"), *options]


def test_adapting_is_a_line_a_step_and_at_the_end_what_to_do(folders, capsys):
    assert fundus.main(["adapt", *folders, "--recipe", "bn"]) == 1
    shown = capsys.readouterr()
    out = Path(folders[1])
    lines = shown.out.splitlines()
    assert lines[0] == "note: 4 photographs say little about a camera; 10 or more are better."
    steps = ["Looking for the discs, and at what the model makes of them", "Looking at what has changed", "Segmenting"]
    assert [line for line in lines if line in steps] == steps
    assert [line for line in lines if "broken.png" in line and line.startswith("unreadable: ")]
    assert any("model" in line and str(out / "model.pt") in line for line in lines)
    assert lines[-3].endswith("1 unreadable.")
    assert lines[-2:] == [f"The page: {out / 'report.html'}", f"Details:  {out / 'fundus.log'}"]
    assert len(lines) <= 12
    log = (out / "fundus.log").read_text(encoding="utf-8")
    assert "ignite.engine" in log
    assert "bundle.adaptation.result" in log
    assert not logging.getLogger().handlers or all(
        "fundus" not in str(getattr(handler, "baseFilename", "")) for handler in logging.getLogger().handlers
    )


def test_the_loss_of_an_epoch_goes_to_the_log_alone(folders, capsys):
    # As in a process that has not trained yet.
    logging.getLogger().manager.loggerDict.pop("monai.handlers.StatsHandler", None)
    assert fundus.main(["adapt", *folders, "--recipe", "tent", "--image_size", "64"]) == 1
    shown = capsys.readouterr()
    assert "Epoch" not in shown.out + shown.err
    log = (Path(folders[1]) / "fundus.log").read_text(encoding="utf-8")
    assert log.count("loss_entropy") == 2


def test_a_wrong_call_leaves_no_log(folders, tmp_path):
    with pytest.raises(CallError, match="recipe"):
        fundus.main(["adapt", *folders, "--recipe", "bnn"])
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("kept", "begins"), [("adapted", "Use the adapted model"), ("source", "Keep the model that you started from")]
)
def test_the_advice_follows_what_was_kept(kept, begins, tmp_path):
    dice = {"predicted_dice": {"optic_disc": 0.9, "optic_cup": 0.8}}
    after = {"predicted_dice": {"optic_disc": 0.92, "optic_cup": 0.79}}
    said = _advice({"kept": kept, "reason": "it fell", "before": dice, "after": after}, tmp_path / "model.pt")
    assert said.startswith(begins)
    assert ("+2.0 points of Dice for the disc and -1.0 for the cup" in said) == (kept == "adapted")
    assert ("it fell" in said) == (kept == "source")


def test_statuses_are_said_in_words():
    assert _summary({"ok": 3, "review": 1, "no_disc": 0, "unreadable": 2}) == (
        "6 photographs: 3 not flagged, 1 to review, 2 unreadable."
    )
    assert _summary({"ok": 1}) == "1 photograph: 1 not flagged."


def test_the_sum_of_a_segmentation_names_the_page(tmp_path, capsys):
    (tmp_path / "report.csv").write_text("image,status\na,ok\nb,review\n")
    Terminal(tmp_path, ["inference"]).sum_up()
    assert "2 photographs: 1 not flagged, 1 to review." in capsys.readouterr().out
