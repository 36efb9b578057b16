"""What a camera does to the same eye: colour, exposure, focus, vignetting, grain and compression."""

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


@dataclass(frozen=True)
class CameraStyle:
    """How a camera turns the same eye into another picture; applied in the order of the fields.

    Attributes:
        name: the key in ``CAMERA_STYLES``.
        blur: standard deviation of the defocus, in disc heights.
        gain: factors on red, green and blue (the colour cast).
        brightness: factor on all channels.
        contrast: factor on the distance from mid-grey (0.4 of full scale); 1 leaves it.
        gamma: exponent on intensities in 0..1; above 1 darkens the middle tones.
        haze: share (0..1) of a pale veil that is mixed in.
        vignetting: share (0..1) of the light that is lost at the corner of the view.
        noise: standard deviation of the grain, as a share of full scale.
        jpeg_quality: Pillow's JPEG quality, 1..95.
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
    """The picture that a camera of this style takes of a scene, before compression.

    Args:
        scene: H x W x 3, 0..1.
        style: the camera.
        disc_height: in pixels; blur and grain are measured by it.
        rng: of the grain.
        axis_xy: where the optical axis meets the picture, in pixels.
        field_radius: of the round field of view, in pixels.
        field_edge: darken what lies outside the field of view.

    Returns:
        H x W x 3, about 0..1.
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
    """Pixels (H x W x 3, 0..255) of an image (0..1) after JPEG compression."""
    encoded = io.BytesIO()
    Image.fromarray(np.round(np.clip(image, 0, 1) * 255).astype(np.uint8)).save(encoded, "JPEG", quality=quality)
    return np.asarray(Image.open(encoded).convert("RGB")).copy()


def _grain(rng: np.random.Generator, shape: tuple[int, int], pitch: float, noise: float) -> Floats:
    """Sensor grain of fixed size on the eye; pixels larger than a grain (``pitch`` pixels) average over several."""
    coarse = max(1.0, pitch)
    height, width = (int(np.ceil(side / coarse)) + 1 for side in shape)
    field = rng.standard_normal((height, width, 3), dtype=np.float32)
    field = 0.75 * field.mean(axis=2, keepdims=True) * 1.7 + 0.45 * field
    if coarse > 1:
        field = ndimage.zoom(field, (coarse, coarse, 1), order=1)
    return field[: shape[0], : shape[1]] * noise * min(1.0, pitch)
