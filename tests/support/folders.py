"""Folders of empty files, and what is listed in them."""

from __future__ import annotations

from pathlib import Path

from bundle.data.listing import list_photographs


def touch(root: Path, *relatives: str) -> None:
    """Make empty files at paths below ``root``."""
    for relative in relatives:
        (root / relative).parent.mkdir(parents=True, exist_ok=True)
        (root / relative).touch()


def names_of(root: Path) -> dict[str, str]:
    """The name of each photograph that is listed, by its relative path."""
    return {Path(item["image"]).relative_to(root).as_posix(): item["name"] for item in list_photographs(root)}


def files_in(folder: Path) -> dict[str, bytes]:
    """The content of each file below ``folder``, by its relative path, but for what marks a folder as the bundle's."""
    files = [path for path in folder.rglob("*") if path.is_file() and not path.name.startswith(".fundus.")]
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}
