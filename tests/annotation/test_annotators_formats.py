"""QuPath's GeoJSON, COCO, CVAT and labelme: out with few points, back as labels, judged by shapely and pycocotools."""

from __future__ import annotations

import json
import logging
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bundle.adaptation.few_labels import corrected_photographs
from bundle.annotation import coco, cvat, labelme, qupath
from bundle.annotation.polygons import FORMATS, write_labels, write_polygons
from bundle.annotation.regions import Drawing, Region, label_of_regions, regions_of
from bundle.annotation.round_trip import main
from bundle.errors import CallError, UnreadablePhotographError
from bundle.synthetic.phantoms.photographs import make_crop, write_dataset
from tests.annotation.geojson import feature, save, square

SUFFIX = {"qupath": "*.geojson", "coco": "*.json", "cvat": "*.xml", "labelme": "*.json"}


def dice(one, other):
    return [2 * ((one >= v) & (other >= v)).sum() / ((one >= v).sum() + (other >= v).sum()) for v in (1, 2)]


def shown(folder):
    return {path.stem: np.asarray(Image.open(path)) for path in sorted((folder / "label").iterdir())}


@pytest.fixture(scope="module")
def photographs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("in")
    write_dataset(folder, 3, kind="crop", size=(180, 160), seed=7)
    return folder


@pytest.mark.parametrize("name", sorted(FORMATS))
def test_a_label_comes_back_pixel_for_pixel_at_no_tolerance(name, photographs, tmp_path):
    paths = ["--photographs", str(photographs), "--format", name]
    main(["polygons", "--masks", str(photographs / "label"), "--output", str(tmp_path), "--tolerance", "0", *paths])
    main(["labels", "--polygons", str(tmp_path), "--output", str(tmp_path / "out"), *paths])
    found, expected = shown(tmp_path / "out"), shown(photographs)
    assert found.keys() == expected.keys()
    for stem, label in expected.items():
        assert np.array_equal(found[stem], label)
        image = (photographs / "image" / f"{stem}.png").read_bytes()
        assert (tmp_path / "out" / "image" / f"{stem}.png").read_bytes() == image


@pytest.mark.parametrize("name", sorted(FORMATS))
def test_by_default_a_contour_has_few_points_and_hardly_moves(name, photographs, tmp_path):
    written = write_polygons(photographs / "label", tmp_path, name, photographs=photographs)
    drawings = FORMATS[name].read(tmp_path)
    assert len(drawings) == 3
    for drawing in drawings:
        assert [region.structure for region in drawing.regions] == ["optic_disc", "optic_cup"]
        assert all(30 <= len(region.outer) <= 60 for region in drawing.regions)
    write_labels(tmp_path, photographs, tmp_path / "out", name=name)
    found = [dice(shown(tmp_path / "out")[stem], label) for stem, label in shown(photographs).items()]
    assert np.min(found) == pytest.approx(written.lowest_dice, abs=1e-3)
    assert written.lowest_dice > 0.985
    assert (written.masks, written.most <= 60, written.fewest >= 30) == (3, True, True)


@pytest.mark.parametrize("tolerance", [0.5, 1.0, 3.0])
def test_a_thinned_contour_misses_no_point_by_more_than_the_tolerance(tolerance):
    label = make_crop(3, size=200).label
    for exact, thin in zip(regions_of(label), regions_of(label, tolerance), strict=True):
        ends = np.stack([thin.outer, np.roll(thin.outer, -1, axis=0)], axis=1)
        start, side = ends[:, 0], ends[:, 1] - ends[:, 0]
        offset = exact.outer[:, None] - start
        along = np.clip((offset * side).sum(axis=-1) / (side**2).sum(axis=-1), 0, 1)
        distance = np.linalg.norm(offset - along[..., None] * side, axis=-1).min(axis=1)
        assert distance.max() <= tolerance + 1e-9
        assert len(thin.outer) < len(exact.outer)


