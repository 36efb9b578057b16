"""An annotator's round trip: contours out as polygons, corrected ones back as labels, and what correcting gains.

    python -m bundle.annotation.round_trip polygons --masks OUT/masks --output polygons
    python -m bundle.annotation.round_trip labels --polygons polygons --photographs FOLDER --output corrected
    python -m bundle.annotation.round_trip curve --data LABELLED --test LABELLED --output FOLDER [--page P --figure F]

``curve`` plays the annotator with labels that are there: it trains the model on some corrected photographs and scores
the contours of others, for more and more of them. docs/monai_label.md says more.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import math
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from skimage.draw import polygon2mask

from bundle.data.listing import list_photographs
from bundle.errors import CallError
from bundle.io.files import atomic_write
from bundle.morphometry.cup_disc import Label, region_contours
from bundle.networks.nested_classes import CLASSES
from bundle.report.contours import CUP_COLOUR, DISC_COLOUR
from bundle.stages import BUNDLE_ROOT, run_stage

BEGIN, END = "<!-- round trip -->", "<!-- end of round trip -->"
COLOURS = dict(zip(CLASSES, (DISC_COLOUR, CUP_COLOUR), strict=True))


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one of the three commands."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    curve = commands.add_parser("curve", help="number of corrected photographs against Dice on others")
    curve.add_argument("--data", type=Path, required=True, help="photographs and labels, which stand for corrections")
    curve.add_argument("--test", type=Path, required=True, help="photographs and labels that are scored")
    curve.add_argument("--output", type=Path, required=True, help="what is there already is not done again")
    curve.add_argument("--corrected", default="0,5,10,20,40", help="how many photographs are corrected")
    curve.add_argument(
        "--seeds", default="0", help="of the choice of photographs and of training; results are averaged"
    )
    curve.add_argument("--steps", type=int, default=30, help="batches in each training, however many photographs")
    curve.add_argument("--batch_size", type=int, default=8)
    curve.add_argument("--learning_rate", type=float, default=3e-4)
    curve.add_argument("--page", type=Path, help="Markdown file whose table is replaced")
    curve.add_argument("--figure", type=Path, help="PNG file; needs matplotlib")
    curve.add_argument("--checkpoint", default=str(BUNDLE_ROOT / "models" / "model.pt"))
    curve.add_argument("--key", action="append", default=[], metavar="KEY=VALUE", help="of the configs of all stages")
    polygons = commands.add_parser("polygons", help="masks as GeoJSON, which QuPath opens")
    polygons.add_argument("--masks", type=Path, required=True, help="PNG masks that inference wrote")
    polygons.add_argument("--output", type=Path, required=True, help="receives <name>.geojson")
    labels = commands.add_parser("labels", help="corrected GeoJSON as labels, with the photographs, for training")
    labels.add_argument("--polygons", type=Path, required=True, help="folder of <name>.geojson")
    labels.add_argument("--photographs", type=Path, required=True, help="the folder that inference read")
    labels.add_argument("--masks", type=Path, required=True, help="PNG masks that inference wrote, which tell the size")
    labels.add_argument("--output", type=Path, required=True, help="receives image/ and label/")
    call = parser.parse_args(arguments)
    if call.command == "polygons":
        print(f"{write_polygons(call.masks, call.output)} files in {call.output}")
    elif call.command == "labels":
        print(f"{write_labels(call.polygons, call.photographs, call.masks, call.output)} labels in {call.output}")
    else:
        table = measure_curve(call)
        lines = table_lines(table)
        print("\n".join(lines))
        if call.page:
            replace_table(call.page, lines)
        if call.figure:
            draw_curve(table, call.figure)


def write_polygons(masks: Path, output: Path) -> int:
    """Write each mask of a folder as GeoJSON and return how many there were."""
    paths = sorted(masks.glob("*.png"))
    if not paths:
        raise CallError(f"there are no PNG masks in {masks}.", "Run inference first, with --mask_format png.")
    for path in paths:
        content = polygons_of(np.asarray(Image.open(path)))
        with atomic_write(output / f"{path.stem}.geojson") as temporary:
            temporary.write_text(json.dumps(content), encoding="utf-8")
    return len(paths)


def polygons_of(label: Label) -> dict[str, Any]:
    """GeoJSON of a label map (H x W; 0, 1, 2): annotations as QuPath reads them, (x, y) from the picture's corner."""
    features = []
    for name, region in zip(CLASSES, (label >= 1, label == 2), strict=True):
        for contour in region_contours(region):
            properties = {"objectType": "annotation", "classification": {"name": name, "color": COLOURS[name]}}
            geometry = {"type": "Polygon", "coordinates": [(contour[:, ::-1] + 0.5).tolist()]}
            features.append({"type": "Feature", "geometry": geometry, "properties": properties})
    return {"type": "FeatureCollection", "features": features}


