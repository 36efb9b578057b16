"""Programs of other people that judge and read DICOM: unpacked by ``make test-archive``, or of this machine."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

TOOLS = Path(os.environ.get("FUNDUS_ARCHIVE_TOOLS", "/nowhere"))
"""Where ``scripts/archive_tools.py`` unpacked Orthanc, DCMTK and dicom3tools."""


def tool_environment() -> dict[str, str]:
    """Variables with which the unpacked programs find their libraries and dictionary."""
    libraries = [str(path) for path in (TOOLS / "usr" / "lib").glob("*-linux-gnu")]
    dictionary = next((TOOLS / "usr" / "share").glob("*dcmtk*/dicom.dic"), None)
    own = {"LD_LIBRARY_PATH": ":".join(libraries), "PATH": f"{TOOLS / 'usr' / 'bin'}:{os.environ['PATH']}"}
    return {**os.environ, **own, **({"DCMDICTPATH": str(dictionary)} if dictionary else {})}


def has_tool(name: str) -> bool:
    """Whether there is such a program."""
    return shutil.which(name, path=tool_environment()["PATH"]) is not None


def run_tool(*command: str | Path) -> subprocess.CompletedProcess[str]:
    """Run a program; what it says is in the result, and its status need not be 0."""
    environment = tool_environment()
    program = shutil.which(command[0], path=environment["PATH"]) or command[0]
    return subprocess.run([program, *command[1:]], env=environment, capture_output=True, text=True, timeout=60)


def errors_found(path: Path) -> list[str]:
    """What ``dciodvfy`` says against a file, without its warnings."""
    return [line for line in run_tool("dciodvfy", path).stderr.splitlines() if "Error" in line]
