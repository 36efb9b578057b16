"""The anatomy of a phantom, drawn from random numbers."""

from __future__ import annotations

import numpy as np
from scipy import integrate

from bundle.synthetic.phantoms.shapes import ANATOMY_STREAM, ANGLES, Anatomy, Outline
from bundle.synthetic.phantoms.vessels import draw_vessels

__all__ = ["draw_anatomy"]


# --- anatomy ---------------------------------------------------------------------------------------------------------


def _draw_outline(rng: np.random.Generator, aspect: float, height: float, wobble: float) -> Outline:
    """A tilted ellipse (``aspect`` = width / height) with smooth dents, centred on the origin."""
    tilted = ANGLES - rng.uniform(-0.2, 0.2)
    radii = aspect / np.hypot(np.cos(tilted), aspect * np.sin(tilted))
    for order in (2, 3, 4):
        radii = radii * (1 + rng.normal(0, wobble / order) * np.cos(order * ANGLES + rng.uniform(0, 2 * np.pi)))
    # Dents move the centroid away from the origin of the radii, so the radii are computed again around the centroid.
    x, y = radii * np.cos(ANGLES), radii * np.sin(ANGLES)
    area = integrate.trapezoid(radii**2 / 2, ANGLES)
    x = x - integrate.trapezoid(radii**3 * np.cos(ANGLES) / 3, ANGLES) / area
    y = y - integrate.trapezoid(radii**3 * np.sin(ANGLES) / 3, ANGLES) / area
    resampled = np.interp(ANGLES, np.arctan2(y, x)[:-1], np.hypot(x, y)[:-1], period=2 * np.pi)
    return Outline((0.0, 0.0), resampled * height / np.ptp(resampled * np.sin(ANGLES)))


def _draw_disc_and_cup(rng: np.random.Generator) -> tuple[Outline, Outline]:
    disc = _draw_outline(rng, aspect=rng.uniform(0.84, 0.98), height=1.0, wobble=0.03)
    ratio = float(np.clip(rng.normal(0.5, 0.16), 0.25, 0.85))
    cup = _draw_outline(rng, aspect=min(rng.uniform(0.86, 1.08) * disc.width, 1.0), height=ratio, wobble=0.04)
    offset = np.array([rng.uniform(0.0, 0.35), rng.uniform(-0.15, 0.15)]) * (1 - ratio) * 0.5
    # Neither the offset nor a dent may move the cup onto the disc's edge, or the rim would vanish from the label.
    while True:
        moved = Outline((float(offset[0]), float(offset[1])), cup.radii)
        if disc.level(moved.points()[:, 0], moved.points()[:, 1]).max() < 0.94:
            return disc, moved
        if np.abs(offset).max() < 1e-3:
            cup = Outline(cup.center, cup.radii * 0.97)
        offset = offset * 0.7


def draw_anatomy(seed: int) -> Anatomy:
    """Draw an eye from random numbers.

    Args:
        seed: a whole number of at least 0; the same seed gives the same eye.

    Returns:
        The eye, in disc units.

    Example:
        >>> eye = draw_anatomy(seed=3)
        >>> round(eye.disc.height, 3), 0.2 < eye.cup.height < 0.9
        (1.0, True)
    """
    rng = np.random.default_rng([seed, ANATOMY_STREAM])
    disc, cup = _draw_disc_and_cup(rng)
    fovea = (rng.uniform(2.35, 2.65), rng.uniform(0.1, 0.35))
    pink, pale = rng.uniform(size=2)
    pigments = np.array([(0.37, 0.26, 0.13), (0.45, 0.26, 0.075), (0.47, 0.235, 0.155)])
    artery_width, artery_side = rng.uniform(0.052, 0.068), rng.choice([-0.14, 0.14])
    return Anatomy(
        disc=disc,
        cup=cup,
        fovea=fovea,
        veins=draw_vessels(disc, cup, fovea, rng, width=rng.uniform(0.075, 0.098), spread=0.0),
        arteries=draw_vessels(disc, cup, fovea, rng, width=artery_width, spread=artery_side),
        retina_rgb=rng.dirichlet([0.9, 0.9, 0.5]) @ pigments,
        rim_rgb=np.array([0.87, 0.44, 0.17]) * (1 - pink) + np.array([0.88, 0.41, 0.25]) * pink,
        cup_rgb=np.array([1.06, 0.84, 0.38]) * (1 - pale) + np.array([1.08, 0.96, 0.66]) * pale,
        disc_edge=rng.uniform(0.018, 0.04),
        cup_edge=rng.uniform(0.05, 0.14),
        cup_contrast=rng.uniform(0.65, 1.0),
        atrophy=max(0.0, rng.uniform(-0.2, 0.14)),
        dark_crescent=rng.uniform(0.0, 1.0),
        choroid=rng.uniform(0.2, 1.0),
        striation=rng.uniform(0.3, 1.0),
    )
