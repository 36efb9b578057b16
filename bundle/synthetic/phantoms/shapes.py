"""What a phantom consists of.

Anatomy (outlines, vessels, colours, texture) is drawn once per seed in *disc units*: one unit is the height of the
optic disc, the origin is the disc's centre, ``u`` points to the temple and ``v`` points down. A view then maps disc
units to pixels, so that the same seed shows the same eye at any size and through any camera style.
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
# Each concern draws from its own stream, so that e.g. another camera cannot shift the anatomy's random numbers.
ANATOMY_STREAM, VIEW_STREAM, TEXTURE_STREAM, CAMERA_STREAM = range(4)
ANGLES = np.linspace(-np.pi, np.pi, 721)
PATH_STEP = 0.05


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
class Outline:
    """A star-shaped closed curve: radii at ``ANGLES`` around its own centroid, in disc units."""

    center: tuple[float, float]
    radii: Floats

    def level(self, u: Floats, v: Floats) -> Floats:
        """Distance from the centroid as a share of the outline's radius in that direction: below 1 is inside."""
        du, dv = u - self.center[0], v - self.center[1]
        radius = np.interp(np.arctan2(dv, du).ravel(), ANGLES, self.radii).reshape(np.broadcast(du, dv).shape)
        return np.hypot(du, dv) / radius

    def point(self, angle: float, share: float = 1.0) -> Floats:
        """The point at ``angle`` (radians from the temple, clockwise as seen) at ``share`` of the radius."""
        radius = share * np.interp(np.angle(np.exp(1j * angle)), ANGLES, self.radii)
        return np.array(self.center) + radius * np.array([np.cos(angle), np.sin(angle)])

    def points(self) -> Floats:
        """The outline itself, N x 2."""
        return np.array(self.center) + self.radii[:, None] * np.stack([np.cos(ANGLES), np.sin(ANGLES)], axis=1)

    @property
    def width(self) -> float:
        return float(np.ptp(self.points()[:, 0]))

    @property
    def height(self) -> float:
        return float(np.ptp(self.points()[:, 1]))

    @property
    def area(self) -> float:
        return float(integrate.trapezoid(self.radii**2 / 2, ANGLES))


@dataclass(frozen=True)
class Vessel:
    """A vessel's centre line (N x 2), half width and opacity (N each), in disc units."""

    points: Floats
    half_width: Floats
    strength: Floats


@dataclass(frozen=True)
class Anatomy:
    """Everything about an eye that no camera changes."""

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


def smoothstep(value: Floats) -> Floats:
    t = np.clip(value, 0, 1)
    return t * t * (3 - 2 * t)
