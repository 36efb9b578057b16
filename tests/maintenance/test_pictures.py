"""The documents' pictures are drawn from a demo, and say so where there is none."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from bundle.data.label_reader import LabelReader
from bundle.errors import CallError
from bundle.maintenance.pictures import (
    inference_picture,
    label_files,
    labels_picture,
    page_picture,
    readme_picture,
    rims_picture,
)
from bundle.synthetic.phantoms.photographs import make_crop, make_photograph


@pytest.fixture
def demo(tmp_path):
    """Phantoms under the names of the demo's photographs, with their labels as masks."""
    (tmp_path / "input").mkdir()
    (tmp_path / "output" / "masks").mkdir(parents=True)
    phantoms = {
        "retina.jpg": make_photograph(1, size=(320, 240)),
        "crop_plain.png": make_crop(2, size=128),
        "photograph_plain.png": make_photograph(3, size=(320, 240)),
        "photograph_without_disc.png": make_photograph(4, size=(320, 240), visible_disc=False),
    }
    for name, phantom in phantoms.items():
        Image.fromarray(phantom.image).save(tmp_path / "input" / name)
        Image.fromarray(phantom.label).save(tmp_path / "output" / "masks" / f"{name.split('.')[0]}.png")
    return tmp_path


def test_the_readme_s_picture_shows_the_whole_and_the_disc(demo):
    picture = np.asarray(readme_picture(demo), dtype=float)
    assert picture.shape[1] >= 2 * 620
    halves = np.split(picture[:, : picture.shape[1] // 2 * 2], 2, axis=1)
    assert all(half.std() > 5 for half in halves)


def test_the_other_pictures_are_drawn(demo):
    for picture in (inference_picture(demo), rims_picture()):
        assert np.asarray(picture.convert("L")).std() > 5


@pytest.mark.parametrize("draw", [readme_picture, inference_picture, page_picture])
def test_without_a_demo_there_is_one_line(draw, tmp_path):
    with pytest.raises(CallError, match=r"there is no .*Run make demo first\."):
        draw(tmp_path)


def test_a_mask_without_a_disc_makes_no_picture(demo):
    Image.fromarray(np.zeros((240, 320), np.uint8)).save(demo / "output" / "masks" / "retina.png")
    with pytest.raises(CallError, match="no disc"):
        readme_picture(demo)


@pytest.mark.parametrize("label_format", ["index", "refuge", "pair"])
def test_the_labels_on_the_page_are_read_as_what_they_show(label_format, tmp_path):
    label = make_crop(5, size=64).label
    files = []
    for name, pixels in label_files(label, label_format).items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        Image.fromarray(pixels).save(tmp_path / name)
        files.append(tmp_path / name)
    reader = LabelReader(label_format)
    assert np.array_equal(reader.get_data(reader.read(files))[0].T, label)
    assert np.asarray(labels_picture(label_format)).std() > 5
