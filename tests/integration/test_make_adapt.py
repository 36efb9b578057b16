"""``make adapt`` hands its folders on as they are, and ends as the command does."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from bundle.stages import BUNDLE_ROOT

pytestmark = pytest.mark.skipif(shutil.which("make") is None, reason="needs make")

# In the place of ``fundus``: it tells its arguments and ends with the status that it is to end with.
COMMAND = """
printf '%s\\n' "$@" > "$ARGUMENTS"
exit "$STATUS"
"""


@pytest.mark.parametrize(("status", "ends"), [(0, 0), (1, 0), (2, 2), (70, 70), (130, 130)])
@pytest.mark.parametrize("target", ["in dir", "scan #2", "a'b", '2024 "x"'])
def test_make_adapt_ends_as_the_command_does(status, ends, target, tmp_path: Path) -> None:
    out, arguments, command = tmp_path / "out dir", tmp_path / "arguments", tmp_path / "command.sh"
    command.write_text(COMMAND)
    done = subprocess.run(
        ["make", "-o", ".venv/ready", "adapt", f"TARGET={target}", f"OUT={out}", f"FUNDUS=sh {command}"],
        cwd=BUNDLE_ROOT,
        env={"PATH": "/usr/bin:/bin", "ARGUMENTS": str(arguments), "STATUS": str(status)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert arguments.read_text().splitlines() == ["adapt", target, str(out)]
    # Make ends with 2 whatever a command ended with, and names that.
    assert done.returncode == (2 if ends else 0), done.stderr
    assert f"Error {ends}" in done.stderr or not ends
    assert (f"The report: {out}/report.html" in done.stdout) == (not ends)
