"""Seeded, synthetic fundus photographs with exact optic disc and cup labels.

The phantoms stand in for photographs of people wherever the project needs pictures it may publish: its tests, its
demonstration and its documentation. Every pixel is computed from random numbers.

Anatomy (outlines, vessels, colours, texture) is drawn once per seed in *disc units*: one unit is the height of the
optic disc, the origin is the disc's centre, ``u`` points to the temple and ``v`` points down. A view then maps disc
units to pixels, so that the same seed shows the same eye at any size and through any camera style. Labels are
rasterised from the outlines alone and never depend on the camera.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import integrate, ndimage

from bundle.cameras import CAMERA_STYLES, CameraStyle, as_jpeg, through_camera

__all__ = ["CAMERA_STYLES", "CameraStyle", "Phantom", "make_crop", "make_photograph", "write_dataset"]

Floats: TypeAlias = NDArray[np.floating[Any]]
Bytes: TypeAlias = NDArray[np.uint8]
Laterality: TypeAlias = Literal["right", "left"]

# Each concern draws from its own stream, so that e.g. another camera cannot shift the anatomy's random numbers.
_ANATOMY_STREAM, _VIEW_STREAM, _TEXTURE_STREAM, _CAMERA_STREAM = range(4)
_ANGLES = np.linspace(-np.pi, np.pi, 721)
# Texture repeats after this many disc units, which is wider than what a photograph shows.
_TEXTURE_PERIOD = 12.0
_PATH_STEP = 0.05


@dataclass(frozen=True)
class Phantom:
    """One synthetic picture and its exact label.

    Attributes:
        image: uint8 RGB, height x width x 3.
        label: uint8, height x width: 0 background, 1 rim, 2 cup; the optic disc is ``label >= 1``.
        camera: the key in ``CAMERA_STYLES``.
        seed: the seed it was made from.
        laterality: ``"right"`` or ``"left"`` eye; a right eye's temple lies to the picture's left.
        disc_center_xy: centroid of the disc's outline in pixels (a pixel's centre has whole coordinates); NaN, NaN
            when no disc is in view.
        disc_height_px: vertical extent of the disc's outline in pixels; 0 when no disc is in view.
        cup_height_px: vertical extent of the cup's outline in pixels.
        disc_width_px: horizontal extent of the disc's outline in pixels.
        cup_width_px: horizontal extent of the cup's outline in pixels.
        disc_outline: N x 2, (x, y) in pixels, closed; empty when no disc is in view.
        cup_outline: N x 2, likewise.
    """

    image: Bytes
    label: Bytes
    camera: str
    seed: int
    laterality: Laterality
    disc_center_xy: tuple[float, float]
    disc_height_px: float
    cup_height_px: float
    disc_width_px: float
    cup_width_px: float
    disc_outline: Floats
    cup_outline: Floats

    @property
    def vcdr(self) -> float:
        """Vertical cup-to-disc ratio of the outlines, 0..1; NaN when no disc is in view."""
        return self.cup_height_px / self.disc_height_px if self.disc_height_px else float("nan")

    @property
    def hcdr(self) -> float:
        """Horizontal cup-to-disc ratio of the outlines, 0..1; NaN when no disc is in view."""
        return self.cup_width_px / self.disc_width_px if self.disc_width_px else float("nan")


@dataclass(frozen=True)
class _Outline:
    """A star-shaped closed curve: radii at ``_ANGLES`` around its own centroid, in disc units."""

    center: tuple[float, float]
    radii: Floats

    def level(self, u: Floats, v: Floats) -> Floats:
        """Distance from the centroid as a share of the outline's radius in that direction: below 1 is inside."""
        du, dv = u - self.center[0], v - self.center[1]
        radius = np.interp(np.arctan2(dv, du).ravel(), _ANGLES, self.radii).reshape(np.broadcast(du, dv).shape)
        return np.hypot(du, dv) / radius

    def point(self, angle: float, share: float = 1.0) -> Floats:
        """The point at ``angle`` (radians from the temple, clockwise as seen) at ``share`` of the radius."""
        radius = share * np.interp(np.angle(np.exp(1j * angle)), _ANGLES, self.radii)
        return np.array(self.center) + radius * np.array([np.cos(angle), np.sin(angle)])

    def points(self) -> Floats:
        """The outline itself, N x 2."""
        return np.array(self.center) + self.radii[:, None] * np.stack([np.cos(_ANGLES), np.sin(_ANGLES)], axis=1)

    @property
    def width(self) -> float:
        return float(np.ptp(self.points()[:, 0]))

    @property
    def height(self) -> float:
        return float(np.ptp(self.points()[:, 1]))

    @property
    def area(self) -> float:
        return float(integrate.trapezoid(self.radii**2 / 2, _ANGLES))