def with_hole():
    label = np.zeros((40, 50), np.uint8)
    label[5:35, 8:40] = 1
    label[10:25, 12:30] = 2
    label[15:18, 16:20] = 0
    label[2, 45:48] = 1
    return label


def test_outer_rings_are_positive_holes_negative_and_any_direction_is_read():
    label = with_hole()
    regions = regions_of(label)
    assert [(region.structure, len(region.holes)) for region in regions] == [
        ("optic_disc", 0), ("optic_disc", 1), ("optic_cup", 1),
    ]  # fmt: skip

    def area(ring):
        x, y = ring.T
        return (x @ np.roll(y, -1) - y @ np.roll(x, -1)) / 2

    assert all(area(region.outer) > 0 for region in regions)
    assert all(area(hole) < 0 for region in regions for hole in region.holes)
    turned = [Region(r.structure, r.outer[::-1], tuple(hole[::-1] for hole in r.holes)) for r in regions[::-1]]
    for each in (regions, turned):
        assert np.array_equal(label_of_regions(each, label.shape, Path()), label)


@pytest.mark.parametrize("name", ["coco", "cvat", "labelme"])
def test_a_format_without_holes_has_them_filled_and_says_so(name, tmp_path, caplog):
    label = with_hole()
    for kind, pixels in (("image", np.zeros((40, 50, 3), np.uint8)), ("label", label)):
        (tmp_path / kind).mkdir()
        Image.fromarray(pixels).save(tmp_path / kind / "eye.png")
    write_polygons(tmp_path / "label", tmp_path / "polygons", name, 0.0)
    assert "a hole in the optic_disc is filled" in caplog.text
    write_labels(tmp_path / "polygons", tmp_path, tmp_path / "out", name=name)
    filled = label.copy()
    filled[15:18, 16:20] = 2
    assert np.array_equal(shown(tmp_path / "out")["eye"], filled)


@pytest.mark.parametrize("seed", range(6))
def test_shapely_finds_the_polygons_valid_nested_and_of_the_mask_s_area(seed):
    shapely = pytest.importorskip("shapely")
    label = make_crop(seed, size=(300, 260)).label
    for tolerance in (0.0, 0.5, 2.0, None):
        disc, cup = (shapely.Polygon(region.outer, region.holes) for region in regions_of(label, tolerance))
        assert disc.is_valid
        assert cup.is_valid
        assert disc.exterior.is_ccw
        assert cup.intersection(disc).area > 0.999 * cup.area
        for polygon, mask in ((disc, label >= 1), (cup, label == 2)):
            drift = max(0.02 * mask.sum(), polygon.length * (tolerance or 0) / 2)
            assert polygon.area == pytest.approx(mask.sum(), abs=drift)
            rows, columns = np.nonzero(mask)
            centre = (columns.mean() + 0.5, rows.mean() + 0.5)
            assert (polygon.centroid.x, polygon.centroid.y) == pytest.approx(centre, abs=0.5 if tolerance == 0 else 0.6)


def test_shapely_has_the_same_pixels_inside():
    shapely = pytest.importorskip("shapely")
    random = np.random.default_rng(0)
    y, x = np.mgrid[:60, :70] + 0.5
    for _ in range(20):
        turn = (np.arange(15) + random.uniform(-0.3, 0.3, 15)) * 2 * np.pi / 15
        ring = np.array([35, 30]) + random.uniform(12, 27, (15, 1)) * np.stack([np.cos(turn), np.sin(turn)], axis=1)
        hole = np.array([35, 30]) + (ring - [35, 30]) * 0.15
        label = label_of_regions([Region("optic_disc", ring, (hole,))], (60, 70), Path())
        polygon = shapely.Polygon(ring, [hole])
        assert polygon.is_valid
        inside = shapely.contains_xy(polygon, x, y)
        assert np.array_equal(label > 0, inside)


