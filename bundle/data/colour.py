"""Whether a photograph has colour at all."""

from __future__ import annotations

import numpy as np

__all__ = ["is_colourless"]

_SAMPLES = 128
"""So many pixels a side are looked at, evenly spread, which is enough and takes a fraction of a millisecond."""
_NEARLY = 8
"""Levels of 255 by which compression alters a colour that is none."""
_SHARE = 0.01
"""This share of the pixels may be coloured: marks and letters."""


def is_colourless(values: np.ndarray) -> bool:
    """Whether red, green and blue are the same, or only one of them is there at all, as in red-free photographs.

    Args:
        values: (W, H, 3), 0 to 255, of any type.

    Example:
        >>> is_colourless(np.full((32, 32, 3), 90)), is_colourless(np.full((32, 32, 3), (0, 90, 0)))
        (True, True)
        >>> is_colourless(np.full((32, 32, 3), (160, 80, 20)))
        False
    """
    steps = [max(1, side // _SAMPLES) for side in values.shape[:2]]
    red, green, blue = np.moveaxis(values[:: steps[0], :: steps[1]].astype(np.float32), -1, 0)
    bright = np.maximum(np.maximum(red, green), blue)
    dark = np.minimum(np.minimum(red, green), blue)
    middle = red + green + blue - bright - dark
    return bool(np.mean(bright - dark > _NEARLY) <= _SHARE or np.mean(middle > _NEARLY) <= _SHARE)
