"""A wrong call ends with status 2 and one line, and nothing else."""

from __future__ import annotations

import subprocess
import sys

import pytest

from bundle import errors
from bundle.errors import CallError, UnreadablePhotographError


@pytest.mark.parametrize("wrapped", [False, True])
def test_a_wrong_call_ends_with_one_line_and_status_2(wrapped):
    # Run from its file alone, so that the process need not import everything else.
    body = "raise E('there is no\\n  folder x.', 'Make one.')"
    if wrapped:
        body = f"try:\n    {body}\nexcept Exception as error:\n    raise RuntimeError from error"
    code = f"import runpy\nE = runpy.run_path({errors.__file__!r})['CallError']\n{body}"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr == "error: there is no folder x. Make one.\n"
    assert done.stdout == ""


def test_the_line_names_problem_and_remedy(capsys):
    error = CallError("bad\tvalue.", "Pass\nanother.")
    assert str(error) == error.message == "error: bad value. Pass another."
    assert isinstance(error, SystemExit)
    assert not isinstance(error, Exception)
    assert capsys.readouterr().err == ""
    assert error.code == 2
    assert capsys.readouterr().err == "error: bad value. Pass another.\n"


def test_an_unreadable_photograph_is_named_with_its_reason():
    error = UnreadablePhotographError("b/a.png", "it is\n  empty")
    assert isinstance(error, ValueError)
    assert (error.path, error.reason) == ("b/a.png", "it is empty")
    assert str(error) == "b/a.png: it is empty"
