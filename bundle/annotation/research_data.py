"""Research data sets, as they ship, turned into a folder that every stage reads.

    python -m bundle.annotation.research_data refuge FOLDER OUTPUT
    python -m bundle.annotation.research_data papila FOLDER OUTPUT

OUTPUT receives image/, label/<name>.png (0 background, 1 disc rim, 2 cup) and, of a data set with several readers,
label/<reader>/<name>.png too.
"""

from __future__ import annotations

import argparse
import logging
import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from bundle.annotation.research_sets import SETS, Case, cases_of, picture_of
from bundle.data.names import split_suffix, unique_names
from bundle.errors import CallError, UnreadablePhotographError, one_line
from bundle.io.files import atomic_write
from bundle.morphometry.cup_disc import Label

__all__ = ["agreed", "main", "write_research_data"]

logger = logging.getLogger(__name__)


def agreed(labels: Sequence[Label]) -> Label:
    """What more than half of the readers drew, the disc and the cup each for itself.

    Args:
        labels: H x W of 0 (background), 1 (disc rim) and 2 (cup), one per reader.

    Example:
        >>> agreed([np.array([[0, 1, 2, 2]]), np.array([[0, 1, 1, 2]]), np.array([[1, 0, 2, 2]])]).tolist()
        [[0, 1, 2, 2]]
    """
    stack = np.stack(labels)
    disc, cup = ((stack >= value).sum(axis=0) * 2 > len(labels) for value in (1, 2))
    return disc.astype(np.uint8) + (disc & cup)


def write_research_data(
    name: str, folder: Path, output: Path, points: str | None = None
) -> tuple[int, set[str], dict[str, str]]:
    """Write photographs and labels of a data set; what cannot be read is named, left out, and the rest is done.

    Args:
        name: a key of ``SETS``.
        folder: as it was unpacked.
        output: receives ``image/`` and ``label/``. A photograph is copied as it is, the left half of a stereo pair as
            PNG.
        points: see ``cases_of``.

    Returns:
        The number of photographs, the readers, and the reason by path of what was left out.

    Raises:
        CallError: see ``cases_of``; or not one label could be read.
    """
    cases = cases_of(name, folder, points)
    names = unique_names([case.photograph.relative_to(folder).as_posix() for case in cases])
    written, readers, unfit = 0, set[str](), dict[str, str]()
    for case, stem in zip(cases, names, strict=True):
        drawn, faults = _labels(case)
        for fault in faults:
            unfit[fault.path] = fault.reason
            logger.warning("left out: %s", one_line(str(fault)))
        if not drawn:
            continue
        by_reader = {reader: label for reader, label in drawn.items() if reader}
        _write_photograph(case, stem, output)
        for reader, label in by_reader.items() if len(by_reader) > 1 else ():
            _write_label(label, output / "label" / reader / f"{stem}.png")
            readers.add(reader)
        _write_label(drawn[""] if "" in drawn else agreed([*by_reader.values()]), output / "label" / f"{stem}.png")
        written += 1
    if not written:
        first, reason = next(iter(unfit.items()))
        raise CallError(f"not one label of {folder} can be used; the first is {first}: {reason}.", "Mend them.")
    return written, readers, unfit


def _labels(case: Case) -> tuple[dict[str, Label], list[UnreadablePhotographError]]:
    """By reader what was drawn, with the data set's own label of all readers under no name; and what cannot be read."""
    drawn: dict[str, Label] = {}
    faults = []
    try:
        shape = picture_of(case).shape[:2]
    except UnreadablePhotographError as error:
        return {}, [error]
    for reader, draw in [*case.readers.items(), *([("", case.whole)] if case.whole else [])]:
        try:
            drawn[reader] = draw((shape[0], shape[1]))
        except UnreadablePhotographError as error:
            faults.append(error)
    return drawn, faults


def _write_photograph(case: Case, stem: str, output: Path) -> None:
    suffix = ".png" if case.left_half else case.photograph.name.removeprefix(split_suffix(case.photograph.name)[0])
    with atomic_write(output / "image" / f"{stem}{suffix}") as temporary:
        if case.left_half:
            Image.fromarray(picture_of(case)).save(temporary, format="PNG")
        else:
            shutil.copyfile(case.photograph, temporary)


def _write_label(label: Label, path: Path) -> None:
    with atomic_write(path) as temporary:
        Image.fromarray(label).save(temporary, format="PNG")


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command.

    Raises:
        CallError: there is nothing to turn.
        SystemExit: with status 1, when some files could not be read and all others are done.
    """
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", choices=sorted(SETS))
    parser.add_argument("folder", type=Path, help="the data set as it was unpacked")
    parser.add_argument("output", type=Path, help="receives image/ and label/")
    parser.add_argument("--points", choices=("xy", "yx"), help="order of Drishti-GS's point files")
    call = parser.parse_args(arguments)
    count, readers, unfit = write_research_data(call.name, call.folder, call.output, call.points)
    drawn_by = f", drawn by {', '.join(sorted(readers))}" if readers else ""
    print(f"{count} photographs with labels in {call.output}{drawn_by}")
    if unfit:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