def test_pycocotools_decodes_what_is_written_to_the_same_pixels(photographs, tmp_path):
    mask_api = pytest.importorskip("pycocotools.mask")
    write_polygons(photographs / "label", tmp_path, "coco", 0.0, photographs)
    content = json.loads((tmp_path / coco.FILE).read_text())
    labels = shown(photographs)
    for annotation in content["annotations"]:
        image = content["images"][annotation["image_id"] - 1]
        size = (image["height"], image["width"])
        theirs = mask_api.decode(mask_api.merge(mask_api.frPyObjects(annotation["segmentation"], *size)))
        mask = labels[image["file_name"].removesuffix(".png")] >= annotation["category_id"]
        assert 2 * (theirs & mask).sum() / (theirs.sum() + mask.sum()) > 0.98
        # A shift by half a pixel, as between the two customs of counting, would show here.
        assert np.argwhere(theirs).mean(axis=0) == pytest.approx(np.argwhere(mask).mean(axis=0), abs=0.15)
        assert annotation["area"] == pytest.approx(mask.sum(), rel=0.01)


def test_pycocotools_loads_the_file(photographs, tmp_path, capsys):
    api = pytest.importorskip("pycocotools.coco")
    write_polygons(photographs / "label", tmp_path, "coco", None, photographs)
    loaded = api.COCO(str(tmp_path / coco.FILE))
    assert [each["name"] for each in loaded.loadCats(loaded.getCatIds())] == ["optic_disc", "optic_cup"]
    assert len(loaded.getAnnIds()) == 6


def test_pycocotools_run_lengths_are_read_pixel_for_pixel():
    mask_api = pytest.importorskip("pycocotools.mask")
    random = np.random.default_rng(1)
    for shape in ((1, 1), (7, 5), (60, 90), (400, 300)):
        mask = random.random(shape) > 0.4
        packed = mask_api.encode(np.asfortranarray(mask.astype(np.uint8)))
        assert np.array_equal(coco.mask_of_counts(packed["counts"].decode(), shape), mask)


LABEL = np.zeros((30, 40), np.uint8)
LABEL[4:26, 6:34] = 1
LABEL[10:18, 12:24] = 2


def labelled(name, content, folder, only=None):
    """The label that a file as its program writes it makes of the photograph ``eye.png``."""
    (folder / "photographs").mkdir(exist_ok=True)
    Image.fromarray(np.zeros((30, 40, 3), np.uint8)).save(folder / "photographs" / "eye.png")
    file = {"qupath": "eye.geojson", "coco": "instances.json", "cvat": "annotations.xml", "labelme": "eye.json"}[name]
    save(folder / "polygons" / file, content)
    write_labels(folder / "polygons", folder / "photographs", folder / "out", name=name, only=only)
    return shown(folder / "out")["eye"]


CVAT = """<?xml version="1.0" encoding="utf-8"?>
<annotations><version>1.1</version><meta><task><name>eyes</name></task></meta>
<image id="0" name="batch/eye.png" width="40" height="30"><tag label="glaucoma" source="manual"/>{}</image>
<image id="1" name="batch/other.png" width="40" height="30"></image></annotations>"""


def cvat_mask(label, mask):
    rows, columns = np.nonzero(mask)
    top, left = rows.min(), columns.min()
    box = mask[top : rows.max() + 1, left : columns.max() + 1]
    edges = np.flatnonzero(np.diff(np.concatenate([[0], box.ravel().astype(int), [2]])))
    lengths = np.diff(np.concatenate([[0], edges]))
    rle = ", ".join(map(str, lengths))
    return (
        f'<mask label="{label}" source="semi-auto" occluded="0" rle="{rle}" left="{left}" top="{top}" '
        f'width="{box.shape[1]}" height="{box.shape[0]}" z_order="0"></mask>'
    )


def test_masks_that_were_painted_in_cvat_are_read(tmp_path):
    content = CVAT.format(cvat_mask("disc", LABEL > 0) + cvat_mask("cup", LABEL == 2))
    assert np.array_equal(labelled("cvat", content, tmp_path), LABEL)


