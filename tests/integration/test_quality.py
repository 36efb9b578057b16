"""Pictures of rising severity: the fault is named before, or when, the shipped model's contour fails."""

from __future__ import annotations

import csv
import itertools
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy import ndimage
from skimage import data

from bundle.stages import run_stage
from bundle.synthetic.phantoms.photographs import make_crop

SIZE = 256
SEED = 5
FAILED = 0.85


def darkened(image, label, severity):
    return image * (1, 0.5, 0.25, 0.12, 0.05)[severity], label


def overexposed(image, label, severity):
    return image * (1, 1.5, 2.5, 4, 8)[severity], label


def blurred(image, label, severity):
    sigma = (0, 3, 6, 9, 14)[severity]
    return ndimage.gaussian_filter(image, (sigma, sigma, 0)), label


def cut(image, label, severity):
    """What lies above a line through the disc is not in the picture."""
    rows = np.flatnonzero(label.any(axis=1))
    start = round(rows[0] + (-0.2, 0.05, 0.2, 0.4, 0.7)[severity] * len(rows)) if severity else 0
    return image[start:], label[start:]


def no_fundus(image, label, severity):
    other = np.asarray(Image.fromarray(data.astronaut()).resize((SIZE, SIZE)), dtype=float)
    share = (0, 0.3, 0.5, 0.75, 1)[severity]
    return (1 - share) * image + share * other, label


FAULTS = {
    darkened: ("brightness", -1, "too dark"),
    overexposed: ("overexposed", 1, "overexposed"),
    blurred: ("sharpness", -1, "out of focus"),
    cut: ("disc_cut", 1, "disc touches the edge of the picture"),
    no_fundus: ("fundus_distance", 1, "not like a fundus photograph"),
}


@pytest.fixture(scope="module")
def told(tmp_path_factory) -> dict[str, list[dict[str, str]]]:
    """Of each fault, by severity: the rows of both tables, and the Dice of the disc."""
    folder = tmp_path_factory.mktemp("quality")
    (folder / "in").mkdir()
    phantom, labels = make_crop(SEED, size=SIZE), {}
    for fault, severity in itertools.product(FAULTS, range(5)):
        image, label = fault(phantom.image.astype(float), phantom.label, severity)
        name = f"{fault.__name__}_{severity}"
        labels[name] = label > 0
        Image.fromarray(np.clip(np.round(image), 0, 255).astype(np.uint8)).save(folder / "in" / f"{name}.png")
    assert run_stage("inference", dataset_dir=str(folder / "in"), output_dir=str(folder / "out"), quiet=True) == 0
    rows: dict[str, dict[str, str]] = {}
    for table in ("report.csv", "measurements.csv"):
        with (folder / "out" / table).open(encoding="utf-8", newline="") as file:
            for row in csv.DictReader(file):
                rows.setdefault(Path(row["image"]).stem, {}).update(row)
    for name, row in rows.items():
        found = np.asarray(Image.open(folder / "out" / "masks" / f"{name}.png")) > 0
        row["dice"] = str(2 * (found & labels[name]).sum() / (found.sum() + labels[name].sum()))
    return {fault.__name__: [rows[f"{fault.__name__}_{severity}"] for severity in range(5)] for fault in FAULTS}


@pytest.mark.parametrize("fault", FAULTS)
def test_the_measure_follows_the_severity(told, fault):
    column, sign, _ = FAULTS[fault]
    # Without a disc its sharpness and what is cut off are not known.
    values = [sign * float(row[column]) for row in told[fault.__name__] if row[column]]
    assert len(values) >= 2
    assert values == sorted(values)
    assert values[-1] > values[0]


@pytest.mark.parametrize("fault", FAULTS)
def test_the_fault_is_named_before_the_contour_fails_and_not_without_it(told, fault):
    series, words = told[fault.__name__], FAULTS[fault][2]
    assert (series[0]["status"], float(series[0]["dice"]) > FAILED) == ("ok", True)
    named = [words in row["reason"] or row["status"] == "no_disc" for row in series]
    failed = [float(row["dice"]) < FAILED for row in series]
    assert any(words in row["reason"] for row in series)
    assert named.index(True) <= (failed.index(True) if any(failed) else len(series))
    assert all(row["status"] != "ok" for row, bad in zip(series, failed, strict=True) if bad)
