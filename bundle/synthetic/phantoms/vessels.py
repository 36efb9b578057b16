"""The vessels of a phantom."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from bundle.synthetic.phantoms.shapes import PATH_STEP, Floats, Outline, Vessel, smoothstep

__all__ = ["draw_vessels"]


def _smooth_walk(rng: np.random.Generator, count: int, sigma: float) -> Floats:
    return ndimage.gaussian_filter1d(rng.normal(size=count), sigma, mode="nearest") * np.sqrt(2 * sigma * 1.77)


def _path_through(controls: Floats, rng: np.random.Generator, wiggle: float) -> Floats:
    """A smooth, slightly winding line along ``controls``, sampled every ``PATH_STEP``."""
    lengths = np.concatenate([[0.0], np.cumsum(np.hypot(*np.diff(controls, axis=0).T))])
    along = np.arange(0.0, lengths[-1], PATH_STEP)
    path = np.stack([np.interp(along, lengths, controls[:, axis]) for axis in (0, 1)], axis=1)
    # The line is sharp on the disc, where vessels bend at the rim, and smooth outside the disc.
    near = ndimage.gaussian_filter1d(path, 1.1, axis=0, mode="nearest")
    far = ndimage.gaussian_filter1d(path, 5.0, axis=0, mode="nearest")
    blend = np.clip((along - 0.4) / 0.8, 0, 1)[:, None]
    path = near * (1 - blend) + far * blend
    tangent = np.gradient(path, axis=0)
    normal = np.stack([-tangent[:, 1], tangent[:, 0]], axis=1) / (np.hypot(*tangent.T)[:, None] + 1e-9)
    sway = _smooth_walk(rng, len(along), 3.0) * 0.35 + _smooth_walk(rng, len(along), 9.0)
    return path + normal * (wiggle * sway * np.clip(along / 0.5, 0, 1))[:, None]


def _taper(path: Floats, start: float, end: float, rise: float = 0.0, opacity: float = 1.0) -> Vessel:
    """A vessel that narrows from ``start`` to ``end``, surfaces within the first ``rise`` and fades at its end."""
    progress = np.linspace(0, 1, len(path))
    surfacing = smoothstep(0.15 + np.arange(len(path)) * PATH_STEP / rise) if rise else np.ones(len(path))
    ending = np.clip((1 - progress) * 4, 0.1, 1)
    width = (start + (end - start) * progress) * (0.6 + 0.4 * surfacing)
    return Vessel(path, width / 2, opacity * (0.1 + 0.9 * surfacing) * ending)


def _stop_before_macula(path: Floats, fovea: tuple[float, float]) -> Floats:
    """End a path where it would enter the avascular zone or cross the horizontal line temporal to the disc."""
    du, dv = path[:, 0] - fovea[0], path[:, 1] - fovea[1]
    stop = (np.hypot(du, dv) < 0.4) | ((path[:, 0] > 1.3) & (dv * dv[0] < 0))
    return path[: int(np.argmax(stop))] if stop.any() else path


def _branches(
    parent: Vessel, rng: np.random.Generator, fovea: tuple[float, float], depth: int, spacing: float
) -> list[Vessel]:
    found: list[Vessel] = []
    at = rng.uniform(0.5, 0.5 + spacing)
    turn = rng.choice([-1.0, 1.0])
    length = len(parent.points) * PATH_STEP
    while at < 0.8 * length:
        index = int(at / PATH_STEP)
        heading = np.arctan2(*(parent.points[index] - parent.points[index - 2])[::-1])
        count = int(rng.uniform(1.0, 3.4) / PATH_STEP * (0.7 if depth > 1 else 1.0))
        bend = -turn * rng.uniform(-0.2, 0.7) * np.linspace(0, 1, count) + _smooth_walk(rng, count, 4.0) * 0.32
        course = heading + turn * rng.uniform(0.4, 0.9) + bend
        steps = PATH_STEP * np.stack([np.cos(course), np.sin(course)], axis=1)
        path = np.cumsum(np.vstack([parent.points[index], steps]), axis=0)
        path = _stop_before_macula(path, fovea)
        if len(path) > 6:
            width = 2 * parent.half_width[index] * rng.uniform(0.35, 0.75)
            child = _taper(path, width, max(width * 0.35, 0.01), opacity=float(parent.strength[index]))
            found += [child, *(_branches(child, rng, fovea, depth + 1, spacing * 1.1) if depth < 2 else [])]
        at += rng.uniform(0.5, 1.5) * spacing
        turn = -turn if rng.random() < 0.7 else turn
    return found


_TEMPORAL_ARCADE = np.array(
    [(0.18, 0.8), (0.5, 1.3), (1.2, 1.75), (2.3, 1.9), (3.5, 1.7), (4.8, 1.5), (6.2, 1.4), (7.6, 1.3)]
)
_NASAL_ARCADE = np.array([(-0.35, 0.8), (-0.75, 1.3), (-1.4, 2.0), (-2.3, 2.9), (-3.2, 3.8), (-4.2, 4.8)])


def _rotated(points: Floats, angle: float) -> Floats:
    turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    return points @ turn


def _trunk(cup: Outline, rng: np.random.Generator, down: float) -> Floats:
    """The course of a main vessel within the cup: from the hilum up (``down`` = -1) or down along the nasal wall."""
    hilum = cup.point(np.pi, rng.uniform(0.25, 0.7)) + np.array([rng.uniform(-0.06, 0.0), rng.normal(0, 0.03)])
    return np.vstack([hilum, cup.point(down * rng.uniform(1.8, 2.4), rng.uniform(0.85, 1.15))])


def _main_vessel(
    disc: Outline, trunk: Floats, rng: np.random.Generator, arcade: Floats, down: float, spread: float
) -> Floats:
    """The course of a main vessel along the trunk, over the rim with a bend, and along the arcade."""
    course = _rotated(arcade * np.array([1.0, down]) * rng.uniform(0.88, 1.14), rng.normal(0, 0.1) + spread)
    leaving = np.arctan2(course[0, 1], course[0, 0])
    rim = disc.point(leaving + rng.normal(0, 0.14), 0.96)
    return _path_through(np.vstack([trunk, rim, course]), rng, wiggle=0.045)


def _minor_vessel(
    disc: Outline, cup: Outline, rng: np.random.Generator, angle: float, fovea: tuple[float, float]
) -> Floats:
    # Temporal vessels start at the upper or lower wall of the cup, where their parents run, and arch to the temple.
    above = np.copysign(rng.uniform(1.0, 2.0), np.sin(angle))
    start = cup.point(above if np.cos(angle) > 0.3 else np.pi + rng.normal(0, 0.8), rng.uniform(0.5, 1.0))
    reach = rng.uniform(1.0, 2.2)
    out = np.array([np.cos(angle), np.sin(angle)])
    end = out * reach + np.array([0.0, np.sign(out[1]) * rng.uniform(0, 0.5)])
    controls = np.vstack([start, disc.point(angle + rng.normal(0, 0.15), 0.9), out * 0.5 + end * 0.3, end])
    return _stop_before_macula(_path_through(controls, rng, wiggle=0.04), fovea)


def draw_vessels(
    disc: Outline, cup: Outline, fovea: tuple[float, float], rng: np.random.Generator, width: float, spread: float
) -> list[Vessel]:
    """Draw one tree of vessels: four arcades with branches, and a few minor vessels. All lengths are in disc units.

    Args:
        disc: outline of the disc.
        cup: outline of the cup.
        fovea: position (u, v) of the fovea, which the vessels avoid.
        rng: random generator.
        width: width of the largest vessels.
        spread: angle in radians by which the arcades are turned, to separate arteries from veins.

    Returns:
        All vessels of the tree.

    Example:
        >>> from bundle.synthetic.phantoms.anatomy import draw_anatomy
        >>> eye, rng = draw_anatomy(seed=3), np.random.default_rng(0)
        >>> len(draw_vessels(eye.disc, eye.cup, eye.fovea, rng, width=0.09, spread=0.0)) > 4
        True
    """
    vessels: list[Vessel] = []
    for down in (-1.0, 1.0):
        shared = _trunk(cup, rng, down)
        for arcade, share, turn in ((_TEMPORAL_ARCADE, 1.0, spread), (_NASAL_ARCADE, 0.75, -spread)):
            trunk = shared if rng.random() < 0.6 else _trunk(cup, rng, down)
            path = _main_vessel(disc, trunk, rng, arcade, down, turn * down)
            start = width * share * rng.uniform(0.8, 1.15)
            main = _taper(path, start, start * 0.4, rise=0.12)
            vessels += [*_branches(main, rng, fovea, 1, 0.85), main]
    for center in (np.pi, np.pi, -0.3, 0.3, -1.6, 1.6)[rng.integers(0, 2) :]:
        path = _minor_vessel(disc, cup, rng, center + rng.normal(0, 0.55), fovea)
        if len(path) > 10:
            minor = _taper(path, width * rng.uniform(0.2, 0.4), 0.012, rise=0.45)
            vessels += [minor, *_branches(minor, rng, fovea, 2, 0.8)]
    return vessels
