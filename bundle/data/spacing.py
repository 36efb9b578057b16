"""How far apart a photograph's pixels lie on the retina, where its file says so."""

from __future__ import annotations

import math
from typing import NamedTuple

__all__ = ["PixelSpacing"]


class PixelSpacing(NamedTuple):
    """Distances of the centres of neighbouring pixels, in millimetres; NaN if they are not known.

    Attributes:
        row: between two rows, so along the picture's y axis.
        column: between two columns, so along the x axis.

    Example:
        >>> PixelSpacing(0.01, 0.02).known, PixelSpacing().known
        (True, False)
    """

    row: float = math.nan
    column: float = math.nan

    @property
    def known(self) -> bool:
        """Whether the file says it."""
        return self.row > 0 and self.column > 0
