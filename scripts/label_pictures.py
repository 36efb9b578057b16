"""Draw a made-up photograph beside its label in each label format, for docs/reference/formats.md.

python scripts/label_pictures.py docs/images
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from bundle.maintenance.pictures import labels_picture


def main(arguments: Sequence[str] | None = None) -> None:
    """Write ``labels_<format>.png`` for each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    call = parser.parse_args(arguments)
    for label_format in ("index", "refuge", "pair"):
        picture = labels_picture(label_format).quantize(128)
        picture.save(call.folder / f"labels_{label_format}.png", optimize=True)


if __name__ == "__main__":
    main()
