"""The example application, run by MONAI Deploy's real SDK; see ``make test-deploy``."""

from __future__ import annotations

import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from monai.bundle import ckpt_export
from PIL import Image

from bundle.stages import BUNDLE_ROOT, run_stage
from bundle.synthetic.phantoms.photographs import make_crop, make_photograph
from tests.support.dicom import write_dicom

pytestmark = [
    pytest.mark.skipif(find_spec("monai.deploy") is None, reason="needs an environment of its own: make test-deploy"),
    pytest.mark.timeout(900),
]
APP = BUNDLE_ROOT / "docs" / "how-to" / "deploy_app.py"


@pytest.fixture(scope="module")
def photographs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("photographs")
    whole = make_photograph(17, size=(640, 480)).image
    Image.fromarray(whole).save(folder / "whole.png")
    Image.fromarray(make_crop(81, size=200).image).save(folder / "crop.jpg", quality=95)
    Image.fromarray(whole[60:]).convert("L").save(folder / "grey.tif")
    write_dicom(folder / "archive.dcm", whole[:, 40:])
    (folder / "broken.png").write_bytes((folder / "whole.png").read_bytes()[:3000])
    return folder


@pytest.fixture(scope="module")
def masks(photographs, tmp_path_factory):
    """What the command line draws."""
    output = tmp_path_factory.mktemp("command_line")
    assert run_stage("inference", dataset_dir=photographs, output_dir=output) == 1
    return read(output / "masks")


def read(folder: Path) -> dict[str, np.ndarray]:
    return {path.name: np.asarray(Image.open(path)) for path in sorted(folder.iterdir())}


@pytest.fixture(scope="module")
def torchscript(tmp_path_factory):
    path = tmp_path_factory.mktemp("torchscript") / "model.ts"
    configs = BUNDLE_ROOT / "configs"
    files: dict[str, Any] = {
        "config_file": str(configs / "inference.json"),
        "meta_file": str(configs / "metadata.json"),
    }
    ckpt_export(filepath=str(path), **files, bundle_root=str(BUNDLE_ROOT))
    return path


@pytest.mark.parametrize("kind", ["folder", "torchscript"])
def test_the_application_draws_the_command_line_s_masks(kind, photographs, masks, torchscript, tmp_path):
    call = [sys.executable, str(APP), "--input", str(photographs), "--output", str(tmp_path / "masks")]
    call += ["--bundle", str(BUNDLE_ROOT if kind == "folder" else torchscript)]
    ended = subprocess.run(call, cwd=tmp_path, capture_output=True, text=True, timeout=600, check=False)
    assert ended.returncode == 0, ended.stderr[-3000:]
    drawn = read(tmp_path / "masks")
    assert drawn.keys() == masks.keys() == {"archive.png", "crop.png", "grey.png", "whole.png"}
    for name, mask in masks.items():
        assert mask.max() == 2
        np.testing.assert_array_equal(drawn[name], mask, err_msg=name)
    assert f"left out: {photographs / 'broken.png'}" in ended.stdout


def test_a_folder_without_photographs_ends_with_the_bundle_s_line(tmp_path):
    (tmp_path / "empty").mkdir()
    call = [sys.executable, str(APP), "--input", "empty", "--output", "masks"]
    ended = subprocess.run(call, cwd=tmp_path, capture_output=True, text=True, timeout=300, check=False)
    assert ended.returncode != 0
    assert "there are no photographs in" in ended.stderr
    assert not (tmp_path / "masks").exists()
