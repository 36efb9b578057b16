"""What comes with photographs or a checkpoint runs no code and writes nowhere but into the output folder."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from bundle.errors import CallError
from bundle.io.files import atomic_write, safe_output_path
from bundle.io.records import Records
from bundle.networks.unet import DiscCupUNet
from bundle.refinement.pseudo_labels import PseudoLabelStore
from bundle.report.pictures import Pictures
from bundle.report.report import write_report
from bundle.results import Segmentation
from bundle.stages import BUNDLE_ROOT, run_stage
from tests.robustness.bad_input import dicom, picture
from tests.support.stages import TINY_CROPS

FORBIDDEN_CALLS = {"eval", "exec", "compile", "__import__", "os.system", "os.popen", "yaml.load", "marshal.loads"}
FORBIDDEN_MODULES = {"pickle", "cPickle", "dill", "cloudpickle", "joblib", "shelve", "marshal"}
SOURCES = sorted(
    path
    for folder in ("bundle", "scripts", "tests/robustness")
    for path in (BUNDLE_ROOT / folder).rglob("*.py")
    if not path.name.startswith("test_")
)


def faults(source: str) -> Iterator[str]:
    """Calls and imports that run what data says."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names if name.name.split(".")[0] in FORBIDDEN_MODULES)
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] in FORBIDDEN_MODULES:
            yield str(node.module)
        if isinstance(node, ast.Call):
            called = ast.unparse(node.func)
            keywords = {keyword.arg: ast.unparse(keyword.value) for keyword in node.keywords}
            if called in FORBIDDEN_CALLS:
                yield called
            if called.endswith("torch.load") and keywords.get("weights_only") != "True":
                yield called
            if keywords.get("shell", "False") != "False":
                yield f"{called} with a shell"
            if keywords.get("allow_pickle", "False") != "False":
                yield f"{called} with pickles"


@pytest.mark.parametrize(
    "source",
    [
        "torch.load(path)",
        "torch.load(path, weights_only=False)",
        "import pickle",
        "from pickle import loads",
        "eval(text)",
        "exec(text)",
        "yaml.load(text)",
        "os.system(text)",
        "subprocess.run(text, shell=True)",
        "np.load(path, allow_pickle=True)",
    ],
)
def test_the_search_finds_what_is_forbidden(source: str) -> None:
    assert len(list(faults(source))) == 1


def test_the_search_passes_what_is_allowed() -> None:
    allowed = "torch.load(path, weights_only=True)\nnetwork.eval()\nsubprocess.run([a])\nnp.load(path)\nre.compile(a)"
    assert list(faults(allowed)) == []


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.relative_to(BUNDLE_ROOT).as_posix())
def test_no_code_runs_what_data_says(path: Path) -> None:
    assert list(faults(path.read_text(encoding="utf-8"))) == []


@pytest.fixture
def settings(network: DiscCupUNet, tmp_path: Path) -> dict:
    torch.save(network.state_dict(), tmp_path / "model.pt")
    return TINY_CROPS | {"checkpoint": str(tmp_path / "model.pt"), "output_dir": str(tmp_path / "out")}


def test_nothing_in_the_photographs_folder_is_taken_for_code_or_config(settings, tmp_path, monkeypatch) -> None:
    folder, planted = tmp_path / "in", tmp_path / "planted"
    code = f"import pathlib; pathlib.Path({str(planted)!r}).touch()"
    config = {"imports": [f"$exec({code!r})"], "initialize": [f"$exec({code!r})"], "run": [f"$exec({code!r})"]}
    for name in ("configs/inference.json", "inference.json", "metadata.json", "configs/metadata.json", "a.json"):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(config))
    for name in ("conftest.py", "sitecustomize.py", "bundle/__init__.py", "scripts/__init__.py", "configs/a.py"):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(code)
    (folder / "configs" / "logging.conf").write_text(f"[handlers]\nkeys=a\n[handler_a]\nargs=(exec({code!r}),)\n")
    (folder / "a.png").write_bytes(picture())
    (folder / "$exec.png").write_bytes(picture())
    assert run_stage("inference", dataset_dir=str(folder), **settings) == 0
    assert not planted.exists()
    monkeypatch.chdir(folder)
    assert run_stage("inference", dataset_dir=".", **settings) == 0
    assert not planted.exists()


