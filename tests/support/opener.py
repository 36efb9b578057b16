"""A pickle that does something when it is loaded without care."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any


class Opener:
    """Makes a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Path]]:
        return (Path.touch, (self.path,))
