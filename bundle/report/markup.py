"""Text and numbers as HTML shows them."""

from __future__ import annotations

import html
import math

__all__ = ["DASH", "html_text", "shown_number"]

DASH = "\u2013"


def html_text(value: str) -> str:
    r"""Escape for HTML text and quoted attributes; control characters, which HTML forbids or folds, as e.g. ``\n``."""
    visible = "".join(
        repr(character)[1:-1] if character < " " or character == "\x7f" else character for character in value
    )
    return html.escape(visible, quote=True)


def shown_number(value: float, decimals: int, unit: str = "") -> str:
    return f"{value:.{decimals}f}{unit}" if math.isfinite(value) else DASH
