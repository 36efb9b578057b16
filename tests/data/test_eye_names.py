"""Names say which eye it is only where a word of theirs does."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from bundle.data.eye_names import eye_by_name
from tests.support.dicom import write_dicom
from tests.support.patterns import colour_pattern, load


@pytest.mark.parametrize(
    ("name", "eye"),
    [
        *((f"12{mark}.jpg", "right") for mark in ("_OD", "_od", "_right", "_RIGHT", " Right", "-R", "_R_2", "OD")),
        *((f"12{mark}.jpg", "left") for mark in ("_OS", "-os", "_left", "-L", " L", "(L)", "_Left_1", "os")),
        *((f"{name}.jpg", "") for name in ("12", "12_r", "l-3", "12R", "brightleft", "model", "ODD", "COD", "1ODx")),
        *((f"{name}.jpg", "") for name in ("OD_OS", "left_right", "R_L", "OD-left")),
        ("OD/1.jpg", "right"),
        ("x/Left eye/1.jpg", "left"),
        ("right_eyes/1.jpg", "right"),
        ("L/1.jpg", "left"),
        *((f"{folder}/1.jpg", "") for folder in ("os", "l", "R and D", "left overs", "OD/more", "left/image")),
        ("OD/1_OS.jpg", ""),
        ("OD/1_right.jpg", "right"),
    ],
)
def test_eye_by_name(name: str, eye: str) -> None:
    assert eye_by_name(Path("/data/OS", name) if "/" in name else Path(name)) == eye


def test_the_metadata_say_who_says_so(tmp_path: Path) -> None:
    def said(path: Path) -> tuple[str, str]:
        meta = load(path).meta
        return meta["laterality"], meta["laterality_source"]

    Image.fromarray(colour_pattern()).save(tmp_path / "1_OD.png")
    Image.fromarray(colour_pattern()).save(tmp_path / "1.png")
    assert said(tmp_path / "1_OD.png") == ("right", "name")
    assert said(tmp_path / "1.png") == ("", "")
    assert said(write_dicom(tmp_path / "2_OD.dcm", ImageLaterality="L")) == ("left", "file")
    assert said(write_dicom(tmp_path / "3_OD.dcm")) == ("right", "name")
