"""Research data sets become image/ and label/ from the files that they ship, made here in the form published."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw
from scipy.io import savemat

from bundle.annotation.contour_text import read_points
from bundle.annotation.research_data import agreed, main, write_research_data
from bundle.data.listing import list_photographs
from bundle.errors import CallError, UnreadablePhotographError
from bundle.morphometry.cup_disc import region_contours
from bundle.synthetic.phantoms.photographs import make_crop

WIDTH, HEIGHT = 120, 96
PHANTOM = make_crop(5, size=(WIDTH, HEIGHT))
LABEL = PHANTOM.label
LOWER = np.where(np.roll(LABEL, 2, axis=0) == 2, 2, LABEL > 0).astype(np.uint8)
"""What a second reader drew: the cup two pixels lower."""


def picture(path, values):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.asarray(values)).save(path)


def masks(label):
    return {"disc": np.uint8(255) * (label > 0), "cup": np.uint8(255) * (label == 2)}


def points(path, region, columns=slice(None, None, -1), number="{:.7e} {:.7e}"):
    """The contour of a region; x and y, or y and x with ``columns`` the other way."""
    path.parent.mkdir(parents=True, exist_ok=True)
    (contour,) = region_contours(region)
    path.write_text("\n".join(number.format(*row) for row in contour[:, columns]) + "\n")


def refuge(root, label=LABEL):
    picture(root / "Training400" / "Glaucoma" / "g0001.jpg", PHANTOM.image)
    grey = np.array([255, 128, 0], np.uint8)[label]
    picture(root / "Annotation-Training400" / "Disc_Cup_Masks" / "Glaucoma" / "g0001.bmp", grey)


def drishti(root, with_maps=True, columns=slice(None, None, -1), eye="drishtiGS_002"):
    training = root / "Drishti-GS1_files" / "Training"
    picture(training / "Images" / "GLAUCOMA" / f"{eye}.png", PHANTOM.image)
    ground = training / "GT" / eye
    for structure, name in (("disc", "OD"), ("cup", "cup")):
        region = masks(LABEL)[structure] > 0
        if with_maps:
            # Two readers of four drew two pixels lower: where they differ the map is 64, 128 or 191.
            votes = 2 * region.astype(int) + np.roll(region, 2, axis=0) + np.roll(region, 3, axis=0)
            soft = np.array([0, 64, 128, 191, 255], np.uint8)[votes]
            picture(ground / "SoftMap" / f"{eye}_{name}segSoftmap.png", soft)
        boundary = ground / "AvgBoundary" / f"{eye}_{'OD' if name == 'OD' else 'Cup'}AvgBoundary.txt"
        points(boundary, region, columns)


def rim_one_r3(root):
    """A stereo pair, drawn in on the left; masks of its whole size."""
    base = root / "RIM-ONE r3" / "Healthy"
    picture(base / "Stereo Images" / "N-1-L.jpg", np.concatenate([PHANTOM.image, PHANTOM.image[:, ::-1]], axis=1))
    for reader, label in (("exp1", LABEL), ("exp2", LOWER)):
        for structure, mask in masks(label).items():
            wide = np.concatenate([mask, np.zeros_like(mask)], axis=1)
            picture(base / f"Expert{reader[-1]}_masks" / f"N-1-L-1-{structure.title()}-{reader}.png", wide)


def rim_one_dl(root):
    picture(
        root / "RIM-ONE_DL_images" / "partitioned_randomly" / "training_set" / "normal" / "r1_Im001.png", PHANTOM.image
    )
    for structure, mask in masks(LABEL).items():
        folder = root / "RIM-ONE_DL_reference_segmentations" / "normal"
        picture(folder / f"r1_Im001-1-{structure.title()}-T.png", mask)


def origa(root, variable="mask", label=LABEL):
    picture(root / "Images" / "001.jpg", PHANTOM.image)
    (root / "Semi-automatic-annotations").mkdir(parents=True)
    savemat(root / "Semi-automatic-annotations" / "001.mat", {variable: label.astype(float), "cdr": 0.5})


def papila(root):
    picture(root / "FundusImages" / "RET002OD.jpg", PHANTOM.image)
    for reader, label in (("exp1", LABEL), ("exp2", LOWER)):
        for structure, mask in masks(label).items():
            points(root / "ExpertsSegmentations" / "Contours" / f"RET002OD_{structure}_{reader}.txt", mask > 0)


def riga(root, suffix=".tif"):
    base = root / "RIGA" / "MESSIDOR"
    picture(base / f"image1prime{suffix}", PHANTOM.image)
    for reader in range(1, 7):
        drawing = Image.fromarray(PHANTOM.image)
        pen = ImageDraw.Draw(drawing)
        for mask in masks(LABEL if reader < 6 else LOWER).values():
            (contour,) = region_contours(mask > 0)
            pen.line([tuple(point) for point in contour[:, ::-1].tolist()], fill=(0, 0, 0), width=2)
        picture(base / f"{'Image' if reader == 2 else 'image'}1-{reader}{suffix}", drawing)


def idrid(root):
    picture(root / "1. Original Images" / "a. Training Set" / "IDRiD_01.jpg", PHANTOM.image)
    path = root / "2. All Segmentation Groundtruths" / "a. Training Set" / "5. Optic Disc" / "IDRiD_01_OD.tif"
    mask = Image.fromarray(np.uint8(LABEL > 0), mode="P")
    mask.putpalette([0, 0, 0, 255, 0, 0])
    path.parent.mkdir(parents=True)
    mask.save(path)
    picture(path.parents[1] / "1. Microaneurysms" / "IDRiD_01_MA.tif", np.zeros_like(LABEL))


def read(path):
    return np.asarray(Image.open(path))


def dice(one, other):
    return [2 * ((one >= v) & (other >= v)).sum() / ((one >= v).sum() + (other >= v).sum()) for v in (1, 2)]


@pytest.mark.parametrize(
    ("name", "make", "stem"),
    [
        ("refuge", refuge, "g0001"),
        ("rim-one", rim_one_dl, "r1_Im001"),
        ("origa", origa, "001"),
        ("origa", lambda root: origa(root, "maskFull"), "001"),
    ],
)
def test_labels_of_one_reader_are_the_same_in_every_pixel(name, make, stem, tmp_path):
    make(tmp_path / "in")
    main([name, str(tmp_path / "in"), str(tmp_path / "out")])
    assert np.array_equal(read(tmp_path / "out" / "label" / f"{stem}.png"), LABEL)
    (item,) = list_photographs(tmp_path / "out", labels="required")
    (source,) = [path for path in (tmp_path / "in").rglob(f"{stem}.*") if path.suffix in (".jpg", ".png")]
    assert Path(item["image"]).read_bytes() == source.read_bytes()
    assert not [path for path in (tmp_path / "out" / "label").iterdir() if path.is_dir()]


@pytest.mark.parametrize(("make", "name", "stem"), [(papila, "papila", "RET002OD"), (rim_one_r3, "rim-one", "N-1-L")])
def test_each_reader_has_a_folder_and_all_have_what_more_than_half_drew(make, name, stem, tmp_path, capsys):
    make(tmp_path / "in")
    main([name, str(tmp_path / "in"), str(tmp_path / "out")])
    assert "1 photographs with labels" in capsys.readouterr().out
    for reader, label in (("exp1", LABEL), ("exp2", LOWER)):
        assert np.array_equal(read(tmp_path / "out" / "label" / reader / f"{stem}.png"), label)
    both = read(tmp_path / "out" / "label" / f"{stem}.png")
    assert np.array_equal(both, agreed([LABEL, LOWER]))
    assert not np.array_equal(both, LABEL)


def test_of_a_stereo_pair_the_left_half_counts(tmp_path):
    rim_one_r3(tmp_path / "in")
    write_research_data("rim-one", tmp_path / "in", tmp_path / "out")
    whole = read(tmp_path / "in" / "RIM-ONE r3" / "Healthy" / "Stereo Images" / "N-1-L.jpg")
    assert np.array_equal(read(tmp_path / "out" / "image" / "N-1-L.png"), whole[:, :WIDTH])


def test_soft_maps_give_what_so_many_of_four_readers_drew(tmp_path):
    drishti(tmp_path / "in")
    count, readers, unfit = write_research_data("drishti", tmp_path / "in", tmp_path / "out")
    assert (count, unfit) == (1, {})
    assert sorted(readers) == [f"at_least_{n}_of_4" for n in range(1, 5)]
    by_count = [read(tmp_path / "out" / "label" / f"at_least_{n}_of_4" / "drishtiGS_002.png") for n in range(1, 5)]
    region = LABEL > 0
    votes = 2 * region.astype(int) + np.roll(region, 2, axis=0) + np.roll(region, 3, axis=0)
    assert np.array_equal(sum((each > 0).astype(int) for each in by_count), votes)
    assert np.array_equal(read(tmp_path / "out" / "label" / "drishtiGS_002.png") > 0, votes >= 2)


@pytest.mark.parametrize("columns", [slice(None), slice(None, None, -1)])
def test_the_order_of_point_files_is_found_out_by_an_eye_with_soft_maps(columns, tmp_path):
    drishti(tmp_path / "in", columns=columns)
    drishti(tmp_path / "in", with_maps=False, columns=columns, eye="drishtiGS_010")
    write_research_data("drishti", tmp_path / "in", tmp_path / "out")
    assert np.array_equal(read(tmp_path / "out" / "label" / "drishtiGS_010.png"), LABEL)


def test_where_the_order_of_points_is_open_it_is_asked_for(tmp_path):
    drishti(tmp_path / "in", with_maps=False)
    with pytest.raises(CallError, match="say which with --points xy or --points yx"):
        write_research_data("drishti", tmp_path / "in", tmp_path / "out")
    assert not (tmp_path / "out").exists()
    write_research_data("drishti", tmp_path / "in", tmp_path / "out", points="xy")
    assert np.array_equal(read(tmp_path / "out" / "label" / "drishtiGS_002.png"), LABEL)


@pytest.mark.parametrize("suffix", [".tif", ".jpg"])
def test_lines_that_six_readers_drew_into_the_photograph_are_filled(suffix, tmp_path):
    riga(tmp_path / "in", suffix)
    _, readers, unfit = write_research_data("riga", tmp_path / "in", tmp_path / "out")
    assert unfit == {}
    assert sorted(readers) == [f"reader{n}" for n in range(1, 7)]
    folder = tmp_path / "out" / "label"
    assert min(dice(read(folder / "reader1" / "image1prime.png"), LABEL)) > 0.97
    assert min(dice(read(folder / "reader6" / "image1prime.png"), LOWER)) > 0.97
    assert min(dice(read(folder / "image1prime.png"), LABEL)) > 0.97


def test_a_disc_alone_is_a_label_without_a_cup(tmp_path):
    idrid(tmp_path / "in")
    write_research_data("idrid", tmp_path / "in", tmp_path / "out")
    assert np.array_equal(read(tmp_path / "out" / "label" / "IDRiD_01.png"), (LABEL > 0).astype(np.uint8))


def test_what_cannot_be_read_is_named_and_the_rest_is_done(tmp_path, caplog):
    papila(tmp_path / "in")
    (tmp_path / "in" / "ExpertsSegmentations" / "Contours" / "RET002OD_cup_exp2.txt").write_text("1 2\n")
    with pytest.raises(SystemExit) as ended:
        main(["papila", str(tmp_path / "in"), str(tmp_path / "out")])
    assert ended.value.code == 1
    assert "RET002OD_cup_exp2.txt: it holds 1 points" in caplog.text
    assert np.array_equal(read(tmp_path / "out" / "label" / "RET002OD.png"), LABEL)


@pytest.mark.parametrize(
    ("name", "make", "says"),
    [
        ("refuge", lambda root: refuge(root, LABEL[:50]), "g0001.bmp: the label is 120 x 50 pixels but its photograph"),
        ("origa", lambda root: origa(root, label=LABEL + 3), "holds other values than 0"),
        ("origa", lambda root: origa(root, label=LABEL.T), "no single matrix of the photograph's size 120 x 96: mask"),
    ],
)
def test_where_not_one_label_can_be_used_nothing_is_written(name, make, says, tmp_path):
    make(tmp_path / "in")
    with pytest.raises(CallError, match=says):
        write_research_data(name, tmp_path / "in", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_folder_of_another_data_set_is_refused(tmp_path):
    refuge(tmp_path / "in")
    with pytest.raises(CallError, match="no photograph with a label as papila ships them"):
        write_research_data("papila", tmp_path / "in", tmp_path / "out")
    with pytest.raises(CallError, match="does not exist"):
        write_research_data("papila", tmp_path / "nowhere", tmp_path / "out")


@pytest.mark.parametrize("text", ["nan 1\n1 1\n2 2\n3 1\n", "", "x y\n", "1 2 3\n" * 5])
def test_text_that_is_no_contour_is_refused(text, tmp_path):
    (tmp_path / "disc.txt").write_text(text)
    with pytest.raises(UnreadablePhotographError, match=r"disc\.txt"):
        read_points(tmp_path / "disc.txt")
