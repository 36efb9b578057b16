"""Commands are timed with the photographs and settings of the runs, and once."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from bundle.benchmark import speed
from bundle.benchmark.plan import PLUS
from bundle.benchmark.results import PROFILE, RATIO, load_speed
from bundle.benchmark.setup import Setup
from bundle.benchmark.speed import measure_speed
from bundle.synthetic.phantoms.photographs import write_dataset


@pytest.fixture
def setup(tmp_path, output):
    write_dataset(tmp_path / "drishti_gs" / "train", 3, kind="crop", size=64)
    return Setup(tmp_path, output, images=2, provenance={"commit": "abc"})


@pytest.fixture
def commands(monkeypatch):
    """Commands and stages leave their folder and nothing else."""
    made = []

    def run(name, **overrides):
        made.append(name)
        Path(overrides["output_dir"]).mkdir(parents=True, exist_ok=True)
        return {"teacher": 1.0}

    monkeypatch.setattr(speed, "time_stage", lambda name, overrides: (run(name, **overrides), (3.0, 0.5))[1])
    monkeypatch.setattr(speed, "stage", run)
    monkeypatch.setattr(speed, "profile_adaptation", lambda **overrides: run("profile", **overrides))
    monkeypatch.setattr(speed.torch, "set_num_threads", lambda threads: None)
    return made


def test_everything_is_measured_once(setup, commands, monkeypatch):
    measure_speed(["bn", PLUS], setup)
    assert commands == ["adaptation", "inference"] * 2 + ["profile"] + ["inference", "refinement"] * 4
    measured = load_speed(setup.output)
    assert set(measured) == {"bn", PLUS, PROFILE, RATIO}
    assert (measured["bn"]["photographs"], measured["bn"]["seconds"], measured["bn"]["commit"]) == (2, 3.0, "abc")
    assert measured[PROFILE]["seconds"] == {"teacher": 1.0}
    assert not (setup.output / "speed" / "job").exists()
    measure_speed(["bn", PLUS], setup)
    assert len(commands) == 13
    changed = json.loads((setup.output / "speed" / "bn.json").read_text())
    changed["asked"]["image_size"] = 512
    (setup.output / "speed" / "bn.json").write_text(json.dumps(changed))
    measure_speed(["bn", PLUS], setup)
    assert commands[13:] == ["adaptation", "inference"]


def test_a_timed_command_gets_every_override_as_it_is(setup, tmp_path, monkeypatch):
    """What MONAI's command line, which is Fire's, reads back."""
    received = tmp_path / "received.json"
    program = f"import fire, json, pathlib\ndef run(*_, **k): pathlib.Path({str(received)!r}).write_text(json.dumps(k))"
    (tmp_path / "monai_stub.py").write_text(f"{program}\nfire.Fire(run)\n")
    popen = speed.subprocess.Popen
    monkeypatch.setattr(
        speed.subprocess,
        "Popen",
        lambda command, **more: popen([sys.executable, tmp_path / "monai_stub.py", *command[3:]], **more),
    )
    overrides = {"items": Setup(tmp_path, tmp_path).items(), "view": "crop", "image_size": 256, "output_dir": "a b"}
    seconds, gib = speed.time_stage("adaptation", overrides)
    assert seconds > 0
    assert gib > 0
    read = json.loads(received.read_text())
    assert read == overrides | {"config_file": "configs/adapt.json"}


def test_a_command_that_fails_is_no_measurement(tmp_path):
    with pytest.raises(speed.subprocess.CalledProcessError):
        speed.time_stage("adaptation", {"dataset_dir": str(tmp_path / "nowhere"), "output_dir": str(tmp_path / "out")})
