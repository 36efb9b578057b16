"""What the label server is told to serve."""

from __future__ import annotations

from fnmatch import fnmatchcase

import pytest

from bundle.annotation.label_server import EXTENSIONS


@pytest.mark.parametrize("name", ["IMG_1.JPG", "img_1.jpg", "a.TIF", "a.nii.gz", "a.NII.GZ", "b.webp", "c.JFIF"])
def test_suffixes_of_either_case_are_served(name: str) -> None:
    assert any(fnmatchcase(name, f"*.{suffix}") for suffix in EXTENSIONS)


@pytest.mark.parametrize("name", ["a.dcm", "a.txt", "a.json"])
def test_dicom_and_texts_are_not(name: str) -> None:
    assert not any(fnmatchcase(name, f"*.{suffix}") for suffix in EXTENSIONS)
