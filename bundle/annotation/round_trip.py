"""The round trip of corrections: contours as polygons, corrected polygons as labels, and the gain from corrections.

    python -m bundle.annotation.round_trip polygons --masks OUT/masks --output polygons [--format coco]
    python -m bundle.annotation.round_trip labels --polygons polygons --photographs FOLDER --output corrected
    python -m bundle.annotation.round_trip curve --data LABELLED --test LABELLED --output FOLDER [--page P --figure F]

curve simulates an annotator with existing labels: it trains the model on more and more corrected photographs and scores
the contours of others each time.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

from bundle.annotation.learning_curve import Training, draw_curve, measure_curve, replace_table, table_lines
from bundle.annotation.polygons import FORMATS, write_labels, write_polygons
from bundle.stages import BUNDLE_ROOT

__all__ = ["main"]

_ONLY = {None: None, "disc": "optic_disc", "cup": "optic_cup"}


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one of the three commands.

    Raises:
        CallError: there are no files to work on, or they do not belong together.
        SystemExit: with status 1, when some polygons make no label and all others are written.
    """
    call = parse(arguments)
    if call.command == "polygons":
        done = write_polygons(call.masks, call.output, call.format, call.tolerance, call.photographs)
        print(
            f"contours of {done.masks} masks in {call.output}: {done.fewest} to {done.most} points each, "
            f"Dice with the masks at least {done.lowest_dice:.4f}"
        )
    elif call.command == "labels":
        count, unfit = write_labels(
            call.polygons, call.photographs, call.output, call.masks, call.format, _ONLY[call.only], call.reader
        )
        print(f"{count} labels in {call.output}")
        if unfit:
            raise SystemExit(1)
    else:
        run_curve(call)


def run_curve(call: argparse.Namespace) -> None:
    """Measure the curve, print it, and write it to the page and the figure that the call names."""
    keys = {key: json.loads(value) for key, value in (text.split("=", 1) for text in call.key)}
    training = Training(call.checkpoint, call.steps, call.batch_size, call.learning_rate, keys)
    counts, seeds = ([int(number) for number in text.split(",")] for text in (call.corrected, call.seeds))
    curve = measure_curve(call.data, call.test, call.output, counts, seeds, training)
    lines = table_lines(curve)
    print("\n".join(lines))
    if call.page:
        replace_table(call.page, lines)
    if call.figure:
        draw_curve(curve, call.figure)


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    polygons = commands.add_parser("polygons", help="masks as polygons, which annotators' programs open")
    polygons.add_argument("--masks", type=Path, required=True, help="PNG masks that inference wrote")
    polygons.add_argument("--output", type=Path, required=True, help="receives the files")
    polygons.add_argument("--format", choices=sorted(FORMATS), default="qupath")
    polygons.add_argument(
        "--tolerance", type=float, help="largest distance in pixels; by default 30 to 60 points a contour are left"
    )
    polygons.add_argument("--photographs", type=Path, help="the folder that inference read, for the files' names")
    labels = commands.add_parser("labels", help="corrected polygons as labels, with the photographs, for training")
    labels.add_argument("--polygons", type=Path, required=True, help="folder of the files, or one file")
    labels.add_argument("--photographs", type=Path, required=True, help="the folder that inference read")
    labels.add_argument("--masks", type=Path, help="PNG masks that inference wrote, which tell the size")
    labels.add_argument("--output", type=Path, required=True, help="receives image/ and label/")
    labels.add_argument("--format", choices=sorted(FORMATS), default="qupath")
    labels.add_argument("--only", choices=("disc", "cup"), help="what was corrected, if the other was not")
    labels.add_argument("--reader", help="who corrected: the labels go to label/READER/")
    curve = commands.add_parser("curve", help="number of corrected photographs against Dice on others")
    curve.add_argument("--data", type=Path, required=True, help="photographs and labels, which stand for corrections")
    curve.add_argument("--test", type=Path, required=True, help="photographs and labels that are scored")
    curve.add_argument("--output", type=Path, required=True, help="what is there already is not done again")
    curve.add_argument("--corrected", default="0,5,10,20,40", help="how many photographs are corrected")
    curve.add_argument("--seeds", default="0", help="of the choice of photographs and of training, averaged")
    curve.add_argument("--steps", type=int, default=30, help="batches in each training, however many photographs")
    curve.add_argument("--batch_size", type=int, default=8)
    curve.add_argument("--learning_rate", type=float, default=3e-4)
    curve.add_argument("--page", type=Path, help="Markdown file whose table is replaced")
    curve.add_argument("--figure", type=Path, help="PNG file; needs Matplotlib")
    curve.add_argument("--checkpoint", default=str(BUNDLE_ROOT / "models" / "refuge.pt"))
    curve.add_argument("--key", action="append", default=[], metavar="KEY=VALUE", help="of the configs of both stages")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    main()
