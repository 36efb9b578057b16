"""The documentation builds as a site without a warning, and the site loads nothing from elsewhere."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from bundle.stages import BUNDLE_ROOT

pytestmark = pytest.mark.skipif(find_spec("mkdocs") is None, reason="MkDocs is not installed (extra: test)")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    call = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(folder)]
    environment = os.environ | {"NO_MKDOCS_2_WARNING": "1"}
    ended = subprocess.run(call, cwd=BUNDLE_ROOT, env=environment, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return folder


def test_every_document_is_a_page(site):
    for page in (BUNDLE_ROOT / "docs").rglob("*.md"):
        name = page.relative_to(BUNDLE_ROOT / "docs").with_suffix(".html")
        assert (site / ("index.html" if name.name == "README.html" else str(name))).is_file()
    for added in ("start", "contributing", "changelog", "weights"):
        assert (site / f"{added}.html").is_file()


def test_a_page_loads_nothing_from_elsewhere(site):
    for page in site.rglob("*.html"):
        text = page.read_text(encoding="utf-8")
        assert not re.findall(r'<(?:script|img|iframe)[^>]*src="(?:https?:)?//', text), page
        assert not re.findall(r'<link[^>]*rel="(?:stylesheet|preconnect|preload)"[^>]*href="(?:https?:)?//', text), page


def test_the_api_page_shows_what_a_user_calls_and_what_a_config_names(site):
    text = (site / "reference" / "api.html").read_text(encoding="utf-8")
    configs = "".join(path.read_text(encoding="utf-8") for path in (BUNDLE_ROOT / "configs").glob("*.json"))
    components = re.findall(r'_target_": "(bundle\.[\w.]+)"', configs)
    assert len(components) > 40
    for name in ("bundle.load", "bundle.segment", "bundle.adapt", *components):
        assert f'id="{name}"' in text, f"add ::: {name} to docs/reference/api.md"
