"""Contours are drawn where the structures are."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from ignite.engine import Engine
from monai.transforms import ScaleIntensityRanged
from torch.utils.tensorboard import SummaryWriter

from bundle.handlers.contour_images import ContourImages


class Pictures(SummaryWriter):
    """Keeps what is written instead of writing it."""

    def __init__(self) -> None:
        self.images: list[tuple[str, int, np.ndarray]] = []

    def add_image(
        self, tag: str, img_tensor: Any, global_step: Any = None, walltime: Any = None, dataformats: str = "CHW"
    ) -> None:
        assert dataformats == "HWC"
        self.images.append((tag, global_step, img_tensor))

    def flush(self) -> None:
        pass


def contours(count, label=True, size=64):
    """Run the handler over three photographs; returns the pictures of two runs."""
    scale = ScaleIntensityRanged("image", a_min=20, a_max=240, b_min=-0.9921875, b_max=1.0)
    writer = Pictures()
    handler = ContourImages(writer, scale, count=count, size=size)
    disc = torch.zeros(2, 64, 64, dtype=torch.uint8)
    # 40 columns from x = 4 and 30 rows from y = 10: x and y are told apart.
    disc[0, 4:44, 10:40] = 1
    logits = torch.zeros(3, 64, 64)
    logits[0] = 5
    logits[1, 30:60, 40:60] = 9

    def iterate(engine, name):
        image = scale({"image": torch.full((3, 64, 64), 100.0)})["image"]
        engine.state.batch = [{"name": name, "image": image}]
        return [{"pred": logits} | ({"label": disc} if label else {})]

    engine = Engine(iterate)
    handler.attach(engine)
    engine.run(["a", "b", "c"], max_epochs=2)
    return writer.images


def line(tile):
    """Columns and rows of the disc's solid line."""
    rows, columns = np.where((tile.astype(int) - (0, 229, 255)).__abs__().sum(axis=2) < 60)
    return columns.min(), columns.max(), rows.min(), rows.max()


def test_contours_lie_where_the_structures_do_and_the_label_above_the_prediction():
    pictures = contours(1)
    assert [(tag, step) for tag, step, _ in pictures] == [("contours", 1), ("contours", 2)]
    sheet = pictures[1][2]
    assert sheet.shape[1] == 64 + 2 * 16
    half = sheet.shape[0] // 2
    label, prediction = sheet[16:80, 16:80], sheet[half + 8 :][:64, 16:80]
    assert line(label) == pytest.approx((4, 43, 10, 39), abs=1)
    assert line(prediction) == pytest.approx((30, 59, 40, 59), abs=1)
    assert np.median(sheet[20:80, 60:78]) == 100


def test_without_labels_the_first_run_is_what_later_ones_are_compared_with():
    first, second = (picture[16:80, 16:80] for _, _, picture in contours(2, label=False))
    assert np.array_equal(first, second)
    assert line(first) == pytest.approx((30, 59, 40, 59), abs=1)


def test_as_many_photographs_are_drawn_as_were_asked_for():
    assert contours(0) == []
    assert contours(2)[0][2].shape[1] == 2 * 64 + 3 * 16
    assert contours(9)[0][2].shape[1] == 3 * 64 + 4 * 16
