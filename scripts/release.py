"""Pack the bundle as the zip that `monai.bundle download` unpacks.

    python scripts/release.py [--output dist]

writes optic_disc_cup_segmentation_v<version>.zip from the last commit, and prints its path and SHA-256.
"""

from __future__ import annotations

import argparse
import hashlib
from collections.abc import Sequence
from pathlib import Path

from bundle.command_line import end_in_one_line
from bundle.maintenance.release import pack
from bundle.stages import BUNDLE_ROOT


def main(arguments: Sequence[str] | None = None) -> None:
    """Pack and say where."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, default=BUNDLE_ROOT / "dist")
    path = pack(BUNDLE_ROOT, parser.parse_args(arguments).output)
    print(f"{path}\nsha256 {hashlib.sha256(path.read_bytes()).hexdigest()}")


if __name__ == "__main__":
    end_in_one_line()
    main()
