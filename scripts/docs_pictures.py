"""Draw the pictures of docs/report.md and docs/inference.md from what `make demo` left, with Chromium for the page.

Usage: python scripts/docs_pictures.py docs/images
"""

from __future__ import annotations

import math
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from bundle.morphometry.laterality import guess_laterality
from bundle.report.close_ups import close_up
from bundle.report.gallery import gallery
from bundle.report.overlays import draw_overlay
from bundle.synthetic.phantoms.photographs import make_crop

DEMO = Path("demo")
WIDTH = 1000
SECTOR = 30


def inference_picture() -> Image.Image:
    """What comes out for a crop, a whole photograph and one without a disc, with the contours of the shipped model."""
    tiles = []
    for name, caption in (
        ("crop_plain", "a crop: the whole picture is the view"),
        ("photograph_plain", "a photograph: the disc is found first"),
        ("photograph_without_disc", "no disc: nothing is drawn"),
    ):
        photograph = np.asarray(Image.open(DEMO / "input" / f"{name}.png"))
        overlay = draw_overlay(photograph, np.asarray(Image.open(DEMO / "output" / "masks" / f"{name}.png")))
        overlay.thumbnail((320, 320))
        tiles.append((overlay, caption))
    return gallery(tiles, columns=3)


def rims_picture() -> Image.Image:
    """A right and a left eye with the four sectors in which the rim is measured."""
    tiles = []
    # Small enough that the close-up has room for the sectors on every side.
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
    """Sectors below, to the right, above and to the left, with a letter each, in place."""
    draw, font = ImageDraw.Draw(picture), ImageFont.load_default(30)
    middle = picture.width / 2
    for letter, direction in zip(letters, (90, 0, 270, 180), strict=True):
        for side in (-SECTOR / 2, SECTOR / 2):
            x, y = (f(math.radians(direction + side)) for f in (math.cos, math.sin))
            ends = [(middle + reach * x, middle + reach * y) for reach in (60, 205)]
            draw.line(ends, fill=(255, 255, 255), width=2)
        x, y = (middle + 222 * f(math.radians(direction)) for f in (math.cos, math.sin))
        draw.text((x, y), letter, (255, 255, 255), font, "mm", stroke_width=2, stroke_fill=(10, 22, 32))


def page_picture(fragment: str) -> Image.Image:
    """A screenshot of the demo's report."""
    program = shutil.which("chromium") or shutil.which("google-chrome")
    if program is None:
        sys.exit("error: there is no Chromium. Install it (Debian: apt install chromium).")
    page = (DEMO / "output" / "report.html").resolve().as_uri()
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        shot = Path(folder) / "page.png"
        flags = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--hide-scrollbars"]
        flags += [f"--user-data-dir={folder}/profile", "--window-size=1280,1000", "--virtual-time-budget=3000"]
        subprocess.run([program, *flags, f"--screenshot={shot}", page + fragment], check=True, capture_output=True)
        with Image.open(shot) as picture:
            return picture.convert("RGB")


def main(folder: Path) -> None:
    """Write the pictures."""
    pictures = {
        "inference": inference_picture(),
        "rims": rims_picture(),
        "report": page_picture(""),
        "viewer": page_picture("#retina.jpg"),
    }
    for name, picture in pictures.items():
        picture.thumbnail((WIDTH, WIDTH))
        picture.save(folder / f"{name}.jpg", quality=82, optimize=True)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python scripts/docs_pictures.py FOLDER")
    if not (DEMO / "output" / "report.html").is_file():
        sys.exit("error: there is no demo/output/report.html. Run make demo first.")
    main(Path(sys.argv[1]))
