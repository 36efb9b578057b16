"""Put sample photographs into a folder: the real one that scikit-image ships, and made-up ones of several cameras.

python scripts/demo_input.py FOLDER
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from bundle.synthetic.samples import write_samples


def main(arguments: Sequence[str] | None = None) -> None:
    """Write the samples."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    write_samples(parser.parse_args(arguments).folder)


if __name__ == "__main__":
    main()
