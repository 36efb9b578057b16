"""Write the tables of every stage's keys into the reference.

    python scripts/write_reference.py [--check] [FILE]     # default: docs/reference/keys.md

What a key means stands in ``bundle/settings.py``, its default in the stage's config. ``--check`` changes nothing and
ends with status 1 if the page is not up to date.
"""

from __future__ import annotations

import argparse
import json
import sys
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bundle.settings import SETTINGS
from bundle.stages import BUNDLE_ROOT, STAGES

BEGIN, END = "<!-- keys -->\n", "<!-- end of keys -->\n"


def shown(default: Any) -> str:
    """A default as the page shows it; a component gives its value when the stage runs."""
    if isinstance(default, dict):
        return f"by `{default['_target_'].rpartition('.')[2]}`"
    text = default if isinstance(default, str) else json.dumps(default)
    return f"`{text.removeprefix('$')}`" if text else "–"


def stage_table(stage: str) -> list[str]:
    """The lines of one stage's part of the page."""
    config = json.loads((BUNDLE_ROOT / "configs" / f"{STAGES[stage]}.json").read_text(encoding="utf-8"))
    lines = [f"## `{stage}`", "", f"`configs/{STAGES[stage]}.json`", ""]
    lines += ["| key | default | may be | meaning |", "|---|---|---|---|"]
    for key in config:
        if key in SETTINGS:
            setting = SETTINGS[key]
            unit = f" ({setting.unit})" if setting.unit else ""
            lines.append(f"| `{key}` | {shown(config[key])} | {setting.allowed()}{unit} | {setting.description} |")
    parts = [f"`{key}`" for key, value in config.items() if isinstance(value, dict | list) and key not in SETTINGS]
    listed = textwrap.wrap(f"Components and tables: {', '.join(parts)}.", 120, break_on_hyphens=False)
    return [*lines, "", *listed, ""]


def page_with_tables(page: str) -> str:
    """The page with its tables written anew."""
    head, _, rest = page.partition(BEGIN)
    _, _, tail = rest.partition(END)
    tables = "\n".join(line for stage in STAGES for line in stage_table(stage))
    return f"{head}{BEGIN}\n{tables}\n{END}{tail}"


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the page, or check it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=Path, nargs="?", default=BUNDLE_ROOT / "docs" / "reference" / "keys.md")
    parser.add_argument("--check", action="store_true")
    call = parser.parse_args(arguments)
    page = call.file.read_text(encoding="utf-8")
    wanted = page_with_tables(page)
    if not call.check:
        call.file.write_text(wanted, encoding="utf-8")
    return int(call.check and page != wanted)


if __name__ == "__main__":
    sys.exit(main())
