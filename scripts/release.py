"""Pack the bundle as the zip that ``monai.bundle download`` unpacks.

    python scripts/release.py [--output dist]

writes ``optic_disc_cup_segmentation_v<version>.zip`` from the last commit, and prints its path and SHA-256. The same
commit gives the same bytes: files are stored as they are, in the order of their names, with the commit's date.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import re
import subprocess
from pathlib import Path
from zipfile import ZipFile

from bundle.command_line import end_in_one_line
from bundle.errors import CallError
from bundle.io.files import atomic_write
from bundle.stages import BUNDLE_ROOT

NAME = "optic_disc_cup_segmentation"
PACKED = (
    "LICENSE",
    "Makefile",
    "README.md",
    "bundle",
    "configs",
    "docs",
    "models",
    "pyproject.toml",
    "requirements-label.lock",
    "requirements.lock",
    "scripts/demo_input.py",
    "scripts/label_server.py",
)
"""What users need; tests, and scripts for those who change the bundle, stay in the repository."""
MAX_BYTES = 25_000_000
"""The model zoo takes no larger file."""


def main() -> None:
    """Pack and say where."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, default=BUNDLE_ROOT / "dist")
    path = pack(BUNDLE_ROOT, parser.parse_args().output)
    print(f"{path}\nsha256 {hashlib.sha256(path.read_bytes()).hexdigest()}")


def pack(root: Path, output: Path) -> Path:
    """Pack the last commit of a checkout.

    Args:
        root: the checkout.
        output: folder that receives the zip.

    Returns:
        the zip.

    Raises:
        CallError: there is no commit to pack, the files differ from it, versions disagree, or a file is too large.
    """
    changed = git(root, "status", "--porcelain", "--", *PACKED).decode()
    if changed:
        raise CallError(f"{changed.splitlines()[0][3:]} is not as committed.", "Commit or restore it.")
    path = output / f"{NAME}_v{version(root)}.zip"
    # Compression depends on zlib's version, time stamps on the time zone and line ends on the user's settings.
    command = ("-c", "core.autocrlf=false", "archive", "--format=zip", "-0", f"--prefix={NAME}/", "HEAD", "--", *PACKED)
    with atomic_write(path) as temporary:
        temporary.write_bytes(git(root, *command))
        with ZipFile(temporary) as archive:
            for file in archive.infolist():
                if file.file_size > MAX_BYTES:
                    raise CallError(
                        f"{file.filename} is larger than {MAX_BYTES} bytes.", "The model zoo takes no such file."
                    )
    return path


def version(root: Path) -> str:
    """The version that ``metadata.json`` says.

    Raises:
        CallError: the changelog or the package does not say the same.
    """
    metadata = json.loads((root / "configs" / "metadata.json").read_text(encoding="utf-8"))
    stated: str = metadata["version"]
    if stated not in metadata["changelog"]:
        raise CallError(f"version {stated} is not in the changelog.", "Say in configs/metadata.json what is new in it.")
    own = re.search(r'^__version__ = "(.+)"$', (root / "bundle" / "__init__.py").read_text(encoding="utf-8"), re.M)
    if own is None or own[1] != stated:
        raise CallError(f"configs/metadata.json says version {stated}.", "Set __version__ in bundle/__init__.py to it.")
    return stated


def git(root: Path, *arguments: str) -> bytes:
    """What a git command in a checkout prints.

    Raises:
        CallError: it failed.
    """
    done = subprocess.run(
        ["git", *arguments], cwd=root, capture_output=True, check=False, env={**os.environ, "TZ": "UTC"}
    )
    if done.returncode:
        problem = done.stderr.decode(errors="replace").strip().splitlines() or ["git failed."]
        raise CallError(problem[-1], "A release is packed from a git checkout with at least one commit.")
    return done.stdout


if __name__ == "__main__":
    end_in_one_line()
    main()
