"""``configs/metadata.json`` says what the bundle is, needs and scores, as MONAI and its model zoo read it."""

from __future__ import annotations

import json
import tomllib
import warnings

import pytest
from monai.bundle import ConfigParser, verify_metadata
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import bundle
from bundle.stages import BUNDLE_ROOT

PATH = BUNDLE_ROOT / "configs" / "metadata.json"
METADATA = json.loads(PATH.read_text(encoding="utf-8"))
PROJECT = tomllib.loads((BUNDLE_ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
PUBLISHED = BUNDLE_ROOT.parent / "shared" / "schema" / METADATA["schema"].rpartition("/")[2]

TENSOR = {
    "type": "object",
    "properties": {
        "num_channels": {"type": "integer", "minimum": 1},
        "spatial_shape": {"type": "array", "items": {"type": ["integer", "string"]}, "minItems": 2, "maxItems": 2},
        "value_range": {"type": "array", "items": {"type": "number"}},
        "is_patch_data": {"type": "boolean"},
        "channel_def": {"type": "object", "additionalProperties": {"type": "string"}},
    },
    "required": ["type", "format", "num_channels", "spatial_shape", "dtype", "value_range", "channel_def"],
}
WORDS = {"type": "string", "minLength": 3}
VERSIONS = {"type": "object", "additionalProperties": {"type": "string", "pattern": r"^\d+(\.\d+)+$"}}
SCHEMA = {
    "type": "object",
    "properties": {
        **dict.fromkeys(("schema", "task", "description", "authors", "copyright", "intended_use"), WORDS),
        **dict.fromkeys(("data_source", "data_type", "image_classes", "label_classes", "pred_classes", "name"), WORDS),
        **dict.fromkeys(
            ("version", "monai_version", "pytorch_version", "numpy_version"), {"pattern": r"^\d+(\.\d+)+$"}
        ),
        "changelog": {"type": "object", "additionalProperties": WORDS, "minProperties": 1},
        "required_packages_version": VERSIONS,
        "supported_apps": VERSIONS,
        "eval_metrics": {"type": "object", "additionalProperties": {"type": "number"}, "minProperties": 1},
        "references": {"type": "array", "items": WORDS, "minItems": 1},
        "network_data_format": {
            "type": "object",
            "properties": {
                "inputs": {"type": "object", "properties": {"image": TENSOR}, "required": ["image"]},
                "outputs": {"type": "object", "properties": {"pred": TENSOR}, "required": ["pred"]},
                "post_processed_outputs": {"type": "object", "additionalProperties": TENSOR},
            },
            "required": ["inputs", "outputs"],
        },
    },
}
SCHEMA["required"] = list(SCHEMA["properties"])
"""What MONAI's bundle specification and the model zoo ask of the fields that this bundle fills, all required here."""


def verify(tmp_path, schema, content=None):
    """MONAI's own check; it reads the schema from the file that it would otherwise download to."""
    (tmp_path / "schema.json").write_text(schema, encoding="utf-8")
    (tmp_path / "metadata.json").write_text(json.dumps(METADATA if content is None else content), encoding="utf-8")
    verify_metadata(meta_file=str(tmp_path / "metadata.json"), filepath=str(tmp_path / "schema.json"))


def locked():
    lines = (BUNDLE_ROOT / "requirements.lock").read_text(encoding="utf-8").splitlines()
    pairs = [line.split("==") for line in lines if "==" in line]
    return {canonicalize_name(name): version.partition("+")[0].strip() for name, version in pairs}


def test_monai_finds_no_fault(tmp_path):
    verify(tmp_path, json.dumps(SCHEMA))


@pytest.mark.skipif(not PUBLISHED.is_file(), reason="the published schema does not lie beside the project")
def test_it_follows_the_published_schema(tmp_path):
    verify(tmp_path, PUBLISHED.read_text(encoding="utf-8"))
    broken = METADATA | {"network_data_format": {"inputs": {}}}
    with pytest.raises(ValueError, match="Failed validating"):
        verify(tmp_path, PUBLISHED.read_text(encoding="utf-8"), broken)


@pytest.mark.parametrize("field", ["data_source", "eval_metrics", "network_data_format"])
def test_a_missing_field_would_be_found(field, tmp_path):
    content = {key: value for key, value in METADATA.items() if key != field}
    with pytest.raises(ValueError, match="Failed validating"):
        verify(tmp_path, json.dumps(SCHEMA), content)


def test_no_field_has_a_name_that_monai_has_given_up():
    """MONAI replaces such a field, and with it the one whose place it takes."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        parser = ConfigParser({})
        parser.read_meta(str(PATH))
    assert parser["_meta_"] == METADATA


def test_the_version_is_the_package_s_and_in_the_changelog():
    assert METADATA["version"] == bundle.__version__
    assert METADATA["version"] in METADATA["changelog"]


def test_packages_are_those_that_the_project_is_locked_to():
    versions = METADATA["required_packages_version"]
    own = {key: METADATA[f"{field}_version"] for key, field in
           (("monai", "monai"), ("torch", "pytorch"), ("numpy", "numpy"))}  # fmt: skip
    assert {name: locked()[name] for name in versions | own} == versions | own
    # What MONAI's extras bring, by the names of its own metadata.
    extras = {"ignite": "pytorch-ignite", "skimage": "scikit-image"}
    needed = set()
    for requirement in map(Requirement, PROJECT["dependencies"]):
        needed |= {canonicalize_name(requirement.name)} | {extras.get(extra, extra) for extra in requirement.extras}
    assert set(versions) == needed - set(own)


def test_the_app_is_the_one_that_the_project_is_tested_with():
    pinned = {r.name: str(r.specifier) for r in map(Requirement, PROJECT["optional-dependencies"]["label"])}
    assert METADATA["supported_apps"] == {"monai-label": pinned["monailabel"].removeprefix("==")}


def test_scores_are_those_of_the_model_card():
    """Both are written from the benchmark's results by the same step."""
    card = (BUNDLE_ROOT / "docs" / "README.md").read_text(encoding="utf-8")
    table = [line.strip("| ").split(" | ") for line in card.splitlines() if line.startswith("| ")]
    header = next(cells for cells in table if cells[0] == "Dice in percent")
    assert header[1:] == ["disc Dice", "cup Dice", "mean Dice", "vCDR error", "gap closed"]
    for name, start in (
        ("refuge_held_out", "REFUGE held out"),
        ("drishti_gs_source", "Drishti-GS test (another camera), one-camera model"),
        ("drishti_gs_plus", "Drishti-GS test (another camera), adapted by `plus`"),
    ):
        (cells,) = [cells[1:5] for cells in table if cells[0].startswith(start)]
        shown = [float(cell.partition(" ")[0]) for cell in cells]
        keys = ("optic_disc_dice", "optic_cup_dice", "mean_dice", "vcdr_mae")
        stored = [METADATA["eval_metrics"][f"{name}_{key}"] for key in keys]
        # Rounded once to four decimals, and once to what the card shows.
        assert [100 * value for value in stored[:3]] == pytest.approx(shown[:3], abs=0.055)
        assert stored[3] == pytest.approx(shown[3], abs=0.00055)
    assert len(METADATA["eval_metrics"]) == 12
