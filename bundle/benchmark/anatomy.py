"""Measure the shapes of the discs and cups that readers drew, which the limits of ``implausibility`` lie beyond.

    python -m bundle.benchmark.anatomy FOLDER...

Each FOLDER has ``image/`` and ``label/``. Prints, of all labels of a folder, the extremes.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from bundle.benchmark.markdown import table
from bundle.data.label_reader import LabelReader
from bundle.data.listing import list_photographs
from bundle.morphometry.cup_disc import bounding_box, clean
from bundle.morphometry.plausibility import shape_of

__all__ = ["extremes", "main"]

HEADER = ["folder", "labels", "longest", "least solid", "flattest", "tallest", "least solid cup", "widest cup"]


def main(arguments: Sequence[str] | None = None) -> None:
    """Print a row for each folder."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", type=Path, nargs="+")
    call = parser.parse_args(arguments)
    reader = LabelReader()
    rows = []
    for folder in call.folders:
        items = list_photographs(folder, labels="required")
        labels = [clean(reader.get_data(reader.read(item["label"]))[0].T) for item in items]
        rows.append(["/".join(folder.parts[-2:]), *extremes(labels)])
    print("\n".join(table(HEADER, rows)))


def extremes(labels: Sequence[np.ndarray]) -> list[str]:
    """Number of labels with a disc, and the extremes of their shapes; see ``HEADER``.

    Example:
        >>> y, x = np.mgrid[:99, :99] - 49
        >>> extremes([(np.hypot(x, y) < 40).astype(np.uint8) + (np.hypot(x, y) < 20)])
        ['1', '1.00', '0.987', '0.22', '0.80', '0.981', '0.50']
    """
    shapes, cups, heights, ratios = [], [], [], [math.nan]
    for label in labels:
        box = bounding_box(label > 0)
        if box is None:
            continue
        part = label[box]
        shapes.append(shape_of(part > 0))
        heights.append(part.shape[0] / max(label.shape))
        if (part == 2).any():
            cups.append(shape_of(part == 2))
            ratios.append(math.sqrt(np.count_nonzero(part == 2) / np.count_nonzero(part)))
    return [
        str(len(shapes)),
        f"{max(shape.length for shape in shapes):.2f}",
        f"{min(shape.solidity for shape in shapes):.3f}",
        f"{max(shape.flatness for shape in shapes):.2f}",
        f"{max(heights):.2f}",
        f"{min((shape.solidity for shape in cups), default=math.nan):.3f}",
        f"{np.nanmax(ratios) if cups else math.nan:.2f}",
    ]


if __name__ == "__main__":
    main()
