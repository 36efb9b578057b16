"""Where the configs and the models lie."""

from pathlib import Path

__all__ = ["BUNDLE_ROOT"]

_PACKAGE = Path(__file__).resolve().parent
BUNDLE_ROOT = _PACKAGE.parent if (_PACKAGE.parent / "configs" / "metadata.json").is_file() else _PACKAGE
"""Folder of ``configs`` and ``models``: the bundle's own, or, where the wheel is installed, the package's."""
