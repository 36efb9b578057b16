"""From masks to polygons, and from corrected polygons to a data set, by the commands."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bundle.annotation.round_trip import main
from bundle.errors import CallError
from bundle.synthetic.phantoms.photographs import write_dataset
from tests.annotation.geojson import feature, save, square

EXACT = ["--tolerance", "0"]


@pytest.fixture
def exported(tmp_path):
    """Photographs, their labels in the place of masks, and polygons of them."""
    write_dataset(tmp_path / "in", 3, kind="crop", size=(80, 64), seed=40)
    main(["polygons", "--masks", str(tmp_path / "in" / "label"), "--output", str(tmp_path / "polygons"), *EXACT])
    return tmp_path


def labels(folder, photographs="in"):
    arguments = {"polygons": "polygons", "photographs": photographs, "masks": "in/label", "output": "corrected"}
    main(["labels", *(part for key, value in arguments.items() for part in (f"--{key}", str(folder / value)))])


def test_corrected_polygons_become_a_data_set_of_those_photographs_alone(exported):
    first, second, third = sorted((exported / "polygons").iterdir())
    second.unlink()
    content = json.loads(third.read_text())
    content["features"] = [feature("optic_disc", [square(10, 20, 50, 60)])]
    save(third, content)
    labels(exported)
    names = [first.stem, third.stem]
    assert sorted(path.stem for path in (exported / "corrected" / "label").iterdir()) == names
    for name in names:
        photograph = Path("image") / f"{name}.png"
        assert (exported / "corrected" / photograph).read_bytes() == (exported / "in" / photograph).read_bytes()
    kept, drawn = (np.asarray(Image.open(exported / "corrected" / "label" / f"{name}.png")) for name in names)
    assert np.array_equal(kept, np.asarray(Image.open(exported / "in" / "label" / f"{names[0]}.png")))
    expected = np.zeros((64, 80), np.uint8)
    expected[20:60, 10:50] = 1
    assert np.array_equal(drawn, expected)


def test_polygons_without_their_photograph_or_mask_are_refused(exported):
    with pytest.raises(CallError, match="no PNG masks"):
        main(["polygons", "--masks", str(exported / "polygons"), "--output", str(exported / "x")])
    save(exported / "polygons" / "stranger.geojson", [])
    with pytest.raises(CallError, match="stranger"):
        labels(exported)
    (exported / "polygons" / "stranger.geojson").unlink()
    mask = sorted((exported / "in" / "label").iterdir())[0]
    mask.unlink()
    with pytest.raises(CallError, match=mask.name):
        labels(exported)
    for path in (exported / "polygons").iterdir():
        path.unlink()
    with pytest.raises(CallError, match=r"no \.geojson"):
        labels(exported)


def test_a_file_that_makes_no_label_is_named_and_nothing_is_written_for_it(exported, caplog):
    empty, discless, sound = sorted((exported / "polygons").iterdir())
    save(empty, {"type": "FeatureCollection", "features": []})
    save(discless, [feature("optic_cup", [square(10, 20, 50, 60)])])
    with pytest.raises(SystemExit) as ended:
        labels(exported)
    assert ended.value.code == 1
    for kind in ("image", "label"):
        assert [path.stem for path in (exported / "corrected" / kind).iterdir()] == [sound.stem]
    said = [record.getMessage() for record in caplog.records]
    assert len(said) == 2
    assert str(empty) in said[0]
    assert "neither disc nor cup" in said[0]
    assert str(discless) in said[1]
    assert "a cup without a disc" in said[1]


def test_where_no_file_makes_a_label_nothing_is_written(exported):
    for path in (exported / "polygons").iterdir():
        save(path, [])
    with pytest.raises(CallError, match="not one of 3 files makes a label"):
        labels(exported)
    assert not (exported / "corrected").exists()


def test_a_photograph_keeps_all_of_its_suffix(exported):
    (polygon, *_) = sorted((exported / "polygons").iterdir())
    photograph = exported / "in" / "image" / f"{polygon.stem}.png"
    photograph.rename(photograph.with_name(f"{polygon.stem}.nii.gz"))
    labels(exported)
    assert (exported / "corrected" / "image" / f"{polygon.stem}.nii.gz").is_file()