def test_ellipses_of_cvat_and_circles_of_labelme_are_read(tmp_path):
    y, x = np.mgrid[:30, :40] + 0.5
    disc = ((x - 20) / 12) ** 2 + ((y - 15) / 8) ** 2 < 1
    shape = '<ellipse label="Optic Disc" cx="20" cy="15" rx="{}" ry="{}" rotation="{}" z_order="0"></ellipse>'
    for numbers in ((12, 8, 0), (8, 12, 90)):
        found = labelled("cvat", CVAT.format(shape.format(*numbers)), tmp_path)
        assert (found != disc).sum() <= 2
    circle = {"label": "OD", "points": [[20, 15], [20, 25]], "shape_type": "circle", "flags": {}}
    content = {"shapes": [circle], "imagePath": "eye.png", "imageData": None, "imageHeight": 30, "imageWidth": 40}
    found = labelled("labelme", content, tmp_path)
    assert (found != (np.hypot(x - 20, y - 15) < 10)).sum() <= 4


def test_run_lengths_and_parts_of_coco_are_read(tmp_path):
    down = (LABEL > 0).T.ravel().astype(int)
    lengths = np.diff(np.concatenate([[0], np.flatnonzero(np.diff(down)) + 1, [down.size]])).tolist()
    cup = [[12, 10, 24, 10, 24, 14, 12, 14], [12, 14, 24, 14, 24, 18, 12, 18]]
    content = {
        "images": [{"id": 7, "file_name": "sub/eye.png", "height": 30, "width": 40}],
        "categories": [{"id": 3, "name": "disc"}, {"id": 9, "name": "cup"}],
        "annotations": [
            {"id": 1, "image_id": 7, "category_id": 9, "segmentation": cup, "iscrowd": 0},
            {"id": 2, "image_id": 7, "category_id": 3, "segmentation": {"counts": lengths, "size": [30, 40]}},
        ],
    }
    assert np.array_equal(labelled("coco", content, tmp_path), LABEL)


def test_qupath_s_list_of_class_names_is_read(tmp_path):
    disc, cup = feature("", [square(6, 4, 34, 26)]), feature("optic_cup", [square(12, 10, 24, 18)])
    disc["properties"]["classification"] = {"names": ["optic_disc", "sure"]}
    assert np.array_equal(labelled("qupath", [disc, cup], tmp_path), LABEL)


@pytest.mark.parametrize(("only", "expected"), [("optic_cup", LABEL // 2 * 2), ("optic_disc", np.minimum(LABEL, 1))])
def test_a_reader_who_corrected_one_structure_gives_a_label_of_that_one(only, expected, tmp_path):
    features = [feature("optic_disc", [square(6, 4, 34, 26)]), feature("optic_cup", [square(12, 10, 24, 18)])]
    assert np.array_equal(labelled("qupath", features, tmp_path, only), expected)
    alone = [feature(only, [square(12, 10, 24, 18)])]
    label = labelled("qupath", alone, tmp_path, only)
    assert set(np.unique(label)) == {0, expected.max()}
    other = "optic_disc" if only == "optic_cup" else "optic_cup"
    with pytest.raises(CallError, match=f"it shows no {other}"):
        labelled("qupath", alone, tmp_path, other)


POLYGON = '<polygon label="{}" points="6,4;34,4;34,26;6,26" z_order="0"></polygon>'


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("cvat", CVAT.format(POLYGON.format("tumour")), "'tumour' is no class of it: name the classes optic_disc and"),
        ("cvat", CVAT.format(POLYGON.format("disc")).replace('width="40"', 'width="80"'), "picture of 80 x 30 pixels"),
        ("cvat", CVAT.format('<polyline label="disc" points="1,1;2,2"></polyline>'), "KeyError('polyline')"),
        ("cvat", CVAT.format('<polygon label="disc" points="1,1;2,2"></polygon>'), "a contour has 2 points"),
        ("cvat", "<!DOCTYPE a [<!ENTITY b 'c'>]><annotations></annotations>", "it declares entities"),
        ("cvat", "<annotations>", "is not in CVAT's format"),
        ("cvat", "<coco></coco>", "it begins with <coco>"),
        ("coco", {"images": []}, "is not in COCO's format"),
        (
            "labelme",
            {"shapes": [{"label": "disc", "points": [[1, 1]], "shape_type": "point"}]},
            "a point is no contour",
        ),
        ("labelme", {"shapes": [{"label": "disc", "points": [[1, "x"]] * 3}]}, "it cannot be read as contours"),
        ("labelme", [], "it cannot be read as contours"),
        ("qupath", [feature("optic_disc", [[[0, 0], [float("nan"), 1], [2, 2]]])], "pairs of finite numbers"),
    ],
)
def test_what_makes_no_label_is_named_with_its_reason(name, content, says, tmp_path):
    with pytest.raises(CallError, match=re.escape(says)) as caught:
        labelled(name, content, tmp_path)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "out").exists()