def everything(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_links_and_fields_of_photographs_lead_nothing_out_of_the_output(settings, tmp_path) -> None:
    elsewhere, folder = tmp_path / "elsewhere", tmp_path / "in"
    (elsewhere / "sub").mkdir(parents=True)
    folder.mkdir()
    (elsewhere / "sub" / "real.png").write_bytes(picture())
    (folder / "linked").symlink_to(elsewhere)
    (folder / "file.png").symlink_to(elsewhere / "sub" / "real.png")
    (folder / "up..").mkdir()
    (folder / "up.." / "a.dcm").write_bytes(
        dicom(PatientName="../../planted", SOPInstanceUID="../../planted", SeriesDescription="../../planted")
    )
    before = everything(tmp_path)
    assert run_stage("inference", dataset_dir=str(folder), **settings) == 0
    after = everything(tmp_path)
    assert {path: after[path] for path in before} == before
    assert all(path.is_relative_to(tmp_path / "out") for path in after.keys() - before.keys())


@pytest.mark.parametrize("part", ["masks", "overlays", ".inference"])
def test_an_output_folder_that_leads_elsewhere_is_refused(part, settings, tmp_path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.png").write_bytes(picture())
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / part).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(CallError, match=f"{part} (is a link|was there before)"):
        run_stage("inference", dataset_dir=str(tmp_path / "in"), **settings)
    assert list((tmp_path / "elsewhere").iterdir()) == []


@pytest.mark.parametrize("part", ["pseudo_labels", ".refinement"])
def test_pseudo_labels_do_not_leave_the_output_folder(part: str, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / part).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(CallError, match=f"{part} is a link"):
        PseudoLabelStore(tmp_path / "out", "fingerprint").pending([{"name": "a", "image": "a.png"}])
    assert list((tmp_path / "elsewhere").iterdir()) == []


def test_leftovers_behind_a_link_are_not_touched(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "out").mkdir()
    (tmp_path / "elsewhere" / ".0123456789abcdef.png").write_text("mine")
    (tmp_path / "out" / ".0123456789abcdef.png").write_text("left by a killed run")
    (tmp_path / "out" / "linked").symlink_to(tmp_path / "elsewhere")
    Records(tmp_path / "out", ".inference", "").clear()
    assert (tmp_path / "elsewhere" / ".0123456789abcdef.png").read_text() == "mine"
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["linked"]


def test_safe_output_path_looks_behind_links(tmp_path: Path) -> None:
    (tmp_path / "real" / "inner").mkdir(parents=True)
    (tmp_path / "out").symlink_to(tmp_path / "real")
    (tmp_path / "real" / "within").symlink_to(tmp_path / "real" / "inner")
    (tmp_path / "real" / "away").symlink_to(tmp_path)
    assert safe_output_path(tmp_path / "out", "within", "a.png") == tmp_path / "out" / "within" / "a.png"
    with pytest.raises(CallError, match="leads out"):
        safe_output_path(tmp_path / "out", "away", "a.png")


def test_a_file_that_is_a_link_is_replaced_and_not_followed(tmp_path: Path) -> None:
    (tmp_path / "precious.txt").write_text("precious")
    (tmp_path / "report.csv").symlink_to(tmp_path / "precious.txt")
    with atomic_write(tmp_path / "report.csv") as path:
        path.write_text("new")
    assert (tmp_path / "precious.txt").read_text() == "precious"
    assert (tmp_path / "report.csv").read_text() == "new"


@pytest.mark.parametrize("text", ["<script>alert(1)</script>", '"><img src=x onerror=alert(1)>', "' onload='alert(1)"])
def test_the_page_escapes_names_and_reasons(text: str, tmp_path: Path) -> None:
    write_report(tmp_path, [(Segmentation(f"{text}.png", "unreadable", text), Pictures())], model=text, title=text)
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert text not in page
    assert text.replace("<", "&lt;").replace(">", "&gt;").replace('"', "&quot;").replace("'", "&#x27;") in page


@pytest.mark.parametrize("name", ["requirements.lock", "requirements-label.lock"])
def test_every_dependency_is_locked_to_one_version(name: str) -> None:
    lines = (BUNDLE_ROOT / name).read_text(encoding="utf-8").splitlines()
    loose = [line for line in lines if line and not re.fullmatch(r"(#.*|[\w.\-\[\]]+==[\w.+!]+)", line)]
    assert loose == []