@dataclass(frozen=True)
class _Vessel:
    """A vessel's centre line (N x 2), half width and opacity (N each), in disc units."""

    points: Floats
    half_width: Floats
    strength: Floats


@dataclass(frozen=True)
class _Anatomy:
    """Everything about an eye that no camera changes."""

    disc: _Outline
    cup: _Outline
    fovea: tuple[float, float]
    veins: list[_Vessel]
    arteries: list[_Vessel]
    retina_rgb: Floats
    rim_rgb: Floats
    cup_rgb: Floats
    disc_edge: float
    cup_edge: float
    cup_contrast: float
    atrophy: float
    dark_crescent: float
    choroid: float
    striation: float


@dataclass(frozen=True)
class _View:
    """Where an eye lies on the pixel grid. ``side`` is +1 where the temple is to the right, -1 where to the left."""

    width: int
    height: int
    disc_xy: tuple[float, float]
    scale: float
    side: int
    field_xy: tuple[float, float]
    field_radius: float
    exposure: float

    @property
    def u(self) -> Floats:
        """Each column's position in disc units, 1 x width."""
        return (self.side * (np.arange(self.width) - self.disc_xy[0]) / self.scale)[None, :]

    @property
    def v(self) -> Floats:
        """Each row's position in disc units, height x 1."""
        return ((np.arange(self.height) - self.disc_xy[1]) / self.scale)[:, None]

    def pixels(self, points: Floats) -> Floats:
        """Disc units (N x 2) to pixel coordinates (N x 2)."""
        return points * np.array([self.side * self.scale, self.scale]) + np.array(self.disc_xy)


# --- anatomy ---------------------------------------------------------------------------------------------------------


def _draw_outline(rng: np.random.Generator, aspect: float, height: float, wobble: float) -> _Outline:
    """A tilted ellipse (``aspect`` = width / height) with smooth dents, centred on the origin."""
    tilted = _ANGLES - rng.uniform(-0.2, 0.2)
    radii = aspect / np.hypot(np.cos(tilted), aspect * np.sin(tilted))
    for order in (2, 3, 4):
        radii = radii * (1 + rng.normal(0, wobble / order) * np.cos(order * _ANGLES + rng.uniform(0, 2 * np.pi)))
    # Dents move the centroid away from the pole of the radii; the outline is re-expressed around its centroid.
    x, y = radii * np.cos(_ANGLES), radii * np.sin(_ANGLES)
    area = integrate.trapezoid(radii**2 / 2, _ANGLES)
    x = x - integrate.trapezoid(radii**3 * np.cos(_ANGLES) / 3, _ANGLES) / area
    y = y - integrate.trapezoid(radii**3 * np.sin(_ANGLES) / 3, _ANGLES) / area
    resampled = np.interp(_ANGLES, np.arctan2(y, x)[:-1], np.hypot(x, y)[:-1], period=2 * np.pi)
    return _Outline((0.0, 0.0), resampled * height / np.ptp(resampled * np.sin(_ANGLES)))


def _draw_disc_and_cup(rng: np.random.Generator) -> tuple[_Outline, _Outline]:
    disc = _draw_outline(rng, aspect=rng.uniform(0.84, 0.98), height=1.0, wobble=0.03)
    ratio = float(np.clip(rng.normal(0.5, 0.16), 0.25, 0.85))
    cup = _draw_outline(rng, aspect=min(rng.uniform(0.86, 1.08) * disc.width, 1.0), height=ratio, wobble=0.04)
    offset = np.array([rng.uniform(0.0, 0.35), rng.uniform(-0.15, 0.15)]) * (1 - ratio) * 0.5
    # A shift or dent must never carry the cup onto the disc's edge, or the rim would vanish from the label.
    while True:
        moved = _Outline((float(offset[0]), float(offset[1])), cup.radii)
        if disc.level(moved.points()[:, 0], moved.points()[:, 1]).max() < 0.94:
            return disc, moved
        if np.abs(offset).max() < 1e-3:
            cup = _Outline(cup.center, cup.radii * 0.97)
        offset = offset * 0.7


def _smoothstep(value: Floats) -> Floats:
    t = np.clip(value, 0, 1)
    return t * t * (3 - 2 * t)


