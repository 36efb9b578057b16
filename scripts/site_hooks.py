"""What `make docs` does beyond MkDocs: pages of the root join the site, and links follow them.

Run by MkDocs (``mkdocs.yml`` names this file); ``python scripts/site_hooks.py`` prints where each page goes.
"""

from __future__ import annotations

import argparse
import posixpath
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
FROM_ROOT = {
    "README.md": "start.md",
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changelog.md",
    "models/README.md": "weights.md",
}
"""Pages outside ``docs`` and their place in the site."""
LEFT_OUT = (".py", ".ipynb", ".tar.xz")


def on_files(files: Any, config: Any) -> Any:
    """Add the pages of the root."""
    from mkdocs.structure.files import File

    for source, target in FROM_ROOT.items():
        files.append(File.generated(config, target, abs_src_path=str(ROOT / source)))
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Point the links of a page to where its targets lie in the site."""
    origin = {target: source for source, target in FROM_ROOT.items()}
    here = page.file.src_uri
    return moved_links(markdown, origin.get(here, f"docs/{here}"), here)


def moved_links(markdown: str, source: str, target: str) -> str:
    """Links relative to ``source`` in the checkout, made relative to ``target`` in the site.

    A link to a file that the site does not hold, such as the licence or a program, becomes its text.

    Example:
        >>> moved_links("[weights](../../models/README.md#speed)", "docs/how-to/a.md", "how-to/a.md")
        '[weights](../weights.md#speed)'
        >>> moved_links("[licence](LICENSE)", "README.md", "start.md")
        'licence'
    """

    def moved(match: re.Match[str]) -> str:
        picture, text, path, anchor = match.groups(default="")
        if not path or re.match(r"[a-z]+:", path):
            return match[0]
        full = posixpath.normpath(posixpath.join(posixpath.dirname(source), path))
        inside = full.startswith("docs/") and not full.endswith(LEFT_OUT)
        place = FROM_ROOT.get(full, full.removeprefix("docs/") if inside else "")
        if not place:
            return text
        return f"{picture}[{text}]({posixpath.relpath(place, posixpath.dirname(target) or '.')}{anchor})"

    return re.sub(r"(!?)\[([^\]]*)\]\(([^)#\s]*)(#[^)\s]*)?\)", moved, markdown)


def main(arguments: Sequence[str] | None = None) -> None:
    """Print where each page of the root goes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.parse_args(arguments)
    for source, target in FROM_ROOT.items():
        print(f"{source} -> {target}")


if __name__ == "__main__":
    main()
