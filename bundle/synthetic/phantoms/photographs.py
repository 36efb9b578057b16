"""Seeded, synthetic fundus photographs with exact optic disc and cup labels.

The phantoms replace photographs of people wherever the project needs pictures that it may publish: in its tests, its
demonstration and its documentation. Every pixel is computed from random numbers. Labels are rasterised from the
outlines alone and do not depend on the camera.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np
from PIL import Image

from bundle.synthetic.cameras import CAMERA_STYLES
from bundle.synthetic.phantoms.anatomy import draw_anatomy
from bundle.synthetic.phantoms.rendering import compose_picture
from bundle.synthetic.phantoms.shapes import VIEW_STREAM, Laterality, Phantom, View

__all__ = ["make_crop", "make_photograph", "write_dataset"]


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
        seed: a whole number of at least 0; it determines the eye, its place in the crop and the noise.
        camera: a key of ``CAMERA_STYLES``.
        size: size in pixels, one number for a square crop or ``(width, height)``; at least 32.
        disc_share: area of the disc as a share of the crop's area; ``None`` draws a share from 0.2 to 0.36 (less if the
            whole disc would not fit into a narrow crop).

    Returns:
        The phantom; its image is ``height x width x 3``, its label ``height x width``.

    Raises:
        ValueError: the seed, camera, size or disc share is not allowed; the message names the allowed values.

    Example:
        >>> phantom = make_crop(seed=3, camera="cool_hazy", size=64)
        >>> phantom.image.shape, np.unique(phantom.label).tolist()
        ((64, 64, 3), [0, 1, 2])
    """
    width, height = _checked_size(size)
    _check_seed_and_camera(seed, camera)
    eye = draw_anatomy(seed)
    rng = np.random.default_rng([seed, VIEW_STREAM])
    # A margin of 1.5 pixels stays free on all sides; the outline reaches up to 2 % further on one side of its centroid
    # than on the other.
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
    view = View(width, height, (float(center[0]), float(center[1])), scale, side, field, field_radius, exposure=1.0)
    return compose_picture(eye, view, seed, camera, disc=True)


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
        seed: a whole number of at least 0; it determines the eye, the gaze and the noise.
        camera: a key of ``CAMERA_STYLES``.
        size: ``(width, height)`` in pixels; at least 32 each.
        laterality: ``"right"`` or ``"left"``; ``None`` draws one at random. The other eye is the mirror image.
        visible_disc: ``False`` shows the temporal retina without the disc; the label is then all zero.
        surround: ``True`` shows the round field of view on black; ``False`` lets the field fill the frame.

    Returns:
        The phantom; its image is ``height x width x 3``, its label ``height x width``.

    Raises:
        ValueError: the seed, camera, size or laterality is not allowed; the message names the allowed values.

    Example:
        >>> phantom = make_photograph(seed=3, size=(64, 48), laterality="left")
        >>> phantom.image.shape, phantom.laterality
        ((48, 64, 3), 'left')
    """
    width, height = _checked_size(size)
    _check_seed_and_camera(seed, camera)
    if laterality not in (None, "right", "left"):
        raise ValueError(f"laterality is {laterality!r}; allowed are 'right', 'left' and None")
    eye = draw_anatomy(seed)
    rng = np.random.default_rng([seed, VIEW_STREAM])
    drawn_side = 1 if rng.random() < 0.5 else -1
    side = {"left": 1, "right": -1, None: drawn_side}[laterality]
    field_radius = min(width, height) * rng.uniform(0.485, 0.5) * (1.0 if rng.random() < 0.6 else 1.12)
    field_radius = field_radius if surround else float(np.hypot(width, height)) * 0.52
    scale = min(2 * field_radius / rng.uniform(6.3, 7.8), 0.8 * min(width, height))
    # The photograph is mostly centred between macula and disc, and sometimes on the disc.
    gaze = np.array([rng.uniform(1.6, 2.3) if rng.random() < 0.7 else rng.uniform(-0.2, 0.4), rng.uniform(-0.3, 0.4)])
    middle = np.array([width - 1, height - 1]) / 2
    reach = np.minimum(field_radius, [width / 2, height / 2]) / scale
    gaze = np.clip(gaze, 0.6 - reach, reach - 0.6)
    if not visible_disc:
        gaze[0] = reach[0] + 1.0
    disc_xy = middle - np.array([side, 1]) * gaze * scale
    field_xy = (float(middle[0]), float(middle[1]))
    place = (float(disc_xy[0]), float(disc_xy[1]))
    view = View(width, height, place, scale, side, field_xy, field_radius, exposure=rng.uniform(1.3, 1.8))
    return compose_picture(eye, view, seed, camera, disc=visible_disc)


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
        folder: folder to write to; created if necessary.
        count: number of phantoms, at least 1. Number ``i`` has the seed ``seed + i`` and the camera
            ``cameras[i % len(cameras)]``.
        kind: ``"crop"`` or ``"photograph"``.
        cameras: keys of ``CAMERA_STYLES``, at least one.
        seed: the first phantom's seed.
        labels: ``False`` writes no ``label`` folder.
        size: as for ``make_crop`` or ``make_photograph``; ``None`` means their default.

    Returns:
        The paths of the image files, in order.

    Raises:
        ValueError: an argument is not allowed; the message names the allowed values.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     [path.name for path in write_dataset(folder, 1, kind="crop", cameras=["harsh"], size=64)]
        ['phantom_harsh_0000.png']
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
