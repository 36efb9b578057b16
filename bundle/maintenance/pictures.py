"""Pictures of the README and the documentation, drawn from the output of ``make demo``."""

from __future__ import annotations

import math
import shutil
import subprocess
import tempfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from bundle.errors import CallError
from bundle.morphometry.laterality import guess_laterality
from bundle.report.close_ups import close_up
from bundle.report.gallery import gallery
from bundle.report.overlays import draw_overlay
from bundle.synthetic.phantoms.photographs import make_crop

__all__ = ["inference_picture", "label_files", "labels_picture", "page_picture", "readme_picture", "rims_picture"]

SIDE = 620
"""Side of each half of the README's picture, in pixels."""
SECTOR = 30
"""Width of the sectors in which the rim is measured, in degrees."""
AFTER_DEMO = "Run make demo first."


def readme_picture(demo: Path) -> Image.Image:
    """Draw a whole photograph and a close-up of its disc, both with contours.

    Args:
        demo: folder of the demo.

    Raises:
        CallError: the demo was not run, or its mask shows no disc.
    """
    photograph, label = _photograph_and_mask(demo, "retina.jpg")
    near = close_up(photograph, label, size=SIDE)
    if near is None:
        raise CallError("the mask shows no disc.", AFTER_DEMO)
    whole = draw_overlay(photograph, label, width_share=0.006).resize((SIDE, SIDE), Image.Resampling.LANCZOS)
    return gallery([(whole, "the photograph"), (near, "close-up of the disc")], columns=2).convert("RGB")


def inference_picture(demo: Path) -> Image.Image:
    """Draw the shipped model's contours on a crop, on a whole photograph and on one without a disc.

    Args:
        demo: folder of the demo.

    Raises:
        CallError: the demo was not run.
    """
    tiles = []
    for name, caption in (
        ("crop_plain", "a crop: the whole picture is the view"),
        ("photograph_plain", "a photograph: the disc is found first"),
        ("photograph_without_disc", "no disc: nothing is drawn"),
    ):
        overlay = draw_overlay(*_photograph_and_mask(demo, f"{name}.png"))
        overlay.thumbnail((320, 320))
        tiles.append((overlay, caption))
    return gallery(tiles, columns=3)


def _photograph_and_mask(demo: Path, name: str) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    mask = demo / "output" / "masks" / f"{Path(name).stem}.png"
    if not mask.is_file():
        raise CallError(f"there is no {mask}.", AFTER_DEMO)
    return np.asarray(Image.open(demo / "input" / name)), np.asarray(Image.open(mask))


def rims_picture() -> Image.Image:
    """Draw a right and a left eye with the four sectors in which the rim is measured."""
    tiles = []
    # A disc small enough that the close-up has room for the sectors on every side.
    for eye, seed in (("right", 3), ("left", 2)):
        phantom = make_crop(seed, disc_share=0.2)
        image, label = phantom.image, phantom.label
        if phantom.laterality != eye:
            image, label = np.ascontiguousarray(image[:, ::-1]), np.ascontiguousarray(label[:, ::-1])
        picture = close_up(image, label, size=480, margin=0.3)
        assert picture is not None
        _draw_sectors(picture, "INST" if eye == "right" else "ITSN")
        guess = guess_laterality(image, label)
        tiles.append((picture, f"{eye} eye; guessed: {guess.eye}"))
    return gallery(tiles, columns=2)


def _draw_sectors(picture: Image.Image, letters: str) -> None:
    """Draw four sectors, below, right, above and left, each with its letter, into the picture."""
    draw, font = ImageDraw.Draw(picture), ImageFont.load_default(30)
    middle = picture.width / 2

    def point(degrees: float, reach: float) -> tuple[float, float]:
        angle = math.radians(degrees)
        return middle + reach * math.cos(angle), middle + reach * math.sin(angle)

    for letter, direction in zip(letters, (90, 0, 270, 180), strict=True):
        for side in (-SECTOR / 2, SECTOR / 2):
            draw.line([point(direction + side, reach) for reach in (60, 205)], fill=(255, 255, 255), width=2)
        place = point(direction, 222)
        draw.text(place, letter, (255, 255, 255), font, "mm", stroke_width=2, stroke_fill=(10, 22, 32))


def label_files(label: NDArray[np.uint8], label_format: str) -> dict[str, NDArray[np.uint8]]:
    """The files that hold a label in one of the label formats.

    Args:
        label: H x W, 0 background, 1 disc rim, 2 cup.
        label_format: ``index``, ``refuge`` or ``pair``.

    Returns:
        The pixels of each file, H x W of 8 bits, by its name in the folder of the photographs.

    Raises:
        KeyError: there is no such format.

    Example:
        >>> files = label_files(np.array([[0, 1, 2]], np.uint8), "refuge")
        >>> files["label/eye.png"].tolist()
        [[255, 128, 0]]
    """
    return {
        "index": {"label/eye.png": label},
        "refuge": {"label/eye.png": np.array([255, 128, 0], np.uint8)[label]},
        "pair": {"disc/eye.png": np.uint8(255) * (label >= 1), "cup/eye.png": np.uint8(255) * (label == 2)},
    }[label_format]


def labels_picture(label_format: str) -> Image.Image:
    """Draw a phantom and the files of its label, as a viewer shows them.

    Args:
        label_format: see ``label_files``. Labels of ``index`` are shown a second time, brightened, for they look black.

    Raises:
        KeyError: there is no such format.

    Example:
        >>> labels_picture("pair").size
        (472, 191)
    """
    phantom = make_crop(5, size=136, disc_share=0.22)
    tiles = [(Image.fromarray(phantom.image), "image/eye.png")]
    for name, pixels in label_files(phantom.label, label_format).items():
        tiles.append((Image.fromarray(pixels), name))
    if label_format == "index":
        tiles.append((Image.fromarray(phantom.label * np.uint8(100)), "the same, times 100"))
    return gallery(tiles, columns=3, background=(236, 240, 242))


def page_picture(demo: Path, fragment: str = "") -> Image.Image:
    """Take a screenshot of the demo's report.

    Args:
        demo: folder of the demo.
        fragment: end of the page's address, such as ``#retina.jpg`` for the view of that photograph.

    Raises:
        CallError: the demo was not run, or there is no Chromium.
    """
    page = demo / "output" / "report.html"
    if not page.is_file():
        raise CallError(f"there is no {page}.", AFTER_DEMO)
    program = shutil.which("chromium") or shutil.which("google-chrome")
    if program is None:
        raise CallError("there is no Chromium.", "Install it (Debian: apt install chromium).")
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        shot = Path(folder) / "page.png"
        flags = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--hide-scrollbars"]
        flags += [f"--user-data-dir={folder}/profile", "--window-size=1280,1000", "--virtual-time-budget=3000"]
        address = page.resolve().as_uri() + fragment
        subprocess.run([program, *flags, f"--screenshot={shot}", address], check=True, capture_output=True)
        with Image.open(shot) as picture:
            return picture.convert("RGB")