def _smooth_walk(rng: np.random.Generator, count: int, sigma: float) -> Floats:
    return ndimage.gaussian_filter1d(rng.normal(size=count), sigma, mode="nearest") * np.sqrt(2 * sigma * 1.77)


def _path_through(controls: Floats, rng: np.random.Generator, wiggle: float) -> Floats:
    """A smooth, slightly winding line along ``controls``, sampled every ``_PATH_STEP``."""
    lengths = np.concatenate([[0.0], np.cumsum(np.hypot(*np.diff(controls, axis=0).T))])
    along = np.arange(0.0, lengths[-1], _PATH_STEP)
    path = np.stack([np.interp(along, lengths, controls[:, axis]) for axis in (0, 1)], axis=1)
    # Sharp on the disc, where vessels bend at the rims; smooth beyond it.
    near = ndimage.gaussian_filter1d(path, 1.1, axis=0, mode="nearest")
    far = ndimage.gaussian_filter1d(path, 5.0, axis=0, mode="nearest")
    blend = np.clip((along - 0.4) / 0.8, 0, 1)[:, None]
    path = near * (1 - blend) + far * blend
    tangent = np.gradient(path, axis=0)
    normal = np.stack([-tangent[:, 1], tangent[:, 0]], axis=1) / (np.hypot(*tangent.T)[:, None] + 1e-9)
    sway = _smooth_walk(rng, len(along), 3.0) * 0.35 + _smooth_walk(rng, len(along), 9.0)
    return path + normal * (wiggle * sway * np.clip(along / 0.5, 0, 1))[:, None]


def _taper(path: Floats, start: float, end: float, rise: float = 0.0, opacity: float = 1.0) -> _Vessel:
    """A vessel that narrows from ``start`` to ``end``, surfaces within the first ``rise`` and fades at its end."""
    progress = np.linspace(0, 1, len(path))
    surfacing = _smoothstep(0.15 + np.arange(len(path)) * _PATH_STEP / rise) if rise else np.ones(len(path))
    ending = np.clip((1 - progress) * 4, 0.1, 1)
    width = (start + (end - start) * progress) * (0.6 + 0.4 * surfacing)
    return _Vessel(path, width / 2, opacity * (0.1 + 0.9 * surfacing) * ending)


def _stop_before_macula(path: Floats, fovea: tuple[float, float]) -> Floats:
    """Cut a path where it would enter the avascular zone or cross the horizontal line temporal of the disc."""
    du, dv = path[:, 0] - fovea[0], path[:, 1] - fovea[1]
    stop = (np.hypot(du, dv) < 0.4) | ((path[:, 0] > 1.3) & (dv * dv[0] < 0))
    return path[: int(np.argmax(stop))] if stop.any() else path


def _branches(
    parent: _Vessel, rng: np.random.Generator, fovea: tuple[float, float], depth: int, spacing: float
) -> list[_Vessel]:
    found: list[_Vessel] = []
    at = rng.uniform(0.5, 0.5 + spacing)
    turn = rng.choice([-1.0, 1.0])
    length = len(parent.points) * _PATH_STEP
    while at < 0.8 * length:
        index = int(at / _PATH_STEP)
        heading = np.arctan2(*(parent.points[index] - parent.points[index - 2])[::-1])
        count = int(rng.uniform(1.0, 3.4) / _PATH_STEP * (0.7 if depth > 1 else 1.0))
        bend = -turn * rng.uniform(-0.2, 0.7) * np.linspace(0, 1, count) + _smooth_walk(rng, count, 4.0) * 0.32
        course = heading + turn * rng.uniform(0.4, 0.9) + bend
        steps = _PATH_STEP * np.stack([np.cos(course), np.sin(course)], axis=1)
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


def _trunk(cup: _Outline, rng: np.random.Generator, down: float) -> Floats:
    """Where a main vessel runs within the cup: from the hilum up (``down`` = -1) or down the nasal wall."""
    hilum = cup.point(np.pi, rng.uniform(0.25, 0.7)) + np.array([rng.uniform(-0.06, 0.0), rng.normal(0, 0.03)])
    return np.vstack([hilum, cup.point(down * rng.uniform(1.8, 2.4), rng.uniform(0.85, 1.15))])


