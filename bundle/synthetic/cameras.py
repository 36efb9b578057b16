"""Simulated cameras, which differ in colour, exposure, focus, vignetting, grain and compression."""

from __future__ import annotations

import io
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

__all__ = ["CAMERA_STYLES", "CameraStyle", "as_jpeg", "through_camera"]

Floats = NDArray[np.floating]
_GRAIN = 0.006
"""Size of the sensor's grain, in disc heights."""


@dataclass(frozen=True)
class CameraStyle:
    """Settings of a simulated camera; its effects are applied in the order of the fields.

    Attributes:
        name: key in ``CAMERA_STYLES``.
        blur: standard deviation of the defocus, in disc heights.
        gain: factors on red, green and blue (the colour cast).
        brightness: factor on all channels.
        contrast: factor on the distance from mid-grey (0.4 of full scale); 1 changes nothing.
        gamma: exponent on intensities in [0, 1]; above 1 it darkens the middle tones.
        haze: share of a pale veil that is mixed in, in [0, 1].
        vignetting: share of the light that is lost at the edge of the field of view, in [0, 1].
        noise: standard deviation of the grain, as a share of full scale.
        jpeg_quality: Pillow's JPEG quality, 1 to 95.

    Example:
        >>> CameraStyle("dark", brightness=0.5).contrast
        1.0
    """

    name: str
    blur: float = 0.004
    gain: tuple[float, float, float] = (1.0, 1.0, 1.0)
    brightness: float = 1.0
    contrast: float = 1.0
    gamma: float = 1.0
    haze: float = 0.0
    vignetting: float = 0.18
    noise: float = 0.012
    jpeg_quality: int = 92


CAMERA_STYLES: dict[str, CameraStyle] = {
    style.name: style
    for style in (
        CameraStyle("plain"),
        CameraStyle("tight_red", blur=0.010, gain=(1.06, 0.88, 0.40), brightness=0.93, gamma=1.12, noise=0.008),
        CameraStyle("dim_blurred", blur=0.022, brightness=0.66, vignetting=0.35, noise=0.016, jpeg_quality=85),
        CameraStyle("cool_hazy", blur=0.012, gain=(0.86, 1.02, 1.4), contrast=0.85, haze=0.2, noise=0.012),
        CameraStyle("harsh", blur=0.002, brightness=1.1, contrast=1.45, vignetting=0.2, noise=0.04, jpeg_quality=35),
    )
}


def through_camera(
    scene: Floats,
    style: CameraStyle,
    disc_height: float,
    rng: np.random.Generator,
    axis_xy: tuple[float, float],
    field_radius: float,
    field_edge: bool = True,
) -> Floats:
    """The picture that a camera takes of a scene, before compression.

    Args:
        scene: H x W x 3, in [0, 1].
        style: the camera.
        disc_height: height of the disc in pixels, the unit of blur and grain.
        rng: random generator of the grain.
        axis_xy: point (x, y) at which the optical axis meets the picture, in pixels.
        field_radius: radius of the round field of view, in pixels.
        field_edge: whether to darken everything outside the field of view.

    Returns:
        H x W x 3, approximately in [0, 1].

    Example:
        >>> scene = np.full((8, 8, 3), 0.4, dtype=np.float32)
        >>> dark = CameraStyle("dark", brightness=0.5, vignetting=0.0, noise=0.0)
        >>> picture = through_camera(scene, dark, 4.0, np.random.default_rng(0), (3.5, 3.5), 4.0, field_edge=False)
        >>> picture.shape, round(float(picture.mean()), 2)
        ((8, 8, 3), 0.2)
    """
    height, width = scene.shape[:2]
    sigma = style.blur * disc_height
    image = ndimage.gaussian_filter(scene, (sigma, sigma, 0), mode="nearest", truncate=3)
    image = image * (np.array(style.gain) * style.brightness).astype(np.float32)
    image = np.clip(0.4 + (image - 0.4) * style.contrast, 0, 1) ** style.gamma
    image = image * (1 - style.haze) + style.haze * np.array([0.62, 0.60, 0.58], dtype=np.float32)
    from_axis = np.hypot(np.arange(width)[None, :] - axis_xy[0], np.arange(height)[:, None] - axis_xy[1])
    image *= (1 - style.vignetting * np.minimum(from_axis / field_radius, 1.2) ** 2)[..., None]
    grain = _grain(rng, (height, width), _GRAIN * disc_height, style.noise)
    if not field_edge:
        return image + grain
    lit = np.clip((field_radius - from_axis) / max(0.01 * disc_height, 1.0), 0, 1)[..., None]
    return image * lit + (1 - lit) * 0.012 + grain * (0.15 + 0.85 * lit)


def as_jpeg(image: Floats, quality: int) -> NDArray[np.uint8]:
    """Compress an image as JPEG and return the decoded pixels.

    Args:
        image: H x W x 3; values are clipped to [0, 1].
        quality: Pillow's JPEG quality, 1 to 95.

    Returns:
        H x W x 3, ``uint8``.

    Example:
        >>> as_jpeg(np.ones((8, 8, 3)), quality=92).max()
        np.uint8(255)
    """
    encoded = io.BytesIO()
    Image.fromarray(np.round(np.clip(image, 0, 1) * 255).astype(np.uint8)).save(encoded, "JPEG", quality=quality)
    return np.asarray(Image.open(encoded).convert("RGB")).copy()


def _grain(rng: np.random.Generator, shape: tuple[int, int], pitch: float, noise: float) -> Floats:
    """Sensor grain of a fixed size on the eye, ``pitch`` pixels; larger pixels average over several grains."""
    coarse = max(1.0, pitch)
    height, width = (int(np.ceil(side / coarse)) + 1 for side in shape)
    field = rng.standard_normal((height, width, 3), dtype=np.float32)
    field = 0.75 * field.mean(axis=2, keepdims=True) * 1.7 + 0.45 * field
    if coarse > 1:
        field = ndimage.zoom(field, (coarse, coarse, 1), order=1)
    return field[: shape[0], : shape[1]] * noise * min(1.0, pitch)
