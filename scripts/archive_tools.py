"""Unpack Debian's Orthanc, DCMTK and dicom3tools into a folder, without installing anything on this machine.

python scripts/archive_tools.py .archive

Needs `apt-get` and `dpkg-deb`, no rights of an administrator: lists and packages go into the folder. Packages whose
files are there already are taken from the machine. `make test-archive` then runs with them.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from bundle.command_line import end_in_one_line
from bundle.errors import CallError

PACKAGES = ("orthanc", "orthanc-dicomweb", "dcmtk", "dicom3tools")
_STATUS = Path("/var/lib/dpkg/status")


def unpack(folder: Path) -> Path:
    """Download the packages and those that they need and this machine lacks, and unpack them.

    Args:
        folder: receives lists, packages and, in ``root``, their files.

    Returns:
        the folder ``root``.

    Raises:
        CallError: this is no Debian, or its packages cannot be had.
    """
    root = folder.absolute() / "root"
    if (root / "complete").exists():
        return root
    if not shutil.which("apt-get") or not _STATUS.is_file():
        raise CallError(
            "there is no apt-get on this machine.", f"Run this on Debian: it unpacks {', '.join(PACKAGES)}."
        )
    for part in ("state/lists/partial", "cache/archives/partial", "packages", "root"):
        (folder / part).mkdir(parents=True, exist_ok=True)
    # Of installed programs nothing is known here, so that they are unpacked all the same; libraries stay the machine's.
    status = folder / "state" / "status"
    status.write_text(_without_programs(_STATUS.read_text(encoding="utf-8")), encoding="utf-8")
    options = {"State": folder / "state", "State::status": status, "Cache": folder / "cache"}
    apt = ["apt-get", *(f"-oDir::{name}={path.absolute()}" for name, path in options.items())]
    _run([*apt, "update"], folder)
    listed = _run([*apt, "install", "--print-uris", "--no-install-recommends", "--yes", *PACKAGES], folder)
    names = [line.split()[1].split("_")[0] for line in listed.splitlines() if line.startswith("'")]
    _run([*apt, "download", *names], folder / "packages")
    for package in sorted((folder / "packages").glob("*.deb")):
        _run(["dpkg-deb", "--extract", str(package.absolute()), str(root)], folder)
    (root / "complete").touch()
    return root


def _without_programs(status: str) -> str:
    """dpkg's list of what is installed, without our packages and DCMTK's and Orthanc's parts."""
    entries = status.split("\n\n")
    return "\n\n".join(
        entry for entry in entries if not entry.startswith(tuple(f"Package: {name}\n" for name in PACKAGES))
    )


def _run(command: Sequence[str], folder: Path) -> str:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    if done.returncode:
        said = (done.stderr.strip() or done.stdout.strip() or "?").splitlines()[-1]
        raise CallError(f"{' '.join(command[:1])} failed ({said}).", "Look at the machine's package sources.")
    return done.stdout


def main(arguments: Sequence[str] | None = None) -> None:
    """Unpack into the folder that the call names, and print where the files are."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    call = parser.parse_args(arguments)
    end_in_one_line()
    print(unpack(call.folder))


if __name__ == "__main__":
    main()