def _main_vessel(
    disc: _Outline, trunk: Floats, rng: np.random.Generator, arcade: Floats, down: float, spread: float
) -> Floats:
    """Along the trunk, over the rim with a bend, then along the arcade."""
    course = _rotated(arcade * np.array([1.0, down]) * rng.uniform(0.88, 1.14), rng.normal(0, 0.1) + spread)
    leaving = np.arctan2(course[0, 1], course[0, 0])
    rim = disc.point(leaving + rng.normal(0, 0.14), 0.96)
    return _path_through(np.vstack([trunk, rim, course]), rng, wiggle=0.045)


def _minor_vessel(
    disc: _Outline, cup: _Outline, rng: np.random.Generator, angle: float, fovea: tuple[float, float]
) -> Floats:
    # Temporal ones start at the upper or lower wall of the cup, where their parents run, and arch over to the temple.
    above = np.copysign(rng.uniform(1.0, 2.0), np.sin(angle))
    start = cup.point(above if np.cos(angle) > 0.3 else np.pi + rng.normal(0, 0.8), rng.uniform(0.5, 1.0))
    reach = rng.uniform(1.0, 2.2)
    out = np.array([np.cos(angle), np.sin(angle)])
    end = out * reach + np.array([0.0, np.sign(out[1]) * rng.uniform(0, 0.5)])
    controls = np.vstack([start, disc.point(angle + rng.normal(0, 0.15), 0.9), out * 0.5 + end * 0.3, end])
    return _stop_before_macula(_path_through(controls, rng, wiggle=0.04), fovea)


def _draw_vessels(
    disc: _Outline, cup: _Outline, fovea: tuple[float, float], rng: np.random.Generator, width: float, spread: float
) -> list[_Vessel]:
    """One tree (the veins' or the arteries'): four arcades with branches and a few minor vessels."""
    vessels: list[_Vessel] = []
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