def label_of(path: Path, shape: tuple[int, int]) -> Label:
    """The label map (H x W) that a GeoJSON file draws: a pixel belongs to a polygon that holds its middle.

    Raises:
        CallError: the file is no GeoJSON, or one of its annotations is of neither structure.
    """
    remedy = f"Export annotations of the classes {' and '.join(CLASSES)} as GeoJSON."
    masks = {name: np.zeros(shape, bool) for name in CLASSES}
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        for feature in content["features"] if isinstance(content, dict) else content:
            name = feature["properties"]["classification"]["name"]
            geometry = feature["geometry"]
            parts = {"Polygon": [geometry["coordinates"]], "MultiPolygon": geometry["coordinates"]}[geometry["type"]]
            for outer, *holes in parts:
                masks[name] |= filled(outer, shape) & ~np.any([filled(hole, shape) for hole in holes], axis=0)
    except (ValueError, KeyError, TypeError, IndexError) as error:
        raise CallError(f"{path} cannot be read as contours ({error!r}).", remedy) from None
    return np.where(masks["optic_cup"], 2, masks["optic_disc"]).astype(np.uint8)


def filled(ring: Sequence[Sequence[float]], shape: tuple[int, int]) -> np.ndarray:
    """The pixels whose middle lies in a ring of (x, y) from the picture's corner."""
    return polygon2mask(shape, np.asarray(ring, dtype=float)[:, ::-1] - 0.5)


def write_labels(polygons: Path, photographs: Path, masks: Path, output: Path) -> int:
    """Write a data set for training out of those photographs that have corrected polygons; returns how many.

    Raises:
        CallError: there are no polygons, or some of an unknown photograph or of one without a mask.
    """
    paths = sorted(polygons.glob("*.geojson"))
    if not paths:
        raise CallError(f"there are no .geojson files in {polygons}.", "Export the corrected contours there.")
    sources = {item["name"]: Path(item["image"]) for item in list_photographs(photographs)}
    for path in paths:
        mask = masks / f"{path.stem}.png"
        if path.stem not in sources or not mask.is_file():
            missing = mask if path.stem in sources else f"photograph {path.stem} in {photographs}"
            raise CallError(f"{path} has no {missing}.", "Name polygons after the masks that they correct.")
        with Image.open(mask) as picture:
            label = label_of(path, (picture.height, picture.width))
        photograph = output / "image" / f"{path.stem}{sources[path.stem].suffix}"
        with atomic_write(photograph) as temporary:
            shutil.copyfile(sources[path.stem], temporary)
        with atomic_write(output / "label" / f"{path.stem}.png") as temporary:
            Image.fromarray(label).save(temporary)
    return len(paths)


def measure_curve(call: argparse.Namespace) -> dict[int, list[dict[str, Any]]]:
    """What ``metrics.json`` holds for each number of corrected photographs, one entry a seed."""
    items = list_photographs(call.data, labels="required")
    keys = {key: json.loads(value) for key, value in (text.split("=", 1) for text in call.key)}
    table: dict[int, list[dict[str, Any]]] = {}
    for count in map(int, call.corrected.split(",")):
        # Without corrections nothing is trained, whatever the seed.
        for seed in map(int, call.seeds.split(",") if count else "0"):
            folder = call.output / f"corrected_{count}_{seed}"
            if not (folder / "scores" / "metrics.json").is_file():
                checkpoint = call.checkpoint if count == 0 else improved(items, count, seed, folder, call, keys)
                run_stage(
                    "evaluation",
                    dataset_dir=str(call.test),
                    output_dir=str(folder / "scores"),
                    checkpoint=checkpoint,
                    view="crop",
                    **keys,
                )
            table.setdefault(count, []).append(json.loads((folder / "scores" / "metrics.json").read_text()))
    return table


