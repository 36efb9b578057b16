"""Made-up targets: disjoint halves of all kinds of photographs, written once."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bundle.benchmark import targets
from bundle.benchmark.setup import Setup
from bundle.benchmark.targets import made_of, write_target
from bundle.errors import CallError
from bundle.synthetic.phantoms.photographs import write_dataset


def names_in(folder: Path) -> tuple[list[str], list[str]]:
    images, labels = (sorted(path.stem for path in (folder / kind).iterdir()) for kind in ("image", "label"))
    return images, labels


def test_the_halves_of_a_target_are_disjoint_and_hold_both_kinds(data, output):
    setup = Setup(data, output)
    write_target("low_light", setup)
    halves = [names_in(folder) for folder in (setup.adaptation_set("low_light"), setup.scored_set("low_light"))]
    (adapted, adapted_labels), (scored, scored_labels) = halves
    assert adapted == adapted_labels
    assert scored == scored_labels
    assert not set(adapted) & set(scored)
    assert [sum(name[0] == "g" for name in half) for half in (adapted, scored)] == [2, 2]
    assert [len(adapted), len(scored)] == [6, 6]


def test_phantoms_of_both_cameras_are_in_both_halves(data, output):
    setup = Setup(data, output, images=4)
    write_target("phantoms", setup)
    for folder in (setup.adaptation_set("phantoms"), setup.scored_set("phantoms")):
        images, labels = names_in(folder)
        assert images == labels
        assert sum("harsh" in name for name in images) == sum("tight_red" in name for name in images) == 2
    assert not (output / "targets" / "phantoms" / "all").exists()


def test_a_real_target_made_worse_keeps_its_own_parts_and_its_labels(data, output):
    for split, number in (("train", 2), ("test", 3)):
        write_dataset(data / "drishti_gs" / split, number, kind="crop", cameras=("plain",), seed=number)
    setup = Setup(data, output)
    write_target("drishti_gs+all", setup)
    parts = {"train": setup.adaptation_set("drishti_gs+all"), "test": setup.scored_set("drishti_gs+all")}
    for split, folder in parts.items():
        assert names_in(folder) == names_in(data / "drishti_gs" / split)
        name = names_in(folder)[0][0]
        before, after = (
            np.asarray(Image.open(root / "image" / f"{name}.png").convert("RGB"), dtype=float).mean()
            for root in (data / "drishti_gs" / split, folder)
        )
        assert after < before
        # The shift's zoom of 1.25 holds for photograph and label alike.
        areas = [
            (np.asarray(Image.open(root / "label" / f"{name}.png")) > 0).sum()
            for root in (data / "drishti_gs" / split, folder)
        ]
        assert areas[1] / areas[0] == pytest.approx(1.25**2, rel=0.05)
    assert made_of("drishti_gs+all") != made_of("all")


@pytest.mark.parametrize("unknown", ["nowhere", "drishti_gs+nothing", "phantoms+all"])
def test_an_unknown_target_is_refused(unknown, tmp_path):
    with pytest.raises(CallError, match="no target"):
        write_target(unknown, Setup(tmp_path, tmp_path / "output"))
    assert not (tmp_path / "output").exists()


def test_a_target_is_written_once_and_again_when_its_shift_changes(data, output, monkeypatch):
    setup = Setup(data, output, images=1)
    write_target("low_light", setup)
    picture = next((setup.scored_set("low_light") / "image").iterdir())
    content, time = picture.read_bytes(), picture.stat().st_mtime_ns
    write_target("low_light", setup)
    assert picture.stat().st_mtime_ns == time
    monkeypatch.setitem(targets.SHIFTS, "low_light", targets.SHIFTS["colour_cast"])
    write_target("low_light", setup)
    assert picture.read_bytes() != content
