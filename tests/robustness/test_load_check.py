"""The check that counts thousands of photographs: inference passes it, and it finds what it is made to find."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.robustness import load_check


def test_every_file_is_accounted_for_and_what_is_amiss_is_named(tmp_path, capsys):
    folder, out = tmp_path / "in", tmp_path / "out"
    broken = load_check.write_photographs(folder, 8, 0.25)
    assert len(broken) == 2
    status, samples = load_check.segment(folder, out)
    assert load_check.check(folder, out, status, broken) == []
    load_check.print_blocks(out, samples, 4)
    assert "highest memory of all" in capsys.readouterr().out
    assert max(sample.memory_mib for sample in samples) > 50

    assert load_check.check(folder, out, 0, broken) == ["the exit status is 0"]
    assert load_check.check(folder, out, 1, set()) != []
    sound = next(path for path in sorted(folder.iterdir()) if path.name not in broken)
    (out / "masks" / f"{sound.stem}.png").unlink()
    assert load_check.check(folder, out, 1, broken) == ["1 masks too many or too few"]
    report = out / "report.csv"
    report.write_text("".join(line for line in report.open(encoding="utf-8") if not line.startswith(sound.name)))
    assert "1 rows too many or too few" in load_check.check(folder, out, 1, broken)


def test_a_process_that_has_ended_but_was_not_waited_for_has_no_memory():
    process = subprocess.Popen([sys.executable, "-c", ""])
    end = time.monotonic() + 30
    while Path(f"/proc/{process.pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z" and time.monotonic() < end:
        time.sleep(0.01)
    with pytest.raises(ProcessLookupError):
        load_check.sample(process.pid)
    process.wait()
