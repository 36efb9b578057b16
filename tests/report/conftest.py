"""A photograph with a disc of known size and place, for all that is drawn on it."""

from __future__ import annotations

import numpy as np
import pytest

from tests.support.drawn_disc import drawn_image, drawn_label


@pytest.fixture
def image() -> np.ndarray:
    return drawn_image()


@pytest.fixture
def label() -> np.ndarray:
    return drawn_label()
