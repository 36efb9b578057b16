"""Values of any depth come out as bright as they were meant."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from bundle.data.ranges import in_byte_range

PATH = Path("a.png")


@pytest.mark.parametrize(
    ("top", "white"), [(200, 255), (255, 255), (256, 1023), (4080, 4095), (16383, 16383), (40000, 65535)]
)
@pytest.mark.parametrize("dtype", [np.uint16, np.int32, np.uint32, np.int64])
def test_wide_integers_by_the_smallest_usual_depth(top: int, white: int, dtype: type) -> None:
    scaled = in_byte_range(PATH, np.array([[0, top // 2, top]], dtype))
    assert scaled.dtype == np.float32
    np.testing.assert_allclose(scaled, np.array([[0, top // 2, top]]) * (255 / white), rtol=1e-6)


def test_beyond_all_depths_by_the_maximum() -> None:
    assert in_byte_range(PATH, np.array([0, 100_000], np.uint32)).tolist() == [0, 255]


def test_bytes_pass_as_they_are() -> None:
    values = np.arange(3, dtype=np.uint8)
    assert in_byte_range(PATH, values) is values