def _draw_anatomy(seed: int) -> _Anatomy:
    rng = np.random.default_rng([seed, _ANATOMY_STREAM])
    disc, cup = _draw_disc_and_cup(rng)
    fovea = (rng.uniform(2.35, 2.65), rng.uniform(0.1, 0.35))
    pink, pale = rng.uniform(size=2)
    pigments = np.array([(0.37, 0.26, 0.13), (0.45, 0.26, 0.075), (0.47, 0.235, 0.155)])
    artery_width, artery_side = rng.uniform(0.052, 0.068), rng.choice([-0.14, 0.14])
    return _Anatomy(
        disc=disc,
        cup=cup,
        fovea=fovea,
        veins=_draw_vessels(disc, cup, fovea, rng, width=rng.uniform(0.075, 0.098), spread=0.0),
        arteries=_draw_vessels(disc, cup, fovea, rng, width=artery_width, spread=artery_side),
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


# --- rendering -------------------------------------------------------------------------------------------------------


def _texture(rng: np.random.Generator, view: _View, grain: float) -> Floats:
    """Smooth noise of unit variance with blobs of about ``grain`` disc units, fixed to the eye, height x width."""
    count = round(_TEXTURE_PERIOD / grain)
    lattice = rng.standard_normal((count, count), dtype=np.float32)

    def weights(position: Floats) -> tuple[Floats, NDArray[np.intp]]:
        nodes = np.arange(np.floor(position.min() / grain) - 2, np.ceil(position.max() / grain) + 3)
        kernel = np.exp(-0.5 * ((position[:, None] / grain - nodes) / 0.6) ** 2)
        kernel /= np.linalg.norm(kernel, axis=1, keepdims=True)
        return kernel.astype(np.float32), nodes.astype(np.intp) % count

    down, rows = weights(view.v[:, 0])
    across, columns = weights(view.u[0])
    return down @ lattice[np.ix_(rows, columns)] @ across.T


def _fibres(rng: np.random.Generator, u: Floats, v: Floats) -> Floats:
    """Fine streaks that leave the disc radially and bend around the macula, about unit variance."""
    table = ndimage.gaussian_filter(rng.standard_normal((24, 480)), (1.2, 0.8), mode=("nearest", "wrap"))
    radius = np.hypot(u, v)
    angle = np.arctan2(v, u)
    angle = angle + 0.35 * np.sin(angle) * np.clip(radius - 0.5, 0, 1.5)
    where = [np.clip(radius * 6, 0, 23), (angle / (2 * np.pi) + 0.5) * 480]
    return ndimage.map_coordinates(table, where, order=1, mode="grid-wrap") / table.std()


def _paint_retina(eye: _Anatomy, view: _View, rng: np.random.Generator) -> Floats:
    u, v = view.u, view.v
    radius = np.hypot(u, v)
    light = 1 + 0.07 * _texture(rng, view, 1.6) + 0.04 * _texture(rng, view, 0.4)
    light += 0.026 * _texture(rng, view, 0.07) + 0.022 * _texture(rng, view, 0.03)
    ridges = np.exp(-((_texture(rng, view, 0.16) / 0.3) ** 2)) * _smoothstep(0.5 + 0.5 * _texture(rng, view, 0.7))
    away = _smoothstep((radius - 0.6) / 1.2)
    streaks = _fibres(rng, u, v) * np.exp(-np.maximum(radius - 0.5, 0) / 0.8)
    streaks = streaks * (0.35 + 0.65 * np.abs(v) / (radius + 1e-6))
    light += 0.05 * eye.striation * streaks
    macula = np.exp(-0.5 * ((u - eye.fovea[0]) ** 2 + (v - eye.fovea[1]) ** 2) / 0.42**2)
    pit = np.exp(-0.5 * ((u - eye.fovea[0]) ** 2 + (v - eye.fovea[1]) ** 2) / 0.14**2)
    light *= 1 - 0.3 * macula - 0.16 * pit
    warmth = (
        0.05 * _texture(rng, view, 1.1)
        + 0.06 * away
        + 0.1 * _smoothstep(u)
        + 0.25 * eye.choroid * ridges * (0.35 + 0.65 * away)
    )
    image = (light * view.exposure)[..., None] * eye.retina_rgb.astype(np.float32)
    image[..., 0] *= 1 + warmth
    image[..., 1] *= 1 - 0.25 * warmth - 0.12 * macula
    image[..., 2] *= 1 - 0.4 * warmth
    return image


def _paint_surroundings(image: Floats, eye: _Anatomy, level: Floats, u: Floats, v: Floats) -> Floats:
    """Light scattered from the disc, a greyish crescent and peripapillary atrophy, all outside the disc."""
    outside = np.maximum(level - 1, 0) / 2
    temporal = u / (np.hypot(u, v) + 1e-6)
    glow = np.exp(-outside / 0.07)[..., None] * np.array([0.16, 0.06, 0.02])
    crescent = eye.dark_crescent * 0.22 * np.exp(-(((outside - 0.05) / 0.06) ** 2)) * _smoothstep(0.4 + 0.6 * temporal)
    image = image * (1 - crescent[..., None] * np.array([1.0, 0.55, 0.5])) + glow
    if eye.atrophy <= 0:
        return image
    reach = eye.atrophy * _smoothstep(0.25 + 0.75 * temporal) + 1e-3
    inside = _smoothstep((reach - outside) / 0.035 + 0.5) * _smoothstep(reach / 0.05)
    border = np.exp(-(((outside - reach) / 0.02) ** 2)) * _smoothstep(reach / 0.08)
    tint = image * np.array([1.15, 1.3, 1.3]) + np.array([0.05, 0.05, 0.03])
    image = image + (tint - image) * inside[..., None] * 0.7
    return image * (1 - 0.12 * border[..., None])


def _paint_disc(image: Floats, eye: _Anatomy, view: _View, rng: np.random.Generator) -> Floats:
    u, v = view.u, view.v
    level = eye.disc.level(u, v)
    temporal = u / (np.hypot(u, v) + 1e-6)
    mottle = 1 + 0.035 * _texture(rng, view, 0.12) + 0.02 * _texture(rng, view, 0.035)
    holes = _texture(rng, view, 0.035)
    image = _paint_surroundings(image, eye, level, u, v)
    # Nasally and at the poles thick nerve fibres blur the border; temporally it is crisp.
    softness = eye.disc_edge * (1.5 - 0.7 * temporal)
    cover = _smoothstep(0.5 - (level - 1) / 2 / (2 * softness))
    rim = (mottle * (0.97 + 0.12 * u - 0.05 * np.clip(level, 0, 1.2)))[..., None] * eye.rim_rgb
    cup_level = eye.cup.level(u, v)
    edge = eye.cup_edge / (eye.cup.height / 2)
    pallor = _smoothstep(0.5 - (cup_level - 1) / (2 * edge)) * (0.6 + 0.4 * np.exp(-1.5 * cup_level**2))
    halo = 0.35 * np.exp(-(np.maximum(cup_level - 1, 0) * eye.cup.height / 0.25)) * (0.6 + 0.4 * temporal)
    pallor = np.clip(np.maximum(pallor, halo) * eye.cup_contrast * (0.95 + 0.25 * u), 0, 1)
    # Where the vessels rise out of the cup their crowd hides its pale floor.
    hilum = eye.cup.point(np.pi, 0.5)
    pallor *= 1 - 0.75 * np.exp(-0.5 * (((u - hilum[0]) / 0.06) ** 2 + ((v - hilum[1]) / 0.1) ** 2))
    sieve = 0.1 * np.clip((eye.cup.height - 0.45) * 3, 0, 1) * np.clip(holes - 0.3, 0, 1.5) * (cup_level < 0.8)
    floor = (mottle - sieve)[..., None] * eye.cup_rgb
    disc = (rim + (floor - rim) * pallor[..., None]) * (0.25 + 0.75 * view.exposure)
    return image + (disc - image) * cover[..., None]


def _trace(vessels: Sequence[_Vessel], view: _View) -> tuple[Floats, Floats]:
    """Distance to the nearest centre line in half widths, and the opacity there, both height x width."""
    nearest = np.full((view.height, view.width), 9.0, dtype=np.float32)
    opacity = np.zeros_like(nearest)
    # In small pictures the steps of a path are shorter than its pixels need.
    stride = int(np.clip(round(4 / (_PATH_STEP * view.scale)), 1, 3))
    for vessel in vessels:
        points = view.pixels(vessel.points[::stride])
        thin = vessel.half_width[::stride] * view.scale
        # A vessel thinner than a pixel is drawn a pixel wide but proportionally fainter.
        half = np.hypot(thin, 0.6)
        strength = vessel.strength[::stride] * thin / half
        margin = 2.2 * half
        low = np.floor(np.minimum(points[:-1], points[1:]) - margin[:-1, None]).astype(int)
        high = np.ceil(np.maximum(points[:-1], points[1:]) + margin[:-1, None]).astype(int) + 1
        seen = (high > 0).all(axis=1) & (low[:, 0] < view.width) & (low[:, 1] < view.height)
        for k in np.flatnonzero(seen):
            (x0, y0), (x1, y1) = np.maximum(low[k], 0), np.minimum(high[k], (view.width, view.height))
            start, step = points[k], points[k + 1] - points[k]
            dx, dy = np.arange(x0, x1)[None, :] - start[0], np.arange(y0, y1)[:, None] - start[1]
            t = np.clip((dx * step[0] + dy * step[1]) / (step @ step + 1e-12), 0, 1)
            distance = np.hypot(dx - t * step[0], dy - t * step[1]) / (half[k] + t * (half[k + 1] - half[k]))
            patch = (slice(y0, y1), slice(x0, x1))
            closer = distance < nearest[patch]
            nearest[patch] = np.where(closer, distance, nearest[patch])
            here = strength[k] + t * (strength[k + 1] - strength[k])
            opacity[patch] = np.where(closer, here, opacity[patch])
    return nearest, opacity


def _paint_vessels(image: Floats, eye: _Anatomy, view: _View) -> Floats:
    """Vessels absorb light, green and blue most; their middle reflects some of it back."""
    density = np.zeros_like(image)
    for vessels, absorbance, reflex in (
        (eye.veins, np.array([0.34, 1.0, 0.72]), 0.12),
        (eye.arteries, np.array([0.16, 0.72, 0.56]), 0.32),
    ):
        nearest, opacity = _trace(vessels, view)
        cover = (opacity * np.exp(-(nearest**3) * 0.7))[..., None]
        shine = 1 - reflex * np.exp(-((nearest / 0.4) ** 2))[..., None]
        density = density * (1 - cover) + cover * shine * absorbance
    return image * np.exp(-density)


def _render_scene(eye: _Anatomy, view: _View, seed: int, disc: bool) -> Floats:
    rng = np.random.default_rng([seed, _TEXTURE_STREAM])
    image = _paint_retina(eye, view, rng)
    if disc:
        image = _paint_disc(image, eye, view, rng)
    return _paint_vessels(image, eye, view).astype(np.float32)


def _photograph_scene(scene: Floats, style: CameraStyle, view: _View, seed: int) -> Bytes:
    rng = np.random.default_rng([seed, _CAMERA_STREAM])
    image = through_camera(scene, style, view.scale, rng, view.field_xy, view.field_radius)
    return as_jpeg(image, style.jpeg_quality)


def _rasterise(eye: _Anatomy, view: _View) -> Bytes:
    label = (eye.disc.level(view.u, view.v) < 1).astype(np.uint8)
    label[eye.cup.level(view.u, view.v) < 1] = 2
    return label


def _compose(eye: _Anatomy, view: _View, seed: int, camera: str, disc: bool) -> Phantom:
    scene = _render_scene(eye, view, seed, disc)
    scale = view.scale if disc else 0.0
    return Phantom(
        image=_photograph_scene(scene, CAMERA_STYLES[camera], view, seed),
        label=_rasterise(eye, view) if disc else np.zeros((view.height, view.width), np.uint8),
        camera=camera,
        seed=seed,
        laterality="left" if view.side > 0 else "right",
        disc_center_xy=view.disc_xy if disc else (float("nan"), float("nan")),
        disc_height_px=eye.disc.height * scale,
        cup_height_px=eye.cup.height * scale,
        disc_width_px=eye.disc.width * scale,
        cup_width_px=eye.cup.width * scale,
        disc_outline=view.pixels(eye.disc.points()) if disc else np.empty((0, 2)),
        cup_outline=view.pixels(eye.cup.points()) if disc else np.empty((0, 2)),
    )


# --- public functions ------------------------------------------------------------------------------------------------


def _checked_size(size: int | tuple[int, int]) -> tuple[int, int]:
    width, height = (size, size) if isinstance(size, int) else size
    if min(width, height) < 32:
        raise ValueError(f"size is {size!r}; allowed are whole numbers of pixels, at least 32 in width and height")
    return int(width), int(height)


def _check_seed_and_camera(seed: int, camera: str) -> None:
    if seed < 0:
        raise ValueError(f"seed is {seed!r}; allowed are whole numbers of at least 0")
    if camera not in CAMERA_STYLES:
        raise ValueError(f"camera is {camera!r}; allowed are {', '.join(CAMERA_STYLES)}")


def make_crop(
    seed: int, *, camera: str = "plain", size: int | tuple[int, int] = 512, disc_share: float | None = None
) -> Phantom:
    """Make a crop around the optic nerve head.

    Args:
        seed: a whole number of at least 0; it fixes the eye, its place in the crop and the noise.
        camera: a key of ``CAMERA_STYLES``.
        size: pixels, one number for a square crop or ``(width, height)``; at least 32.
        disc_share: area of the disc as a share of the crop's; ``None`` draws 0.2 to 0.36 (less where a narrow crop
            could not hold the whole disc).

    Returns:
        The phantom; its image is ``height x width x 3``, its label ``height x width``.

    Raises:
        ValueError: the seed, camera, size or disc share is not allowed; the message names the allowed values.
    """
    width, height = _checked_size(size)
    _check_seed_and_camera(seed, camera)
    eye = _draw_anatomy(seed)
    rng = np.random.default_rng([seed, _VIEW_STREAM])
    # A pixel and a half stays free all round; the outline reaches up to 2 % further on one side of its centroid.
    free = (np.array([width, height]) - 3) / 1.04
    extent = np.array([eye.disc.width, eye.disc.height])
    largest = eye.disc.area * float((free / extent).min()) ** 2 / (width * height)
    drawn = min(rng.uniform(0.2, 0.36), largest)
    share = drawn if disc_share is None else disc_share
    if not 0.005 <= share <= largest:
        raise ValueError(f"disc_share is {disc_share!r}; allowed are 0.005 to {largest:.3f} for this seed and size")
    scale = float(np.sqrt(share * width * height / eye.disc.area))
    side = 1 if rng.random() < 0.5 else -1
    shift = rng.uniform(-0.07, 0.07, size=2) * min(width, height)
    room = np.maximum(free - extent * scale, 0) / 2
    center = np.array([width - 1, height - 1]) / 2 + np.clip(shift * [side, 1], -room, room)
    # In some crops the camera's round field ends within the crop, on the nasal side.
    field_radius = scale * rng.uniform(3.2, 3.8)
    gap = scale * rng.uniform(0.75, 0.95) if rng.random() < 0.2 else field_radius - scale
    field = (center[0] + side * (field_radius - gap), center[1] + scale * rng.uniform(-0.5, 0.5))
    view = _View(width, height, (float(center[0]), float(center[1])), scale, side, field, field_radius, exposure=1.0)
    return _compose(eye, view, seed, camera, disc=True)


def make_photograph(
    seed: int,
    *,
    camera: str = "plain",
    size: tuple[int, int] = (1440, 1080),
    laterality: Laterality | None = None,
    visible_disc: bool = True,
    surround: bool = True,
) -> Phantom:
    """Make a whole fundus photograph.

    Args:
        seed: a whole number of at least 0; it fixes the eye, the gaze and the noise.
        camera: a key of ``CAMERA_STYLES``.
        size: pixels, ``(width, height)``; at least 32 each.
        laterality: ``"right"``, ``"left"`` or ``None`` to draw it; the other eye is the mirror image.
        visible_disc: ``False`` looks past the disc to the temporal retina, so that no disc is in view and the label
            is all zero.
        surround: ``True`` shows the round field of view on a black surround; ``False`` lets the field fill the frame.

    Returns:
        The phantom; its image is ``height x width x 3``, its label ``height x width``.

    Raises:
        ValueError: the seed, camera, size or laterality is not allowed; the message names the allowed values.
    """
    width, height = _checked_size(size)
    _check_seed_and_camera(seed, camera)
    if laterality not in (None, "right", "left"):
        raise ValueError(f"laterality is {laterality!r}; allowed are 'right', 'left' and None")
    eye = _draw_anatomy(seed)
    rng = np.random.default_rng([seed, _VIEW_STREAM])
    drawn_side = 1 if rng.random() < 0.5 else -1
    side = {"left": 1, "right": -1, None: drawn_side}[laterality]
    field_radius = min(width, height) * rng.uniform(0.485, 0.5) * (1.0 if rng.random() < 0.6 else 1.12)
    field_radius = field_radius if surround else float(np.hypot(width, height)) * 0.52
    scale = min(2 * field_radius / rng.uniform(6.3, 7.8), 0.8 * min(width, height))
    # The gaze: mostly between macula and disc, sometimes on the disc.
    gaze = np.array([rng.uniform(1.6, 2.3) if rng.random() < 0.7 else rng.uniform(-0.2, 0.4), rng.uniform(-0.3, 0.4)])
    middle = np.array([width - 1, height - 1]) / 2
    reach = np.minimum(field_radius, [width / 2, height / 2]) / scale
    gaze = np.clip(gaze, 0.6 - reach, reach - 0.6)
    if not visible_disc:
        gaze[0] = reach[0] + 1.0
    disc_xy = middle - np.array([side, 1]) * gaze * scale
    field_xy = (float(middle[0]), float(middle[1]))
    place = (float(disc_xy[0]), float(disc_xy[1]))
    view = _View(width, height, place, scale, side, field_xy, field_radius, exposure=rng.uniform(1.3, 1.8))
    return _compose(eye, view, seed, camera, disc=visible_disc)


def write_dataset(
    folder: Path | str,
    count: int,
    *,
    kind: Literal["crop", "photograph"],
    cameras: Sequence[str] = ("plain",),
    seed: int = 0,
    labels: bool = True,
    size: int | tuple[int, int] | None = None,
) -> list[Path]:
    """Write phantoms as ``folder/image/phantom_<camera>_<number>.png`` and labels of the same name under ``label``.

    Args:
        folder: where to write; it is made when missing.
        count: how many, at least 1. Number ``i`` is made from ``seed + i`` with camera ``cameras[i % len(cameras)]``.
        kind: ``"crop"`` or ``"photograph"``.
        cameras: keys of ``CAMERA_STYLES``, at least one.
        seed: the first phantom's seed.
        labels: ``False`` writes no ``label`` folder.
        size: as for ``make_crop`` or ``make_photograph``; ``None`` takes their own default.

    Returns:
        The image files' paths, in order.

    Raises:
        ValueError: an argument is not allowed; the message names the allowed values.
    """
    if kind not in ("crop", "photograph"):
        raise ValueError(f"kind is {kind!r}; allowed are 'crop' and 'photograph'")
    if count < 1:
        raise ValueError(f"count is {count!r}; allowed are whole numbers of at least 1")
    if not cameras:
        raise ValueError(f"cameras is {cameras!r}; allowed are one or more of {', '.join(CAMERA_STYLES)}")
    for camera in cameras:
        _check_seed_and_camera(seed, camera)
    written: list[Path] = []
    for index in range(count):
        camera = cameras[index % len(cameras)]
        if kind == "crop":
            phantom = make_crop(seed + index, camera=camera, size=512 if size is None else size)
        elif isinstance(size, int):
            raise ValueError(f"size is {size!r}; allowed for photographs are (width, height) and None")
        else:
            phantom = make_photograph(seed + index, camera=camera, size=size or (1440, 1080))
        name = f"phantom_{camera}_{index:04d}.png"
        for part, pixels in (("image", phantom.image), ("label", phantom.label))[: 2 if labels else 1]:
            path = Path(folder) / part / name
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels).save(path)
        written.append(Path(folder) / "image" / name)
    return written
