"""Each epoch and each seed draws otherwise."""

from __future__ import annotations

import pytest

from tests.support.resumable import Run

pytestmark = pytest.mark.usefixtures("_determinism")


def test_epochs_and_seeds_draw_differently(tmp_path):
    one, other = Run(tmp_path / "a.pt").run(), Run(tmp_path / "b.pt", seed=4).run()
    assert len({draw[1:] for draw in one.draws + other.draws}) == 24
    assert len({draw[3] for draw in one.draws}) == 12
