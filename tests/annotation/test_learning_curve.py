"""More corrected photographs, better contours: measured once, and put where it belongs."""

from __future__ import annotations

import json

import pytest
from PIL import Image

from bundle.annotation.learning_curve import chosen
from bundle.annotation.round_trip import main
from bundle.networks.weights import save_weights
from bundle.synthetic.phantoms.photographs import write_dataset
from tests.annotation.geojson import save

pytestmark = pytest.mark.usefixtures("_determinism")


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
        assert len(figure.convert("RGB").getcolors(10**6) or ()) > 20

    stamps = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").rglob("*.*")}
    main(["curve", *arguments])
    assert stamps == {path: path.stat().st_mtime_ns for path in (tmp_path / "out").rglob("*.*")}
