"""A made-up photograph with a disc and a cup of known size and place."""

from __future__ import annotations

import numpy as np

HEIGHT, WIDTH = 260, 400
CENTRE_X, CENTRE_Y = 290, 90
DISC = (50, 60)
"""Half the disc's width and height."""
CUP = (20, 36)


def drawn_image() -> np.ndarray:
    """``H x W x 3``: reddish, every pixel a little different."""
    y, x = np.indices((HEIGHT, WIDTH))
    return np.stack([150 + x % 40, 60 + y % 30, 30 + (x + y) % 20], axis=2).astype(np.uint8)


def drawn_label() -> np.ndarray:
    """An upright disc right of and above the middle, with its cup."""
    y, x = np.indices((HEIGHT, WIDTH))
    x, y = x - CENTRE_X, y - CENTRE_Y
    disc = (x / DISC[0]) ** 2 + (y / DISC[1]) ** 2 <= 1
    cup = (x / CUP[0]) ** 2 + (y / CUP[1]) ** 2 <= 1
    return disc.astype(np.uint8) + cup.astype(np.uint8)


def close_to(pixels: np.ndarray, colour: tuple[int, int, int], tolerance: int = 70) -> np.ndarray:
    """Which pixels have about a colour."""
    return np.abs(pixels.astype(int) - np.array(colour)).max(axis=-1) <= tolerance
