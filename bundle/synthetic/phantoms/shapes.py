"""The parts of a phantom: outlines, vessels, anatomy, and the view that maps them to pixels.

The anatomy (outlines, vessels, colours, texture) is drawn once per seed in *disc units*: one unit is the height of the
optic disc, the origin is the disc's centre, ``u`` points to the temple and ``v`` points down. A view then maps disc
units to pixels. The same seed therefore shows the same eye at any size and with any camera style.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy import integrate

__all__ = [
    "ANATOMY_STREAM",
    "ANGLES",
    "Anatomy",
    "CAMERA_STREAM",
    "Outline",
    "PATH_STEP",
    "Phantom",
    "TEXTURE_STREAM",
    "VIEW_STREAM",
    "Vessel",
    "View",
    "smoothstep",
]

Floats: TypeAlias = NDArray[np.floating[Any]]
Bytes: TypeAlias = NDArray[np.uint8]
Laterality: TypeAlias = Literal["right", "left"]
# Each part has its own stream of random numbers: another camera, for example, does not change the anatomy.
ANATOMY_STREAM, VIEW_STREAM, TEXTURE_STREAM, CAMERA_STREAM = range(4)
ANGLES = np.linspace(-np.pi, np.pi, 721)
"""Angles in radians at which an outline has its radii."""
PATH_STEP = 0.05
"""Distance between two points of a vessel's centre line, in disc units."""


@dataclass(frozen=True)
class Phantom:
    """One synthetic picture and its exact label.

    Attributes:
        image: uint8 RGB, height x width x 3.
        label: uint8, height x width: 0 background, 1 rim, 2 cup; the optic disc is ``label >= 1``.
        camera: key in ``CAMERA_STYLES``.
        seed: the seed from which the phantom was made.
        laterality: ``"right"`` or ``"left"`` eye; in a right eye, the temple is on the picture's left.
        disc_center_xy: centroid (x, y) of the disc's outline in pixels (a pixel's centre has integer coordinates); NaN,
            NaN when no disc is in view.
        disc_height_px: vertical extent of the disc's outline in pixels; 0 when no disc is in view.
        cup_height_px: vertical extent of the cup's outline in pixels.
        disc_width_px: horizontal extent of the disc's outline in pixels.
        cup_width_px: horizontal extent of the cup's outline in pixels.
        disc_outline: N x 2, (x, y) in pixels, closed; empty when no disc is in view.
        cup_outline: N x 2, likewise.

    Example:
        >>> from bundle.synthetic.phantoms.photographs import make_crop
        >>> phantom = make_crop(seed=3, size=64)
        >>> phantom.label.shape, 0 < phantom.vcdr < 1
        ((64, 64), True)
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
        """Vertical cup-to-disc ratio of the outlines, in [0, 1]; NaN when no disc is in view."""
        return self.cup_height_px / self.disc_height_px if self.disc_height_px else float("nan")

    @property
    def hcdr(self) -> float:
        """Horizontal cup-to-disc ratio of the outlines, in [0, 1]; NaN when no disc is in view."""
        return self.cup_width_px / self.disc_width_px if self.disc_width_px else float("nan")


@dataclass(frozen=True)
class Outline:
    """A star-shaped closed curve around its own centroid, in disc units.

    Attributes:
        center: the centroid (u, v).
        radii: distances from the centroid at ``ANGLES``.

    Example:
        >>> circle = Outline((0.0, 0.0), np.full(len(ANGLES), 0.5))
        >>> round(circle.width, 3), round(circle.area, 3)
        (1.0, 0.785)
    """

    center: tuple[float, float]
    radii: Floats

    def level(self, u: Floats, v: Floats) -> Floats:
        """Distance from the centroid as a share of the outline's radius in that direction; below 1 is inside."""
        du, dv = u - self.center[0], v - self.center[1]
        radius = np.interp(np.arctan2(dv, du).ravel(), ANGLES, self.radii).reshape(np.broadcast(du, dv).shape)
        return np.hypot(du, dv) / radius

    def point(self, angle: float, share: float = 1.0) -> Floats:
        """The point (u, v) at ``angle`` (radians from ``u`` towards ``v``) and ``share`` of the radius."""
        radius = share * np.interp(np.angle(np.exp(1j * angle)), ANGLES, self.radii)
        return np.array(self.center) + radius * np.array([np.cos(angle), np.sin(angle)])

    def points(self) -> Floats:
        """The points (u, v) of the outline, N x 2."""
        return np.array(self.center) + self.radii[:, None] * np.stack([np.cos(ANGLES), np.sin(ANGLES)], axis=1)

    @property
    def width(self) -> float:
        """Extent along ``u``, in disc units."""
        return float(np.ptp(self.points()[:, 0]))

    @property
    def height(self) -> float:
        """Extent along ``v``, in disc units."""
        return float(np.ptp(self.points()[:, 1]))

    @property
    def area(self) -> float:
        """Enclosed area, in squared disc units."""
        return float(integrate.trapezoid(self.radii**2 / 2, ANGLES))


