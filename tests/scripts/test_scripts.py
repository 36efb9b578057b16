"""Scripts are short command lines over the package: none needs the tests, another script, or a changed path."""

from __future__ import annotations

import ast
import runpy
from pathlib import Path

import pytest

from bundle.stages import BUNDLE_ROOT

SCRIPTS = sorted((BUNDLE_ROOT / "scripts").glob("*.py"))


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.stem)
def test_a_script_is_a_short_command_line(path: Path) -> None:
    source = path.read_text(encoding="utf-8")
    assert len(source.splitlines()) <= 100
    assert "sys.path" not in source
    tree = ast.parse(source)
    assert f"python scripts/{path.name}" in (ast.get_docstring(tree) or "")
    imported = [node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    imported += [name.name for node in ast.walk(tree) if isinstance(node, ast.Import) for name in node.names]
    assert not {name.split(".")[0] for name in imported} & {"tests", "scripts", *(each.stem for each in SCRIPTS)}


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.stem)
def test_a_script_explains_itself(
    path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    main = runpy.run_path(str(path))["main"]
    monkeypatch.setattr("sys.argv", [path.name, "--help"])
    with pytest.raises(SystemExit) as end:
        main()
    assert end.value.code == 0
    assert f"python scripts/{path.name}" in capsys.readouterr().out