def test_one_photograph_of_several_that_makes_no_label_costs_itself_alone(photographs, tmp_path, caplog):
    write_polygons(photographs / "label", tmp_path, "cvat", photographs=photographs)
    path = tmp_path / cvat.FILE
    first = sorted(shown(photographs))[0]
    path.write_text(path.read_text().replace('label="optic_cup"', 'label="tumour"', 1))
    caplog.set_level(logging.WARNING)
    written, unfit = write_labels(path, photographs, tmp_path / "out", name="cvat")
    assert written == 2
    assert [first in where for where in unfit] == [True]
    assert "no label" in caplog.text
    assert first not in shown(tmp_path / "out")


def test_a_reader_s_labels_go_to_a_folder_of_their_own(photographs, tmp_path):
    main(["polygons", "--masks", str(photographs / "label"), "--output", str(tmp_path / "polygons")])
    few = tmp_path / "few"
    for reader in ("anna", "ben"):
        paths = ["--polygons", str(tmp_path / "polygons"), "--photographs", str(photographs), "--output", str(few)]
        main(["labels", *paths, "--reader", reader])
    assert [item["readers"] for item in corrected_photographs(few)] == ["anna/ben"] * 3
    with pytest.raises(CallError, match="is no name of a folder"):
        main(["labels", *paths, "--reader", "../anna"])


def test_photographs_are_found_by_their_names_and_others_are_refused(photographs, tmp_path):
    stem = sorted(shown(photographs))[0]
    drawing = Drawing("stranger", regions_of(LABEL), LABEL.shape, "stranger.png")
    coco.write([drawing], tmp_path)
    with pytest.raises(CallError, match="stranger in .*annotations.json has no photograph stranger"):
        write_labels(tmp_path, photographs, tmp_path / "out", name="coco")
    labelme.write([Drawing(stem, regions_of(LABEL), LABEL.shape)], tmp_path / "labelme")
    with pytest.raises(CallError, match="picture of 40 x 30 pixels, and the photograph has 180 x 160"):
        write_labels(tmp_path / "labelme", photographs, tmp_path / "out", name="labelme")
    with pytest.raises(CallError, match=r"there are no \.xml files"):
        write_labels(tmp_path, photographs, tmp_path / "out", name="cvat")


def test_labelme_opens_the_photograph_beside_its_polygons(photographs, tmp_path):
    write_polygons(photographs / "label", tmp_path / "polygons", "labelme", photographs=photographs)
    for path in (tmp_path / "polygons").iterdir():
        content = json.loads(path.read_text())
        assert (path.parent / content["imagePath"]).resolve() == photographs / "image" / f"{path.stem}.png"
        with Image.open(photographs / "image" / f"{path.stem}.png") as picture:
            assert (content["imageWidth"], content["imageHeight"]) == picture.size


def test_a_file_of_qupath_without_a_class_is_named(tmp_path):
    (drawing,) = qupath.read(save(tmp_path / "eye.geojson", [feature("Other", [square(1, 1, 5, 5)])]))
    assert isinstance(drawing.fault, UnreadablePhotographError)
    assert "'Other' is no class of it" in drawing.fault.reason
