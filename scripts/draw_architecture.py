"""Draw the pictures of the architecture page: the rooms as the code imports them, and three walks.

    python scripts/draw_architecture.py [--check] [FOLDER]     # default: docs/images

``--check`` changes nothing and ends with status 1 if a picture is not up to date.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from bundle.maintenance.architecture import WALKS, rooms_picture, walk_picture
from bundle.stages import BUNDLE_ROOT


def main(arguments: Sequence[str] | None = None) -> int:
    """Draw, or check."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, nargs="?", default=BUNDLE_ROOT / "docs" / "images")
    parser.add_argument("--check", action="store_true")
    call = parser.parse_args(arguments)
    pictures = {f"walk_{name}": walk_picture(steps) for name, steps in WALKS.items()}
    pictures["rooms"] = rooms_picture(BUNDLE_ROOT / "bundle")
    stale = []
    for name, svg in pictures.items():
        path = call.folder / f"{name}.svg"
        if not path.is_file() or path.read_text(encoding="utf-8") != svg:
            stale.append(path)
            if not call.check:
                path.write_text(svg, encoding="utf-8")
    print(*stale, sep="\n", end="\n" if stale else "")
    return int(call.check and bool(stale))


if __name__ == "__main__":
    sys.exit(main())
