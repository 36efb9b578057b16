"""The release: a zip that ``monai.bundle download`` unpacks.

The same commit gives the same bytes: files are stored uncompressed, ordered by name, with the commit's date.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
from pathlib import Path
from zipfile import ZipFile

from bundle.errors import CallError
from bundle.io.files import atomic_write

__all__ = ["MAX_BYTES", "NAME", "PACKED", "pack", "version"]

NAME = "optic_disc_cup_segmentation"
PACKED = (
    "CHANGELOG.md",
    "CITATION.cff",
    "CONTRIBUTING.md",
    "LICENSE",
    "Makefile",
    "README.md",
    "bundle",
    "configs",
    "docs",
    "models",
    "pyproject.toml",
    "requirements-deploy.lock",
    "requirements-federated.lock",
    "requirements-label.lock",
    "requirements.lock",
    "scripts/demo_input.py",
)
"""Files that users need; tests, and scripts for developers, are only in the repository."""
MAX_BYTES = 25_000_000
"""The model zoo accepts no larger file."""
VERSION_FILE = Path("bundle", "_version.py")


def pack(root: Path, output: Path) -> Path:
    """Pack the last commit of a checkout as a zip.

    Args:
        root: the checkout.
        output: folder that receives the zip.

    Returns:
        The zip's path.

    Raises:
        CallError: there is no commit to pack, the files differ from it, versions disagree, or a file is too large.
    """
    changed = _git(root, "status", "--porcelain", "--", *PACKED).decode()
    if changed:
        raise CallError(f"{changed.splitlines()[0][3:]} is not as committed.", "Commit or restore it.")
    path = output / f"{NAME}_v{version(root)}.zip"
    # The bytes must not depend on the version of zlib, the time zone (see _git) or git's setting of line ends.
    command = ("-c", "core.autocrlf=false", "archive", "--format=zip", "-0", f"--prefix={NAME}/", "HEAD", "--", *PACKED)
    with atomic_write(path) as temporary:
        temporary.write_bytes(_git(root, *command))
        with ZipFile(temporary) as archive:
            for file in archive.infolist():
                if file.file_size > MAX_BYTES:
                    raise CallError(
                        f"{file.filename} is larger than {MAX_BYTES} bytes.", "The model zoo takes no such file."
                    )
    return path


def version(root: Path) -> str:
    """Read the version from ``metadata.json`` and check that it is the same everywhere.

    Args:
        root: the checkout.

    Returns:
        The version, such as ``1.2.0``.

    Raises:
        CallError: the changelog does not mention it, or the package has a different version.

    Example:
        >>> from bundle._version import __version__
        >>> version(Path(__file__).parents[2]) == __version__
        True
    """
    metadata = json.loads((root / "configs" / "metadata.json").read_text(encoding="utf-8"))
    stated: str = metadata["version"]
    if stated not in metadata["changelog"]:
        raise CallError(f"version {stated} is not in the changelog.", "Say in configs/metadata.json what is new in it.")
    own = re.search(r'^__version__ = "(.+)"$', (root / VERSION_FILE).read_text(encoding="utf-8"), re.M)
    if own is None or own[1] != stated:
        raise CallError(f"configs/metadata.json says version {stated}.", f"Set __version__ in {VERSION_FILE} to it.")
    return stated


def _git(root: Path, *arguments: str) -> bytes:
    """Run a git command in a checkout and return its output.

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
