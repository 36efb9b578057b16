"""A label's file means its colours or its indices, and a mask of several readers what most of them meant."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import permutations
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from bundle.data.label_values import foreground, label_values
from bundle.errors import UnreadablePhotographError
from tests.data.test_label_reader import expect_label, label_pattern, label_refusal


def save_palette(path: Path, indices: np.ndarray, colours: Sequence[tuple[int, int, int]]) -> str:
    picture = Image.fromarray(indices)
    picture.putpalette([part for colour in colours for part in colour])
    picture.save(path)
    with Image.open(path) as stored:
        assert stored.mode == "P"
    return str(path)


def greys(*levels: int) -> list[tuple[int, int, int]]:
    return [(level, level, level) for level in levels]


@pytest.mark.parametrize("order", list(permutations(range(3))))
def test_a_palette_of_the_greys_in_any_order(tmp_path: Path, order: tuple[int, ...]) -> None:
    # Entry i holds the grey order[i], as a program leaves it that saves space without loss.
    indices = np.argsort(order).astype(np.uint8)[label_pattern()]
    expect_label(save_palette(tmp_path / "a.png", indices, greys(*order)))
    refuge = greys(*(255 - level if level != 1 else 128 for level in np.array([0, 1, 255])[list(order)]))
    expect_label(save_palette(tmp_path / "b.png", indices, refuge), "refuge")
    if order != (0, 1, 2):
        shown = greys(*np.array([0, 128, 255])[list(order)].tolist())
        assert "0, 128, 255" in label_refusal(save_palette(tmp_path / "c.png", indices, shown))


@pytest.mark.parametrize(
    "colours",
    [[(0, 0, 0), (200, 0, 0), (0, 200, 0)], greys(0, 128, 255), greys(0, 100, 200), [(9, 9, 9), (5, 0, 0), (0, 5, 0)]],
)
def test_a_palette_of_other_colours_means_its_indices(tmp_path: Path, colours: list[tuple[int, int, int]]) -> None:
    expect_label(save_palette(tmp_path / "a.png", label_pattern(), colours))


def test_wide_labels_mean_their_values(tmp_path: Path) -> None:
    colour = np.repeat(label_pattern()[..., None], 3, axis=-1).astype(np.uint16)
    tifffile.imwrite(tmp_path / "a.tif", np.moveaxis(colour, -1, 0), planarconfig="separate", photometric="rgb")
    expect_label(str(tmp_path / "a.tif"))
    tifffile.imwrite(tmp_path / "b.tif", label_pattern().astype(np.uint32))
    expect_label(str(tmp_path / "b.tif"))
    tifffile.imwrite(tmp_path / "c.tif", label_pattern(), photometric="miniswhite")
    assert "253, 254, 255" in label_refusal(str(tmp_path / "c.tif"))
    assert label_values(tmp_path / "a.tif", by_index=True).shape == label_pattern().T.shape


@pytest.mark.parametrize("readers", [2, 3, 4, 5, 6])
def test_an_average_of_readers_is_cut_at_half(readers: int) -> None:
    votes = np.arange(readers + 1)
    more = votes > readers / 2
    levels = np.rint(votes * 255 / readers).astype(np.uint8)
    levels[levels == 128] = 127
    np.testing.assert_array_equal(foreground(Path("a.png"), levels), more)
    np.testing.assert_array_equal(foreground(Path("a.tif"), votes / readers), more)
    wide = np.rint(votes * 65535 / readers).astype(np.uint16)
    wide[votes * 2 == readers] = 32767
    np.testing.assert_array_equal(foreground(Path("a.tif"), wide), more)


def test_a_mask_that_nowhere_reaches_the_maximum() -> None:
    assert foreground(Path("a.png"), np.array([0, 64, 191], np.uint8)).tolist() == [False, False, True]


@pytest.mark.parametrize("values", [[0, 1, 2], [0, 40, 100], [0, 300, 20_000], [-1.0, 0.0, 1.0], [0.0, 1.0, np.nan]])
def test_a_mask_without_a_clear_edge_is_refused(values: list[float]) -> None:
    with pytest.raises(UnreadablePhotographError, match="save it as 0 and 255"):
        foreground(Path("a.png"), np.array(values))
