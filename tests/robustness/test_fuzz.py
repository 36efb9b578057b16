"""Damaged files, drawn at random but the same in every run, cost their own row and nothing else."""

from __future__ import annotations

import csv
import random
import resource
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from bundle.data.formats import LABEL_FORMATS
from bundle.data.label_reader import LabelReader
from bundle.data.photograph_reader import PhotographReader
from bundle.errors import UnreadablePhotographError
from bundle.networks.unet import DiscCupUNet
from bundle.stages import run_stage
from tests.robustness.bad_input import SEEDS, nifti, picture
from tests.robustness.fuzzing import mutant, mutated
from tests.support.stages import TINY_CROPS

MOST_SECONDS = 10
MOST_MEMORY_KB = 3_000_000
# Derandomized: the same examples in every run.
several = settings(max_examples=150, deadline=1000 * MOST_SECONDS, derandomize=True, database=None)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("fuzz")


def outcome(
    reader: PhotographReader | LabelReader, names: tuple[str, ...]
) -> tuple[tuple[Any, dict], UnreadablePhotographError | None]:
    """What was read, or why it was not; any other exception passes."""
    try:
        return reader.get_data(names), None
    except UnreadablePhotographError as error:
        return (np.empty(0), {}), error


@several
@given(suffix=st.sampled_from(sorted(SEEDS)), draw=st.randoms(use_true_random=False))
def test_a_reader_gives_a_photograph_or_a_reason(folder: Path, suffix: str, draw: random.Random) -> None:
    path = folder / f"a.{suffix}"
    path.write_bytes(mutated(SEEDS[suffix](), draw))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        (values, meta), refused = outcome(PhotographReader(), (str(path),))
    if refused is not None:
        assert refused.reason
        assert refused.path == str(path)
        return
    assert values.dtype in (torch.uint8, torch.float32)
    assert values.ndim == 3
    assert values.shape[-1] == 3
    assert tuple(meta["spatial_shape"]) == values.shape[:2]
    assert torch.isfinite(values).all()
    assert 0 <= values.min() <= values.max() <= 255


@several
@given(
    suffix=st.sampled_from(["png", "nii"]),
    label_format=st.sampled_from(LABEL_FORMATS),
    draw=st.randoms(use_true_random=False),
)
def test_a_label_reader_gives_a_label_or_a_reason(
    folder: Path, suffix: str, label_format: str, draw: random.Random
) -> None:
    label = np.zeros((24, 32), np.uint8)
    label[5:20, 5:25], label[10:15, 10:15] = 1, 2
    stored = np.array([255, 128, 0], np.uint8)[label] if label_format == "refuge" else label
    path = folder / f"label.{suffix}"
    path.write_bytes(mutated(picture(stored) if suffix == "png" else nifti(stored.T), draw))
    names = (str(path),) * (2 if label_format == "pair" else 1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        (values, _), refused = outcome(LabelReader(label_format), names)
    if refused is not None:
        assert refused.reason
        return
    assert values.dtype == np.uint8
    assert values.ndim == 2
    assert set(np.unique(values)) <= {0, 1, 2}


@pytest.mark.filterwarnings("ignore")
def test_mutated_files_get_a_row_each_from_load_to_report(network: DiscCupUNet, tmp_path: Path) -> None:
    names = set()
    (tmp_path / "in").mkdir()
    for seed in range(210):
        name, content = mutant(seed)
        (tmp_path / "in" / name).write_bytes(content)
        names.add(name)
    torch.save(network.state_dict(), tmp_path / "model.pt")
    small = TINY_CROPS | {"image_size": 32, "checkpoint": str(tmp_path / "model.pt")}
    started = time.monotonic()
    # The process may have used more for another test before.
    used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    status = run_stage("inference", dataset_dir=str(tmp_path / "in"), output_dir=str(tmp_path / "out"), **small)
    assert time.monotonic() - started < 10 * MOST_SECONDS
    with (tmp_path / "out" / "report.csv").open(newline="", encoding="utf-8") as file:
        table = list(csv.DictReader(file))
    assert len(table) == len(names)
    assert {row["image"] for row in table} == names
    found = {row["status"] for row in table}
    assert found <= {"ok", "review", "no_disc", "unreadable"}
    # Mutations that spare every file, or none, would try nothing.
    assert "unreadable" in found
    assert len(found) > 1
    assert status == 1
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss <= max(used, MOST_MEMORY_KB)
