"""The reference names what the code has, and the documents lead to what there is."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from bundle.adaptation.recipes import Recipe
from bundle.evaluation import scores
from bundle.networks.unet import DiscCupUNet
from bundle.networks.weights import save_weights
from bundle.report.tables import COLUMNS, RIM_COLUMNS, SELECTION_COLUMNS
from bundle.settings import SETTINGS
from bundle.stages import BUNDLE_ROOT, STAGES, run_stage
from bundle.synthetic.phantoms.photographs import write_dataset

DOCS = BUNDLE_ROOT / "docs"
PAGES = [path for path in [*BUNDLE_ROOT.glob("*.md"), *DOCS.rglob("*.md"), BUNDLE_ROOT / "models" / "README.md"]]


def described(name: str) -> list[str]:
    """The columns or fields that the reference lists under a heading."""
    page = (DOCS / "reference" / "columns.md").read_text(encoding="utf-8")
    part = page.split(f"## `{name}`\n")[1].split("\n## ")[0]
    return re.findall(r"^\| `(\w+)` \|", part, re.M)


def test_the_reference_of_keys_is_up_to_date():
    from scripts.write_reference import main

    assert main(["--check"]) == 0, "run python scripts/write_reference.py"


@pytest.mark.parametrize(
    ("table", "columns"),
    [
        ("report.csv", COLUMNS),
        ("measurements.csv", RIM_COLUMNS),
        ("selection.csv", SELECTION_COLUMNS),
        ("metrics.csv", scores.COLUMNS),
    ],
)
def test_every_column_is_described_in_its_order(table, columns):
    assert described(table) == list(columns)


def test_every_field_of_the_scores_is_described():
    summary = scores.summarise([])
    assert described("metrics.json") == list(summary)


def test_what_adaptation_and_refinement_write_is_described(tmp_path):
    write_dataset(tmp_path / "target", 2, kind="crop", size=64)
    small = {"network_def#backbone": "efficientnet-lite0-small", "network_def#decoder_channels": [16, 16, 8, 8]}
    # Any weights will do: what is asked here is which fields there are.
    network = DiscCupUNet(backbone="efficientnet-lite0-small", decoder_channels=(16, 16, 8, 8))
    save_weights(network, tmp_path / "model.pt")
    settings: dict[str, Any] = {
        **small,
        "image_size": 32,
        "view": "crop",
        "quiet": True,
        "logging_file": False,
        "passes": 2,
    }
    settings |= {
        "dataset_dir": str(tmp_path / "target"),
        "output_dir": str(tmp_path / "out"),
        "checkpoint": str(tmp_path / "model.pt"),
    }
    assert run_stage("adaptation", recipe="grad_cl", **settings) == 0
    record = json.loads((tmp_path / "out" / "adaptation.json").read_text(encoding="utf-8"))
    assert described("adaptation.json") == list(record)
    header = (tmp_path / "out" / "refinement.csv").read_text(encoding="utf-8").splitlines()[0]
    assert described("refinement.csv") == header.split(",")


def known_flags() -> set[str]:
    """Every key that some command of the project takes."""
    keys = set(SETTINGS) | set(Recipe.__dataclass_fields__)
    for name in (*STAGES.values(), "train_locator", "train_many"):
        keys |= set(json.loads((BUNDLE_ROOT / "configs" / f"{name}.json").read_text(encoding="utf-8")))
    programs = [*(BUNDLE_ROOT / "bundle").rglob("*.py"), *(BUNDLE_ROOT / "scripts").glob("*.py")]
    programs += [*(BUNDLE_ROOT / "tests" / "robustness").glob("*.py"), *(BUNDLE_ROOT / "docs" / "how-to").glob("*.py")]
    for path in programs:
        keys |= set(re.findall(r'"--([a-z_]+)"', path.read_text(encoding="utf-8")))
    return keys


OF_OTHERS = {
    *("config_file", "meta_file", "logging_file", "bundle_root", "args_file", "tracking", "filepath", "net_id"),
    *("ckpt_file", "key_in_ckpt", "use_trace", "input_shape", "converter_kwargs", "standalone", "nproc_per_node"),
    *("name", "url", "bundle_dir", "logdir", "host", "backend", "require", "required", "no", "help", "index"),
    *("tracking_uri", "experiment_name", "run_name", "save_execute_config"),
}
"""Flags of MONAI, torchrun, TensorBoard and others that pages show."""


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.relative_to(BUNDLE_ROOT).as_posix())
def test_every_key_that_a_page_names_exists(page):
    named = set(re.findall(r"(?<![\w-])--([a-z][a-z_]+)", page.read_text(encoding="utf-8")))
    assert named - known_flags() - OF_OTHERS == set()


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.relative_to(BUNDLE_ROOT).as_posix())
def test_every_link_leads_to_a_file_and_every_module_is_there(page):
    text = page.read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        path = target.partition("#")[0]
        if path and not re.match(r"[a-z]+:", path):
            assert (page.parent / path).exists(), target
    if page.name != "CHANGELOG.md":
        for path in re.findall(r"`((?:bundle|tests|scripts|configs)/[\w/]+\.(?:py|json))`", text):
            assert (BUNDLE_ROOT / path).is_file(), path


def prose(page: Path) -> list[str]:
    """The lines of a page that are neither code, table, link list nor HTML."""
    lines, in_code = [], False
    for line in page.read_text(encoding="utf-8").splitlines():
        if line.lstrip().startswith("```"):
            in_code = not in_code
        elif not (in_code or line.lstrip().startswith(("|", "<", "!", "["))):
            # Neither an address nor a command can be broken.
            lines.append(re.sub(r"`[^`]*`", "``", re.sub(r"\]\([^)]*\)", "]", line)))
    return lines


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.relative_to(BUNDLE_ROOT).as_posix())
def test_prose_is_at_most_120_characters_wide(page):
    if page.name == "benchmark.md":
        pytest.skip("written by the benchmark")
    assert [line for line in prose(page) if len(line) > 120] == []
