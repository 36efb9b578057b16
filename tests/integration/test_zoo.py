"""The release passes the model zoo's checks of style, with the zoo's settings and its layout; see ``make test-zoo``."""

from __future__ import annotations

import shutil
import subprocess
import sys
from importlib.util import find_spec

import pytest

from bundle.maintenance import release
from bundle.stages import BUNDLE_ROOT

TOOLS = ("isort", "black", "flake8", "bugbear", "pep8ext_naming")
pytestmark = pytest.mark.skipif(
    any(find_spec(tool) is None for tool in TOOLS), reason="needs an environment of its own: make test-zoo"
)
SETTINGS = """
[flake8]
select = B,C,E,F,N,P,T4,W,B9
ignore = E203,E501,E741,W503,W504,C408,N812,B023
max_line_length = 120
per_file_ignores = __init__.py: F401, __main__.py: F401

[isort]
known_first_party = models
profile = black
line_length = 120
"""
CHECKS = {
    "isort": ("isort", "--check", "."),
    "black": ("black", "--skip-magic-trailing-comma", "--line-length", "120", "--check", "--quiet", "."),
    "flake8": ("flake8", "."),
}


@pytest.fixture(scope="module")
def zoo(tmp_path_factory):
    """The zoo's checkout with the released files in it."""
    folder = tmp_path_factory.mktemp("zoo")
    (folder / "setup.cfg").write_text(SETTINGS)
    for name in release.PACKED:
        target = folder / "models" / release.NAME / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if (BUNDLE_ROOT / name).is_dir():
            shutil.copytree(BUNDLE_ROOT / name, target, ignore=shutil.ignore_patterns("__pycache__", "*.pt"))
        else:
            shutil.copyfile(BUNDLE_ROOT / name, target)
    return folder


@pytest.mark.parametrize("tool", CHECKS)
def test_the_release_passes(tool, zoo):
    done = subprocess.run(
        [sys.executable, "-m", *CHECKS[tool]], cwd=zoo, capture_output=True, text=True, check=False, timeout=280
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
