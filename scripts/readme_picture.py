"""Draw the README's picture from what `make demo` left: the whole photograph and a close-up, both with contours.

Usage: python scripts/readme_picture.py docs/images/retina.jpg
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from PIL import Image

from bundle.report.close_ups import close_up
from bundle.report.gallery import gallery
from bundle.report.overlays import draw_overlay

DEMO = Path("demo")
SIDE = 620


def main(target: Path) -> None:
    """Write the picture."""
    photograph = np.asarray(Image.open(DEMO / "input" / "retina.jpg"))
    label = np.asarray(Image.open(DEMO / "output" / "masks" / "retina.png"))
    near = close_up(photograph, label, size=SIDE)
    if near is None:
        sys.exit("error: the mask shows no disc. Run make demo first.")
    whole = draw_overlay(photograph, label, width_share=0.006).resize((SIDE, SIDE), Image.Resampling.LANCZOS)
    target.parent.mkdir(parents=True, exist_ok=True)
    gallery([(whole, "the photograph"), (near, "close-up of the disc")], columns=2).convert("RGB").save(
        target, quality=85
    )


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python scripts/readme_picture.py FILE")
    main(Path(sys.argv[1]))
