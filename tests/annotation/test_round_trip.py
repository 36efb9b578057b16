"""Contours go out as polygons and come back as the labels they were; more corrected photographs, better contours."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bundle.annotation.round_trip import chosen, label_of, main, polygons_of  # noqa: E402
from bundle.errors import CallError
from bundle.networks.weights import save_weights
from bundle.synthetic.phantoms.photographs import make_crop, write_dataset

pytestmark = pytest.mark.usefixtures("_determinism")


def save(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def feature(name, rings, kind="Polygon"):
    return {
        "type": "Feature",
        "geometry": {"type": kind, "coordinates": rings},
        "properties": {"objectType": "annotation", "classification": {"name": name}},
    }


def square(left, top, right, bottom):
    return [[left, top], [right, top], [right, bottom], [left, bottom], [left, top]]


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
    with pytest.raises(CallError, match=r"bad\.geojson") as caught:
        label_of(path, (9, 9))
    assert "\n" not in caught.value.message


@pytest.fixture
def exported(tmp_path):
    """Photographs, their labels in the place of masks, and polygons of them."""
    write_dataset(tmp_path / "in", 3, kind="crop", size=(80, 64), seed=40)
    main(["polygons", "--masks", str(tmp_path / "in" / "label"), "--output", str(tmp_path / "polygons")])
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


def test_whoever_corrects_more_has_corrected_the_same_and_others():
    items = [{"name": f"photo_{i}"} for i in range(30)]
    few, many = chosen(items, 5, 0), chosen(items, 12, 0)
    assert len(few) == 5
    assert few == many[:5]
    assert chosen(items[::-1], 5, 0) == few
    assert chosen(items, 5, 1) != few


def test_the_curve_is_measured_written_and_not_measured_again(network, tmp_path, capsys):
    pytest.importorskip("matplotlib")
    write_dataset(tmp_path / "data", 6, kind="crop", size=72, seed=500)
    write_dataset(tmp_path / "test", 2, kind="crop", size=72, seed=600)
    save_weights(network, tmp_path / "source.pt")
    page = save(tmp_path / "page.md", "above\n<!-- round trip -->\nold\n<!-- end of round trip -->\nbelow\n")
    arguments = [
        f"--{key}={tmp_path / value}" for key, value in (("data", "data"), ("test", "test"), ("output", "out"))
    ]
    arguments += [f"--{key}={tmp_path / value}" for key, value in (("page", "page.md"), ("figure", "curve.png"))]
    arguments += ["--checkpoint", str(tmp_path / "source.pt"), "--corrected=0,4", "--seeds=0,1", "--steps=6"]
    keys = {"image_size": 64, "network_def#backbone": "efficientnet-lite0-small"}
    keys |= {"network_def#decoder_channels": [16, 16, 8, 8]}
    arguments += [part for key, value in keys.items() for part in ("--key", f"{key}={json.dumps(value)}")]
    arguments += ["--batch_size=2", "--learning_rate=0.01"]
    main(["curve", *arguments])

    scores = {}
    for name in ("corrected_0_0", "corrected_4_0", "corrected_4_1"):
        scores[name] = json.loads((tmp_path / "out" / name / "scores" / "metrics.json").read_text())
        assert scores[name]["images"] == 2
    assert not (tmp_path / "out" / "corrected_0_1").exists()
    assert len(list((tmp_path / "out" / "corrected_4_1" / "data" / "image").iterdir())) == 4
    assert scores["corrected_4_0"] != scores["corrected_0_0"]
    disc = [100 * scores[f"corrected_4_{seed}"]["optic_disc"]["dice"] for seed in (0, 1)]
    row = f"| 4 | {sum(disc) / 2:.1f} ({min(disc):.1f} to {max(disc):.1f}) |"
    text = page.read_text()
    assert row in text
    assert row in capsys.readouterr().out
    assert text.startswith("above\n<!-- round trip -->\n| corrected photographs |")
    assert text.endswith("|\n<!-- end of round trip -->\nbelow\n")
    assert "old" not in text
    with Image.open(tmp_path / "curve.png") as figure:
        assert len(figure.convert("RGB").getcolors(10**6)) > 20

    stamps = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").rglob("*.*")}
    main(["curve", *arguments])
    assert stamps == {path: path.stat().st_mtime_ns for path in (tmp_path / "out").rglob("*.*")}
