"""NIfTI files hold a photograph in several shapes and ranges; volumes and odd values are refused."""

from __future__ import annotations

from pathlib import Path

import nibabel
import numpy as np
import pytest

from tests.support.patterns import HEIGHT, WIDTH, colour_pattern, expect, grey_pattern, noise, refusal


def write_nifti(path: Path, values: np.ndarray) -> Path:
    nibabel.save(nibabel.Nifti1Image(values, np.eye(4)), path)
    return path


@pytest.mark.parametrize("suffix", ["nii", "nii.gz"])
def test_nifti_shapes(tmp_path: Path, suffix: str) -> None:
    colour, path = colour_pattern().swapaxes(0, 1), tmp_path / f"a.{suffix}"
    expect(write_nifti(path, colour), colour_pattern())
    expect(write_nifti(path, colour[:, :, None]), colour_pattern())
    expect(write_nifti(path, colour[..., 0]), grey_pattern())
    expect(write_nifti(path, colour[:, :, :1]), grey_pattern())
    fields = np.dtype([("R", "u1"), ("G", "u1"), ("B", "u1")])
    structured = np.ascontiguousarray(colour).view(fields).reshape(WIDTH, HEIGHT, 1)
    expect(write_nifti(path, structured), colour_pattern())


@pytest.mark.parametrize(
    ("scale", "dtype"), [(1 / 255, np.float32), (1, np.float64), (257, np.uint16), (1, np.uint16), (1, np.int16)]
)
def test_nifti_ranges(tmp_path: Path, scale: float, dtype: type) -> None:
    values: np.ndarray = (grey_pattern().T * np.float64(scale)).astype(dtype)
    expect(write_nifti(tmp_path / "a.nii", values), grey_pattern(), tolerance=1e-3)


def test_nifti_beyond_255_is_scaled_by_its_maximum(tmp_path: Path) -> None:
    values = grey_pattern().T.astype(np.float32) * 10
    shown = grey_pattern() * (255 / grey_pattern().max())
    expect(write_nifti(tmp_path / "a.nii", values), shown, tolerance=1e-3)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_nifti_not_finite_is_refused(tmp_path: Path, value: float) -> None:
    values = grey_pattern().T.astype(np.float32)
    values[3, 3] = value
    assert "not finite" in refusal(write_nifti(tmp_path / "a.nii.gz", values))


def test_nifti_below_zero_is_refused(tmp_path: Path) -> None:
    assert "below 0" in refusal(write_nifti(tmp_path / "a.nii", grey_pattern().T.astype(np.float32) - 128))


@pytest.mark.parametrize("shape", [(40, 24, 5), (40, 24, 2), (40, 24, 3, 2), (40,)])
def test_nifti_volume_is_refused(tmp_path: Path, shape: tuple[int, ...]) -> None:
    assert " x ".join(map(str, shape)) in refusal(write_nifti(tmp_path / "a.nii", np.zeros(shape, np.uint8)))


@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz"])
def test_nifti_truncated(tmp_path: Path, name: str) -> None:
    values = np.asarray(noise()).swapaxes(0, 1)
    whole = write_nifti(tmp_path / name, values).read_bytes()
    for length in (1, 30, 100, len(whole) // 2, len(whole) - 9):
        (tmp_path / name).write_bytes(whole[:length])
        assert "copy it again" in refusal(tmp_path / name)