def chosen(items: Sequence[dict[str, Any]], count: int, seed: int) -> list[dict[str, Any]]:
    """``count`` of the items; whoever corrects more has corrected those of a smaller count as well."""
    return sorted(items, key=lambda item: hashlib.sha256(f"{seed}:{item['name']}".encode()).digest())[:count]


def improved(
    items: Sequence[dict[str, Any]], count: int, seed: int, folder: Path, call: argparse.Namespace, keys: dict[str, Any]
) -> str:
    """Train on ``count`` corrected photographs and return the weights' file."""
    corrections = chosen(items, count, seed)
    for item in corrections:
        for kind in ("image", "label"):
            copy = folder / "data" / kind / f"{item['name']}{Path(item[kind]).suffix}"
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(item[kind], copy)
    batch_size = min(call.batch_size, count)
    # A last, smaller batch is left out, as in training.
    epochs = math.ceil(call.steps / (count // batch_size))
    run_stage(
        "training",
        dataset_dir=str(folder / "data"),
        output_dir=str(folder),
        checkpoint=call.checkpoint,
        split="$[@items, []]",
        batch_size=batch_size,
        max_epochs=epochs,
        warmup_epochs=max(1, epochs // 10),
        learning_rate=call.learning_rate,
        pretrained=False,
        seed=seed,
        **keys,
    )
    return str(folder / "model.pt")


def table_lines(table: dict[int, list[dict[str, Any]]]) -> list[str]:
    """The curve as a Markdown table, Dice in per cent."""
    lines = ["| corrected photographs | disc Dice | cup Dice | vCDR error |", "| --- | --- | --- | --- |"]
    for count, runs in table.items():
        cells = [spread([100 * run[name]["dice"] for run in runs], 1) for name in CLASSES]
        lines.append(f"| {count} | {' | '.join(cells)} | {spread([run['vcdr_mae'] for run in runs], 3)} |")
    return lines


def replace_table(page: Path, lines: Sequence[str]) -> None:
    """Put the table between its marks in a page."""
    text = page.read_text(encoding="utf-8")
    if BEGIN not in text or END not in text:
        raise CallError(f"{page} does not say where the table goes.", f"Put {BEGIN} and {END} there.")
    before, after = text.split(BEGIN)[0], text.split(END)[1]
    with atomic_write(page) as temporary:
        temporary.write_text("\n".join((before + BEGIN, *lines, END)) + after, encoding="utf-8")


def draw_curve(table: dict[int, list[dict[str, Any]]], path: Path) -> None:
    """Draw Dice of disc and cup over the number of corrected photographs; every seed has its mark."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    with mpl.rc_context({"font.size": 11, "axes.spines.top": False, "axes.spines.right": False}):
        figure = Figure(figsize=(6.4, 3.6), layout="constrained")
        axes = figure.add_subplot()
        for name, colour, marker in zip(CLASSES, ("#0b5fa5", "#c8102e"), "os", strict=True):
            values = {count: [100 * run[name]["dice"] for run in runs] for count, runs in table.items()}
            means = [sum(v) / len(v) for v in values.values()]
            axes.plot(list(values), means, color=colour, marker=marker, label=name.replace("_", " "))
            points = [(count, value) for count, v in values.items() if len(v) > 1 for value in v]
            axes.plot(*zip(*points, strict=True), ".", color=colour, alpha=0.5) if points else None
        axes.set(xlabel="corrected photographs", ylabel="Dice of other photographs, per cent", xticks=list(table))
        axes.grid(axis="y", alpha=0.3)
        axes.legend(frameon=False)
        with atomic_write(path) as temporary:
            figure.savefig(temporary, dpi=150)


def spread(values: Sequence[float], digits: int) -> str:
    """Mean, and the range where there are several values."""
    mean = f"{sum(values) / len(values):.{digits}f}"
    return mean if len(values) == 1 else f"{mean} ({min(values):.{digits}f} to {max(values):.{digits}f})"


if __name__ == "__main__":
    main()
