"""Draw the README's picture from what `make demo` left: the whole photograph and a close-up, both with contours.

python scripts/readme_picture.py docs/images/retina.jpg
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from bundle.maintenance.pictures import readme_picture


def main(arguments: Sequence[str] | None = None) -> None:
    """Write the picture."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=Path)
    parser.add_argument("--demo", type=Path, default=Path("demo"), help="what make demo left")
    call = parser.parse_args(arguments)
    picture = readme_picture(call.demo)
    call.file.parent.mkdir(parents=True, exist_ok=True)
    picture.save(call.file, quality=85)


if __name__ == "__main__":
    main()