@dataclass(frozen=True)
class Vessel:
    """A vessel.

    Attributes:
        points: centre line, N x 2, in disc units.
        half_width: half the vessel's width at each point, N, in disc units.
        strength: opacity at each point, N, in [0, 1].

    Example:
        >>> Vessel(points=np.zeros((2, 2)), half_width=np.full(2, 0.04), strength=np.ones(2)).points.shape
        (2, 2)
    """

    points: Floats
    half_width: Floats
    strength: Floats


@dataclass(frozen=True)
class Anatomy:
    """Everything about an eye that does not depend on the camera. Lengths are in disc units.

    Attributes:
        disc: outline of the optic disc.
        cup: outline of the cup.
        fovea: position (u, v) of the fovea.
        veins: all veins.
        arteries: all arteries.
        retina_rgb: colour of the retina, about 0 to 1.
        rim_rgb: colour of the rim, likewise.
        cup_rgb: colour of the cup's floor, likewise.
        disc_edge: width over which the disc's border is blurred.
        cup_edge: width over which the cup's border is blurred.
        cup_contrast: how much the cup differs from the rim in colour, in [0, 1].
        atrophy: width of the peripapillary atrophy, at least 0.
        dark_crescent: darkness of the crescent next to the disc, in [0, 1].
        choroid: visibility of the choroid's vessels through the retina, in [0, 1].
        striation: visibility of the nerve fibres' streaks, in [0, 1].

    Example:
        >>> from bundle.synthetic.phantoms.anatomy import draw_anatomy
        >>> eye = draw_anatomy(seed=3)
        >>> eye.cup.area < eye.disc.area
        True
    """

    disc: Outline
    cup: Outline
    fovea: tuple[float, float]
    veins: list[Vessel]
    arteries: list[Vessel]
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
class View:
    """The mapping from an eye to the pixel grid.

    Attributes:
        width: width of the picture in pixels.
        height: height of the picture in pixels.
        disc_xy: the disc's centre (x, y) in pixels.
        scale: pixels per disc unit.
        side: +1 if the temple is on the picture's right, -1 if it is on the left.
        field_xy: centre (x, y) of the round field of view in pixels.
        field_radius: radius of the field of view in pixels.
        exposure: factor on the brightness of the retina.

    Example:
        >>> view = View(64, 64, (40.0, 32.0), 20.0, -1, (31.5, 31.5), 32.0, 1.0)
        >>> view.pixels(np.array([[0.0, 0.0], [1.0, 0.5]])).tolist()
        [[40.0, 32.0], [20.0, 42.0]]
    """

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


def smoothstep(value: Floats) -> Floats:
    """A smooth step: 0 below 0, 1 above 1, and 3 t^2 - 2 t^3 for a value t in between.

    Example:
        >>> smoothstep(np.array([-1.0, 0.5, 2.0])).tolist()
        [0.0, 0.5, 1.0]
    """
    t = np.clip(value, 0, 1)
    return t * t * (3 - 2 * t)
