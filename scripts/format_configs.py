"""Write the JSON configs as the house has them.

    python scripts/format_configs.py [--check] [FILE ...]     # default: configs/*.json

``bundle/io/config_text.py`` says how that is. ``--check`` changes nothing, names the files that are not so written, and
ends with status 1 if there are any.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from bundle.io.config_text import laid_out
from bundle.stages import BUNDLE_ROOT


def main() -> int:
    """Format, or check."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", type=Path, nargs="*")
    parser.add_argument("--check", action="store_true")
    args = parser.parse_args()
    wrong = []
    for path in args.files or sorted((BUNDLE_ROOT / "configs").glob("*.json")):
        text = path.read_text(encoding="utf-8")
        wanted = laid_out(json.loads(text)) + "\n"
        if text != wanted:
            wrong.append(path)
            if not args.check:
                path.write_text(wanted, encoding="utf-8")
    print(*wrong, sep="\n", end="\n" if wrong else "")
    return int(args.check and bool(wrong))


if __name__ == "__main__":
    sys.exit(main())
