"""Grey DICOM images are as bright as their file states, or as the depth of their values tells."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest

from tests.support.dicom import write_dicom
from tests.support.patterns import colour_pattern, expect, grey_pattern, refusal


def deep(bits: int) -> np.ndarray:
    """``grey_pattern`` in so many bits, its brightest mark at the maximum."""
    values = np.rint(grey_pattern() * ((2**bits - 1) / 255)).astype(np.uint16)
    values[0, 0] = 2**bits - 1
    return values


def shown() -> np.ndarray:
    pattern = grey_pattern().copy()
    pattern[0, 0] = 255
    return pattern


@pytest.mark.parametrize(("bits", "stored"), [(8, 16), (8, 12), (10, 16), (12, 16), (12, 12), (14, 14), (16, 16)])
def test_small_values_in_many_bits(tmp_path: Path, bits: int, stored: int) -> None:
    write_dicom(tmp_path / "a.dcm", deep(bits), "MONOCHROME2", stored)
    expect(tmp_path / "a.dcm", shown(), tolerance=0.2)
    write_dicom(tmp_path / "b.dcm", deep(bits), "MONOCHROME1", stored)
    expect(tmp_path / "b.dcm", 255 - shown(), tolerance=0.2)


def test_colours_of_8_bits_in_16(tmp_path: Path) -> None:
    expect(write_dicom(tmp_path / "a.dcm", colour_pattern().astype(np.uint16), stored=16), colour_pattern())


def test_a_window_is_applied(tmp_path: Path) -> None:
    window: dict[str, Any] = {"WindowCenter": 500, "WindowWidth": 1000, "VOILUTFunction": "LINEAR_EXACT"}
    expected = np.clip(deep(12) * (255 / 1000), 0, 255)
    expect(write_dicom(tmp_path / "a.dcm", deep(12), "MONOCHROME2", 12, **window), expected, tolerance=1e-3)
    several = window | {"WindowCenter": [500, 2000], "WindowWidth": [1000, 50]}
    expect(write_dicom(tmp_path / "b.dcm", deep(12), "MONOCHROME2", 12, **several), expected, tolerance=1e-3)
    expect(write_dicom(tmp_path / "c.dcm", deep(12), "MONOCHROME1", 12, **window), 255 - expected, tolerance=1e-3)


@pytest.mark.parametrize("window", [(128, 256), (127, 255), (127.5, 255), (32768, 65536)])
def test_a_window_of_all_values_leaves_bytes_as_they_are(tmp_path: Path, window: tuple[float, float]) -> None:
    elements: dict[str, Any] = dict(zip(("WindowCenter", "WindowWidth"), window, strict=True))
    expect(write_dicom(tmp_path / "a.dcm", grey_pattern(), "MONOCHROME2", **elements), grey_pattern())
    wide = write_dicom(tmp_path / "b.dcm", deep(8), "MONOCHROME2", 16, WindowCenter=32768, WindowWidth=65536)
    expect(wide, shown(), tolerance=1e-3)


def test_a_window_that_shows_nothing_is_refused(tmp_path: Path) -> None:
    path = write_dicom(tmp_path / "a.dcm", deep(12), "MONOCHROME2", 16, WindowCenter=60000, WindowWidth=100)
    assert "WindowCenter" in refusal(path)


@pytest.mark.parametrize(("slope", "intercept", "turned"), [(2, 100, False), (0.5, -1000, False), (-1, 4095, True)])
def test_a_rescale_matters_by_its_sign_and_to_the_window(
    tmp_path: Path, slope: float, intercept: float, turned: bool
) -> None:
    rescale: dict[str, Any] = {"RescaleSlope": slope, "RescaleIntercept": intercept}
    path = write_dicom(tmp_path / "a.dcm", deep(12), "MONOCHROME2", 12, **rescale)
    expect(path, 255 - shown() if turned else shown(), tolerance=0.1)
    meant = deep(12).astype(float) * slope + intercept
    rescale |= {"WindowCenter": 600, "WindowWidth": 1000, "VOILUTFunction": "LINEAR_EXACT"}
    path = write_dicom(tmp_path / "b.dcm", deep(12), "MONOCHROME2", 12, **rescale)
    expect(path, np.clip((meant - 100) * (255 / 1000), 0, 255), tolerance=1e-3)


@pytest.mark.parametrize("sequence", ["ModalityLUTSequence", "VOILUTSequence"])
def test_a_lookup_table_is_applied(tmp_path: Path, sequence: str) -> None:
    item = pydicom.Dataset()
    item.LUTDescriptor = [4096, 0, 16]
    item.ModalityLUTType = "US"
    item.LUTData = [65535 - 16 * entry for entry in range(4096)]
    item["LUTData"].VR = "US"
    item["LUTDescriptor"].VR = "US"
    elements: dict[str, Any] = {sequence: [item]}
    path = write_dicom(tmp_path / "a.dcm", deep(12), "MONOCHROME2", 12, **elements)
    expect(path, (65535 - 16.0 * deep(12)) * (255 / 65535), tolerance=1e-2)


def test_signed_values_with_a_window(tmp_path: Path) -> None:
    values = (deep(12).astype(np.int16) - 2048).view(np.uint16)
    window: dict[str, Any] = {
        "WindowCenter": 0,
        "WindowWidth": 1000,
        "VOILUTFunction": "LINEAR_EXACT",
        "PixelRepresentation": 1,
    }
    path = write_dicom(tmp_path / "a.dcm", values, "MONOCHROME2", 12, **window)
    expect(path, np.clip((deep(12) - 1548.0) * (255 / 1000), 0, 255), tolerance=1e-3)
