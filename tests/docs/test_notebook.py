"""The example notebook runs from top to bottom, and is committed without outputs."""

from __future__ import annotations

import json

import pytest

from bundle.stages import BUNDLE_ROOT

NOTEBOOK = json.loads((BUNDLE_ROOT / "docs" / "how-to" / "segment_and_adapt.ipynb").read_text(encoding="utf-8"))
CODE = [cell for cell in NOTEBOOK["cells"] if cell["cell_type"] == "code"]


def test_no_outputs_are_committed():
    assert all(cell["outputs"] == [] and cell["execution_count"] is None for cell in CODE)


# The notebook uses nothing of Jupyter, so that its cells are a program: a kernel would only add dependencies.
@pytest.mark.usefixtures("_determinism")
def test_the_cells_run_in_their_order(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    names: dict = {}
    for cell in CODE:
        exec(compile("".join(cell["source"]), "segment_and_adapt.ipynb", "exec"), names)  # noqa: S102
    assert names["found"].status in ("ok", "review")
    assert names["adapted"].record["recipe"] == "bn"
    assert len(names["after"]) == 6
    assert names["sheet"].size == (640, 320)
    assert "vCDR" in capsys.readouterr().out


@pytest.mark.parametrize("cell", CODE, ids=lambda cell: cell["id"])
def test_lines_fit_a_page(cell):
    assert all(len(line.rstrip("\n")) <= 120 for line in cell["source"])
