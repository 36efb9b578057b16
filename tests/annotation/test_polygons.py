"""Contours go out as polygons and come back as the labels they were."""

from __future__ import annotations

import numpy as np
import pytest

from bundle.annotation import qupath
from bundle.annotation.regions import label_of_regions, regions_of
from bundle.errors import UnreadablePhotographError
from bundle.synthetic.phantoms.photographs import make_crop
from tests.annotation.geojson import feature, save, square


def polygons_of(label):
    return qupath.geojson_of(regions_of(label))


def label_of(path, shape):
    (drawing,) = qupath.read(path)
    if drawing.fault is not None:
        raise drawing.fault
    return label_of_regions(drawing.regions, shape, path)


@pytest.mark.parametrize("size", [(90, 60), (61, 93)])
def test_a_label_comes_back_from_its_polygons_pixel_for_pixel(size, tmp_path):
    label = make_crop(4, size=size).label
    # A disc at the edge, and a speck of one pixel.
    label[-5:, :7] = 1
    label[2, -3] = 1
    back = label_of(save(tmp_path / "a.geojson", polygons_of(label)), label.shape)
    assert np.array_equal(back, label)
    assert (label == 2).any()


def test_polygons_are_closed_and_counted_from_the_corner_of_the_picture():
    label = np.zeros((20, 30), np.uint8)
    label[4:10, 12:25] = 1
    label[6:8, 15:20] = 2
    content = polygons_of(label)
    disc, cup = content["features"]
    assert content["type"] == "FeatureCollection"
    for found, name, box in ((disc, "optic_disc", (12, 4, 25, 10)), (cup, "optic_cup", (15, 6, 20, 8))):
        assert found["properties"]["objectType"] == "annotation"
        assert found["properties"]["classification"]["name"] == name
        ring = np.array(found["geometry"]["coordinates"][0])
        assert np.array_equal(ring[0], ring[-1])
        assert (*ring.min(axis=0), *ring.max(axis=0)) == box


def test_polygons_that_were_drawn_by_hand_are_filled(tmp_path):
    ring = square(2, 3, 12, 9)
    hole = square(4, 5, 6, 7)
    features = [
        feature("optic_disc", [ring, hole]),
        feature("optic_cup", [[square(8, 4, 10, 6)], [square(20, 1, 22, 3)]], "MultiPolygon"),
    ]
    expected = np.zeros((15, 25), np.uint8)
    expected[3:9, 2:12] = 1
    expected[5:7, 4:6] = 0
    expected[4:6, 8:10] = expected[1:3, 20:22] = 2
    for content in ({"type": "FeatureCollection", "features": features}, features):
        assert np.array_equal(label_of(save(tmp_path / "a.geojson", content), expected.shape), expected)


@pytest.mark.parametrize(
    "content",
    [
        "{",
        "[1]",
        {"type": "FeatureCollection"},
        [feature("tumour", [square(1, 1, 3, 3)])],
        [feature("optic_disc", [1, 2], "Point")],
        [feature("optic_disc", [[["a", "b"]]])],
    ],
)
def test_polygons_that_cannot_be_read_are_named(content, tmp_path):
    path = save(tmp_path / "bad.geojson", content)
    with pytest.raises(UnreadablePhotographError, match=r"bad\.geojson") as caught:
        label_of(path, (9, 9))
    assert "\n" not in caught.value.reason


@pytest.mark.parametrize(
    ("features", "reason"),
    [
        ([], "neither disc nor cup"),
        ([feature("optic_cup", [square(1, 1, 5, 5)])], "a cup without a disc"),
        ([feature("optic_disc", [square(20, 20, 30, 30)])], "neither disc nor cup"),
        (
            [feature("optic_disc", [square(1, 1, 1.2, 1.2)]), feature("optic_cup", [square(1, 1, 5, 5)])],
            "without a disc",
        ),
        ([feature("optic_disc", [square(1, 1, 4, 4)]), feature("optic_cup", [square(5, 5, 8, 8)])], "outside the disc"),
    ],
)
def test_polygons_that_make_no_label_are_refused_with_the_reason(features, reason, tmp_path):
    path = save(tmp_path / "bad.geojson", {"type": "FeatureCollection", "features": features})
    with pytest.raises(UnreadablePhotographError, match=reason) as caught:
        label_of(path, (9, 9))
    assert caught.value.path == str(path)
