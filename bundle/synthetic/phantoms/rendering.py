"""Rendering of a phantom's picture and label from its anatomy."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from bundle.synthetic.cameras import CAMERA_STYLES, CameraStyle, as_jpeg, through_camera
from bundle.synthetic.phantoms.shapes import (
    CAMERA_STREAM,
    PATH_STEP,
    TEXTURE_STREAM,
    Anatomy,
    Bytes,
    Floats,
    Phantom,
    Vessel,
    View,
    smoothstep,
)

__all__ = ["compose_picture"]

_TEXTURE_PERIOD = 12.0
"""The texture repeats after this many disc units, which is more than a photograph shows."""


# --- rendering -------------------------------------------------------------------------------------------------------


def _texture(rng: np.random.Generator, view: View, grain: float) -> Floats:
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


def _paint_retina(eye: Anatomy, view: View, rng: np.random.Generator) -> Floats:
    u, v = view.u, view.v
    radius = np.hypot(u, v)
    light = 1 + 0.07 * _texture(rng, view, 1.6) + 0.04 * _texture(rng, view, 0.4)
    light += 0.026 * _texture(rng, view, 0.07) + 0.022 * _texture(rng, view, 0.03)
    ridges = np.exp(-((_texture(rng, view, 0.16) / 0.3) ** 2)) * smoothstep(0.5 + 0.5 * _texture(rng, view, 0.7))
    away = smoothstep((radius - 0.6) / 1.2)
    streaks = _fibres(rng, u, v) * np.exp(-np.maximum(radius - 0.5, 0) / 0.8)
    streaks = streaks * (0.35 + 0.65 * np.abs(v) / (radius + 1e-6))
    light += 0.05 * eye.striation * streaks
    macula = np.exp(-0.5 * ((u - eye.fovea[0]) ** 2 + (v - eye.fovea[1]) ** 2) / 0.42**2)
    pit = np.exp(-0.5 * ((u - eye.fovea[0]) ** 2 + (v - eye.fovea[1]) ** 2) / 0.14**2)
    light *= 1 - 0.3 * macula - 0.16 * pit
    warmth = (
        0.05 * _texture(rng, view, 1.1)
        + 0.06 * away
        + 0.1 * smoothstep(u)
        + 0.25 * eye.choroid * ridges * (0.35 + 0.65 * away)
    )
    image = (light * view.exposure)[..., None] * eye.retina_rgb.astype(np.float32)
    image[..., 0] *= 1 + warmth
    image[..., 1] *= 1 - 0.25 * warmth - 0.12 * macula
    image[..., 2] *= 1 - 0.4 * warmth
    return image


def _paint_surroundings(image: Floats, eye: Anatomy, level: Floats, u: Floats, v: Floats) -> Floats:
    """Light scattered from the disc, a greyish crescent and peripapillary atrophy, all outside the disc."""
    outside = np.maximum(level - 1, 0) / 2
    temporal = u / (np.hypot(u, v) + 1e-6)
    glow = np.exp(-outside / 0.07)[..., None] * np.array([0.16, 0.06, 0.02])
    crescent = eye.dark_crescent * 0.22 * np.exp(-(((outside - 0.05) / 0.06) ** 2)) * smoothstep(0.4 + 0.6 * temporal)
    image = image * (1 - crescent[..., None] * np.array([1.0, 0.55, 0.5])) + glow
    if eye.atrophy <= 0:
        return image
    reach = eye.atrophy * smoothstep(0.25 + 0.75 * temporal) + 1e-3
    inside = smoothstep((reach - outside) / 0.035 + 0.5) * smoothstep(reach / 0.05)
    border = np.exp(-(((outside - reach) / 0.02) ** 2)) * smoothstep(reach / 0.08)
    tint = image * np.array([1.15, 1.3, 1.3]) + np.array([0.05, 0.05, 0.03])
    image = image + (tint - image) * inside[..., None] * 0.7
    return image * (1 - 0.12 * border[..., None])


def _paint_disc(image: Floats, eye: Anatomy, view: View, rng: np.random.Generator) -> Floats:
    u, v = view.u, view.v
    level = eye.disc.level(u, v)
    temporal = u / (np.hypot(u, v) + 1e-6)
    mottle = 1 + 0.035 * _texture(rng, view, 0.12) + 0.02 * _texture(rng, view, 0.035)
    holes = _texture(rng, view, 0.035)
    image = _paint_surroundings(image, eye, level, u, v)
    # On the nasal side and at the poles, thick nerve fibres blur the border; on the temporal side it is sharp.
    softness = eye.disc_edge * (1.5 - 0.7 * temporal)
    cover = smoothstep(0.5 - (level - 1) / 2 / (2 * softness))
    rim = (mottle * (0.97 + 0.12 * u - 0.05 * np.clip(level, 0, 1.2)))[..., None] * eye.rim_rgb
    cup_level = eye.cup.level(u, v)
    edge = eye.cup_edge / (eye.cup.height / 2)
    pallor = smoothstep(0.5 - (cup_level - 1) / (2 * edge)) * (0.6 + 0.4 * np.exp(-1.5 * cup_level**2))
    halo = 0.35 * np.exp(-(np.maximum(cup_level - 1, 0) * eye.cup.height / 0.25)) * (0.6 + 0.4 * temporal)
    pallor = np.clip(np.maximum(pallor, halo) * eye.cup_contrast * (0.95 + 0.25 * u), 0, 1)
    # Where the vessels rise out of the cup, they hide its pale floor.
    hilum = eye.cup.point(np.pi, 0.5)
    pallor *= 1 - 0.75 * np.exp(-0.5 * (((u - hilum[0]) / 0.06) ** 2 + ((v - hilum[1]) / 0.1) ** 2))
    sieve = 0.1 * np.clip((eye.cup.height - 0.45) * 3, 0, 1) * np.clip(holes - 0.3, 0, 1.5) * (cup_level < 0.8)
    floor = (mottle - sieve)[..., None] * eye.cup_rgb
    disc = (rim + (floor - rim) * pallor[..., None]) * (0.25 + 0.75 * view.exposure)
    return image + (disc - image) * cover[..., None]


def _trace(vessels: Sequence[Vessel], view: View) -> tuple[Floats, Floats]:
    """Distance to the nearest centre line in half widths, and the opacity there, both height x width."""
    nearest = np.full((view.height, view.width), 9.0, dtype=np.float32)
    opacity = np.zeros_like(nearest)
    # In small pictures, the steps of a path are shorter than the pixels require, and some are skipped.
    stride = int(np.clip(round(4 / (PATH_STEP * view.scale)), 1, 3))
    for vessel in vessels:
        points = view.pixels(vessel.points[::stride])
        thin = vessel.half_width[::stride] * view.scale
        # A vessel thinner than a pixel is drawn one pixel wide, but proportionally fainter.
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


def _paint_vessels(image: Floats, eye: Anatomy, view: View) -> Floats:
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


def _render_scene(eye: Anatomy, view: View, seed: int, disc: bool) -> Floats:
    rng = np.random.default_rng([seed, TEXTURE_STREAM])
    image = _paint_retina(eye, view, rng)
    if disc:
        image = _paint_disc(image, eye, view, rng)
    return _paint_vessels(image, eye, view).astype(np.float32)


def _photograph_scene(scene: Floats, style: CameraStyle, view: View, seed: int) -> Bytes:
    rng = np.random.default_rng([seed, CAMERA_STREAM])
    image = through_camera(scene, style, view.scale, rng, view.field_xy, view.field_radius)
    return as_jpeg(image, style.jpeg_quality)


def _rasterise(eye: Anatomy, view: View) -> Bytes:
    label = (eye.disc.level(view.u, view.v) < 1).astype(np.uint8)
    label[eye.cup.level(view.u, view.v) < 1] = 2
    return label


def compose_picture(eye: Anatomy, view: View, seed: int, camera: str, disc: bool) -> Phantom:
    """Render the picture and the label of an eye.

    Args:
        eye: the anatomy.
        view: the mapping to pixels.
        seed: seed of texture and grain.
        camera: a key of ``CAMERA_STYLES``.
        disc: whether to show the disc; without it the label is all zero.

    Returns:
        The phantom.

    Example:
        >>> from bundle.synthetic.phantoms.anatomy import draw_anatomy
        >>> view = View(64, 64, (31.5, 31.5), 30.0, 1, (31.5, 31.5), 100.0, exposure=1.0)
        >>> compose_picture(draw_anatomy(seed=3), view, seed=3, camera="plain", disc=True).image.shape
        (64, 64, 3)
    """
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
