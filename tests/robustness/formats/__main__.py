"""Write the table of formats into the reference, or check it.

python -m tests.robustness.formats [--check]     # docs/reference/formats.md
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from bundle.stages import BUNDLE_ROOT
from tests.robustness.formats.table import all_outcomes, differences, page_with_table


def main(arguments: Sequence[str] | None = None) -> int:
    """Status 1 if a variant is read differently or, with ``--check``, the page is not up to date."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="change nothing")
    check = parser.parse_args(arguments).check
    path = BUNDLE_ROOT / "docs" / "reference" / "formats.md"
    found, page = all_outcomes(), path.read_text(encoding="utf-8")
    wanted = page_with_table(page, found)
    if not check:
        path.write_text(wanted, encoding="utf-8")
    wrong = differences(found)
    print(*wrong, sep="\n", file=sys.stderr, end="\n" if wrong else "")
    return int(bool(wrong) or (check and page != wanted))


if __name__ == "__main__":
    sys.exit(main())
