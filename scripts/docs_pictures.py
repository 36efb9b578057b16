"""Draw the documents' pictures from what `make demo` left, with Chromium for those of the report's page.

python scripts/docs_pictures.py docs/images
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from bundle.maintenance.pictures import inference_picture, page_picture, rims_picture

WIDTH = 1000


def main(arguments: Sequence[str] | None = None) -> None:
    """Write the pictures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--demo", type=Path, default=Path("demo"), help="what make demo left")
    call = parser.parse_args(arguments)
    pictures = {
        "report": page_picture(call.demo),
        "viewer": page_picture(call.demo, "#retina.jpg"),
        "inference": inference_picture(call.demo),
        "rims": rims_picture(),
    }
    for name, picture in pictures.items():
        picture.thumbnail((WIDTH, WIDTH))
        picture.save(call.folder / f"{name}.jpg", quality=82, optimize=True)


if __name__ == "__main__":
    main()
