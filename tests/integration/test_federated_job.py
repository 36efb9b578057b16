"""The example of a federation, run by NVFlare's real simulator; see ``make test-federated``."""

from __future__ import annotations

import re
import subprocess
import sys
from importlib.util import find_spec
from typing import Any

import pytest
import torch

from bundle.networks.unet import DiscCupUNet
from bundle.networks.weights import load_weights
from bundle.stages import BUNDLE_ROOT

pytestmark = [
    pytest.mark.skipif(find_spec("nvflare") is None, reason="needs an environment of its own: make test-federated"),
    pytest.mark.timeout(900),
]
JOB = BUNDLE_ROOT / "docs" / "how-to" / "federated_job.py"


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    call: list[Any] = [sys.executable, str(JOB), *arguments]
    return subprocess.run(call, capture_output=True, text=True, timeout=800, check=False)


def test_two_hospitals_train_one_model(tmp_path):
    done = run("--output", str(tmp_path), "--rounds", "2", "--photographs", "6")
    assert done.returncode == 0, done.stderr[-3000:]
    assert re.findall(r"^(start|federated) ", done.stdout, re.M) == ["start", "federated"]
    start, after = (
        load_weights(DiscCupUNet(), tmp_path / f"{name}.pt").state_dict() for name in ("start", "federated")
    )
    assert not torch.equal(start["segmentation_head.1.weight"], after["segmentation_head.1.weight"])
    for site in ("hospital-1", "hospital-2"):
        load_weights(DiscCupUNet(), tmp_path / site / "best.pt")
        assert not (tmp_path / site / "resume.pt").exists()


def test_a_hospital_without_photographs_ends_the_job_with_its_error(tmp_path):
    done = run("--output", str(tmp_path), "--rounds", "2", "--photographs", "6", "--empty", "hospital-2")
    said = done.stdout + done.stderr
    assert "hospital-2: there are no photographs in" in said
    assert "Aborting current RUN" in said
    assert done.returncode != 0
    assert not (tmp_path / "federated.pt").exists()
