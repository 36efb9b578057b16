"""The release is whole, the same from the same commit, and runs by itself, far from the checkout."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import numpy as np
import pytest
from monai.bundle import ConfigWorkflow, download, verify_net_in_out
from PIL import Image

from bundle.errors import CallError
from bundle.maintenance import release
from bundle.stages import BUNDLE_ROOT, run_stage
from bundle.synthetic.phantoms.photographs import make_photograph, write_dataset

pytestmark = pytest.mark.skipif(shutil.which("git") is None, reason="a release is packed by git")
MASK = Path("masks", "eye.png")


def git(folder, *arguments):
    who = ("-c", "user.name=tests", "-c", "user.email=tests@localhost", "-c", "commit.gpgsign=false")
    subprocess.run(["git", *who, *arguments], cwd=folder, check=True, capture_output=True)


@pytest.fixture(scope="module")
def checkout(tmp_path_factory):
    """A commit of the working tree, whatever its own history is."""
    folder = tmp_path_factory.mktemp("checkout")
    for name in release.PACKED:
        (folder / name).parent.mkdir(exist_ok=True)
        if (BUNDLE_ROOT / name).is_dir():
            shutil.copytree(BUNDLE_ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(BUNDLE_ROOT / name, folder / name)
    (folder / "tests").mkdir()
    (folder / "tests" / "test_it.py").write_text("")
    git(folder, "init", "--quiet")
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "--message", "all")
    return folder


@pytest.fixture(scope="module")
def packed(checkout, tmp_path_factory):
    return release.pack(checkout, tmp_path_factory.mktemp("dist"))


@pytest.fixture(scope="module")
def unpacked(packed, tmp_path_factory):
    """As ``monai.bundle download`` unpacks it."""
    folder = tmp_path_factory.mktemp("zoo")
    download(release.NAME, url=packed.as_uri(), bundle_dir=str(folder), progress=False)
    return folder / release.NAME


@pytest.fixture
def small_checkout(tmp_path):
    """What decides about the version, and nothing else."""
    (tmp_path / "configs").mkdir()
    (tmp_path / "bundle").mkdir()
    metadata = {"version": "1.2.0", "changelog": {"1.2.0": "new", "1.1.0": "old"}}
    (tmp_path / "configs" / "metadata.json").write_text(json.dumps(metadata))
    (tmp_path / "bundle" / "_version.py").write_text('__version__ = "1.2.0"\n')
    for name in set(release.PACKED) - {"configs", "bundle"}:
        path = tmp_path / name
        (path if not path.suffix and name.islower() else path.parent).mkdir(exist_ok=True)
        (path / "file" if path.is_dir() else path).write_text(name)
    git(tmp_path, "init", "--quiet")
    git(tmp_path, "add", "--all")
    git(tmp_path, "commit", "--quiet", "--message", "all")
    return tmp_path


def test_the_zip_is_named_and_laid_out_as_monai_expects(packed):
    metadata = json.loads((BUNDLE_ROOT / "configs" / "metadata.json").read_text(encoding="utf-8"))
    assert packed.name == f"optic_disc_cup_segmentation_v{metadata['version']}.zip"
    with ZipFile(packed) as archive:
        assert archive.testzip() is None
        files = [name for name in archive.namelist() if not name.endswith("/")]
        # A user's unpacking must not depend on links or rights.
        assert not any(info.external_attr >> 28 == 0xA for info in archive.infolist())
    roots, tops = zip(*(name.split("/")[:2] for name in files), strict=True)
    assert set(roots) == {release.NAME}
    assert set(tops) == {name.split("/")[0] for name in release.PACKED}
    inner = {name.removeprefix(f"{release.NAME}/") for name in files}
    required = {"LICENSE", "configs/metadata.json", "configs/inference.json", "configs/train.json", "models/model.pt"}
    required |= {"models/locator.pt", "docs/README.md", "docs/data_license.txt", "bundle/report/page.html"}
    required |= {path.relative_to(BUNDLE_ROOT).as_posix() for path in (BUNDLE_ROOT / "bundle").rglob("*.py")}
    assert required <= inner
    assert {name for name in inner if name.startswith("scripts/")} == {"scripts/demo_input.py"}
    assert not [name for name in inner if "__pycache__" in name or name.startswith("tests/")]


def test_the_same_commit_gives_the_same_bytes(checkout, packed, tmp_path, monkeypatch):
    """In another folder, with files of other dates, in another time zone and on another day."""
    git(tmp_path, "clone", "--quiet", str(checkout), "again")
    for path in (tmp_path / "again").rglob("*.json"):
        os.utime(path, (0, 0))
    monkeypatch.setenv("TZ", "Pacific/Chatham")
    assert release.pack(tmp_path / "again", tmp_path).read_bytes() == packed.read_bytes()


def test_the_unpacked_bundle_passes_the_model_zoo_s_checks(unpacked, tmp_path):
    metadata = json.loads((unpacked / "configs" / "metadata.json").read_text(encoding="utf-8"))
    assert metadata["version"] in metadata["changelog"]
    assert max(path.stat().st_size for path in unpacked.rglob("*")) <= 25_000_000
    files: dict[str, Any] = {"config_file": str(unpacked / "configs" / "inference.json")}
    files |= {"meta_file": str(unpacked / "configs" / "metadata.json")}
    verify_net_in_out("network_def", **files, bundle_root=str(unpacked))
    write_dataset(tmp_path / "data", 4, kind="crop", size=64, seed=5)
    for name in ("train", "inference"):
        workflow = ConfigWorkflow(
            str(unpacked / "configs" / f"{name}.json"),
            logging_file=False,
            workflow_type=name,
            bundle_root=str(unpacked),
            dataset_dir=str(tmp_path / "data"),
            output_dir=str(tmp_path / "out"),
        )
        workflow.initialize()
        assert workflow.check_properties() == []


def test_every_link_of_the_documents_leads_somewhere(unpacked):
    pages = list(unpacked.rglob("*.md"))
    assert len(pages) > 5
    links = [
        (page, link.partition("#")[0])
        for page in pages
        for link in re.findall(r"\]\(([^)\s]+)\)", page.read_text(encoding="utf-8"))
        if "://" not in link and not link.startswith("#")
    ]
    assert len(links) > 20
    assert [(page.name, link) for page, link in links if not (page.parent / link).exists()] == []


@pytest.fixture(scope="module")
def photographs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("photographs")
    Image.fromarray(make_photograph(17, size=(400, 300)).image).save(folder / "eye.png")
    return folder


@pytest.fixture(scope="module")
def mask(photographs, tmp_path_factory):
    """What the checkout draws."""
    output = tmp_path_factory.mktemp("checkout_output")
    assert run_stage("inference", dataset_dir=str(photographs), output_dir=str(output)) == 0
    drawn = np.asarray(Image.open(output / MASK))
    assert drawn.max() == 2
    return drawn


@pytest.mark.parametrize("where", ["in its folder", "elsewhere"])
def test_the_unpacked_bundle_segments_by_itself(where, unpacked, photographs, mask, tmp_path):
    copy = tmp_path / "zoo" / release.NAME
    shutil.copytree(unpacked, copy)
    with (copy / "bundle" / "__init__.py").open("a", encoding="utf-8") as file:
        file.write('\nprint("code of", __file__)\n')
    root = Path() if where == "in its folder" else copy
    command = [sys.executable, "-m", "monai.bundle", "run", "inference"]
    command += ["--config_file", str(root / "configs" / "inference.json"), "--dataset_dir", str(photographs)]
    command += ["--output_dir", str(tmp_path / "out")] + (["--bundle_root", str(copy)] if root == copy else [])
    done = subprocess.run(
        command,
        cwd=copy if where == "in its folder" else tmp_path,
        env={key: value for key, value in os.environ.items() if key != "PYTHONPATH"} | {"OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert f"code of {copy / 'bundle' / '__init__.py'}" in done.stdout
    np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / "out" / MASK)), mask)


def test_a_small_checkout_is_packed(small_checkout):
    assert release.pack(small_checkout, small_checkout / "dist").name == f"{release.NAME}_v1.2.0.zip"


@pytest.mark.parametrize("change", ["edited", "added", "deleted"])
def test_what_was_not_committed_is_not_released(change, small_checkout):
    path = small_checkout / "bundle" / ("new.py" if change == "added" else "_version.py")
    path.unlink() if change == "deleted" else path.write_text('__version__ = "1.2.0"  # edited\n')
    with pytest.raises(CallError, match=f"bundle/{path.name} is not as committed"):
        release.pack(small_checkout, small_checkout / "dist")
    assert not list((small_checkout).glob("dist/*"))


def test_what_stays_in_the_repository_may_be_changed(small_checkout):
    (small_checkout / "tests").mkdir()
    (small_checkout / "tests" / "test_it.py").write_text("")
    assert release.pack(small_checkout, small_checkout / "dist").is_file()


@pytest.mark.parametrize(
    ("file", "old", "new", "words"),
    [
        ("bundle/_version.py", "1.2.0", "1.1.0", "__version__"),
        ("configs/metadata.json", '"1.2.0": "new"', '"1.1.1": "new"', "changelog"),
    ],
)
def test_versions_that_disagree_are_refused(file, old, new, words, small_checkout):
    path = small_checkout / file
    path.write_text(path.read_text().replace(old, new))
    git(small_checkout, "commit", "--quiet", "--all", "--message", "wrong")
    with pytest.raises(CallError, match=words):
        release.pack(small_checkout, small_checkout / "dist")


def test_a_file_that_the_model_zoo_does_not_take_is_refused(small_checkout, monkeypatch):
    (small_checkout / "models" / "file").write_bytes(bytes(1001))
    git(small_checkout, "commit", "--quiet", "--all", "--message", "large")
    monkeypatch.setattr(release, "MAX_BYTES", 1000)
    with pytest.raises(CallError, match="models/file is larger than 1000 bytes"):
        release.pack(small_checkout, small_checkout / "dist")
    assert not list((small_checkout).glob("dist/*"))


def test_without_a_checkout_there_is_one_line(small_checkout):
    shutil.rmtree(small_checkout / ".git")
    with pytest.raises(CallError, match="git checkout") as caught:
        release.pack(small_checkout, small_checkout / "dist")
    assert "\n" not in caught.value.message
