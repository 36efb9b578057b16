"""Whether two checkouts of this project give the same masks, tables, page, adapted weights and scores.

    python scripts/same_behaviour.py record CHECKOUT FOLDER     # run every stage of a checkout, one thread, seed 0
    python scripts/same_behaviour.py compare FOLDER OTHER       # status 1 if anything differs

record uses this interpreter with the checkout's code. It segments the demo's photographs, refines and adapts by every
recipe to ten phantoms, and scores the shipped model on them: about 15 minutes. What is recorded already is kept.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from bundle.maintenance.behaviour import compare, record


def main(arguments: Sequence[str] | None = None) -> int:
    """Record or compare; 1 if anything differs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    for name, folders in {"record": ("checkout", "folder"), "compare": ("folder", "other")}.items():
        command = commands.add_parser(name)
        for folder in folders:
            command.add_argument(folder, type=Path)
    call = parser.parse_args(arguments)
    if call.command == "record":
        record(call.checkout.absolute(), call.folder.absolute())
        return 0
    return int(any(compare(call.folder, call.other).values()))


if __name__ == "__main__":
    sys.exit(main())
