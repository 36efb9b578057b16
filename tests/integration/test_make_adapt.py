"""``make adapt`` goes on to the photographs with the model that this very adaptation wrote, and with no other."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from bundle.stages import BUNDLE_ROOT

pytestmark = pytest.mark.skipif(shutil.which("make") is None, reason="needs make")

# In the place of ``python -m monai.bundle run``: the stage, what it writes, and the status that it ends with.
STAGE = """
echo "$1" >> "$STAGES"
test "$1" = inference && exit 0
# File systems tell times apart by a few milliseconds.
sleep 0.05
test -n "$WRITES" && touch "$OUT/model.pt" "$OUT/adaptation.json"
exit "$STATUS"
"""


@pytest.mark.parametrize(
    ("status", "writes", "stages", "ends"),
    [
        (0, "yes", ["adaptation", "inference"], 0),
        (1, "yes", ["adaptation", "inference"], 0),
        (2, "yes", ["adaptation"], 2),
        (70, "yes", ["adaptation"], 70),
        (1, "", ["adaptation"], 70),
        (0, "", ["adaptation"], 70),
    ],
)
def test_make_adapt_goes_on_only_with_the_model_it_made(status, writes, stages, ends, tmp_path: Path) -> None:
    out, called, command = tmp_path / "out dir", tmp_path / "stages", tmp_path / "stage.sh"
    out.mkdir()
    # Of an earlier adaptation.
    for name in ("model.pt", "adaptation.json"):
        (out / name).touch()
    command.write_text(STAGE)
    done = subprocess.run(
        ["make", "-o", ".venv/ready", "adapt", "TARGET=in dir", f"OUT={out}", f"BUNDLE=sh {command}"],
        cwd=BUNDLE_ROOT,
        env={"PATH": "/usr/bin:/bin", "STAGES": str(called), "STATUS": str(status), "WRITES": writes, "OUT": str(out)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert called.read_text().split() == stages
    # Make ends with 2 whatever a command ended with, and names that.
    assert done.returncode == (2 if ends else 0), done.stderr
    assert f"Error {ends}" in done.stderr or not ends
    assert ("The report:" in done.stdout) == (not ends)
    assert sorted(path.name for path in out.iterdir()) == ["adaptation.json", "model.pt"]
