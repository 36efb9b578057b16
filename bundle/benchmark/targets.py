"""The made-up targets: phantoms, and photographs as a shifted camera would take them."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bundle.benchmark.plan import PHANTOMS, REAL, TARGETS
from bundle.benchmark.setup import Setup, chosen_photographs
from bundle.data.listing import list_photographs
from bundle.errors import CallError
from bundle.synthetic.phantoms.photographs import write_dataset
from bundle.synthetic.shifts import SHIFTS, write_shifted

__all__ = ["PHOTOGRAPHS", "made_of", "write_phantoms", "write_target"]

PHOTOGRAPHS = 16
"""Number of photographs of each made-up target to adapt to, and number of other photographs to score."""
MADE_OF = "made_of.json"
Items = Sequence[Mapping[str, Any]]


def made_of(target: str) -> str:
    """Describe how the photographs of a target are made; a changed description makes them again.

    Example:
        >>> made_of("tight_crop"), made_of("drishti_gs")
        ('Shift(style=None, zoom=1.45, cup=1.0)', 'drishti_gs')
    """
    photographed, plus, shift = target.rpartition("+")
    return f"{photographed}{plus}{SHIFTS[shift]!r}" if shift in SHIFTS else target


def write_target(target: str, setup: Setup) -> None:
    """Make a target, unless it exists already.

    It is made from held-out photographs of the source: one half (every other photograph) serves for adaptation, the
    other half for scoring. A target such as ``drishti_gs+severe`` is made from the two parts of the real target.

    Args:
        target: its name.
        setup: of the runs.

    Raises:
        CallError: there is no such target.
    """
    if target == REAL:
        return
    photographed, plus, shift = target.rpartition("+")
    if target != PHANTOMS and (shift not in SHIFTS or (plus and photographed != REAL)):
        raise CallError(f"there is no target {target}.", f"Use some of {', '.join(TARGETS)}.")
    folder = setup.output / "targets" / target
    made = json.dumps([made_of(target), setup.images])
    if (folder / MADE_OF).is_file() and (folder / MADE_OF).read_text() == made:
        return
    shutil.rmtree(folder, ignore_errors=True)
    count = 2 * (setup.images or PHOTOGRAPHS)
    if target == PHANTOMS:
        _write_phantom_halves(folder, count)
    else:
        for part, items in zip(("adapt", "score"), _photographs_to_shift(photographed, count, setup), strict=True):
            write_shifted(items, folder / part, shift)
    (folder / MADE_OF).write_text(made)


def write_phantoms(folder: Path, count: int) -> None:
    """Write ``count`` crops of phantoms, alternately by two cameras that are unlike the source's."""
    write_dataset(folder, count, kind="crop", cameras=("tight_red", "harsh"), seed=900)


def _write_phantom_halves(folder: Path, count: int) -> None:
    everything = folder / "all"
    write_phantoms(everything, count)
    for part, items in zip(("adapt", "score"), _halves(list_photographs(everything, labels="required")), strict=True):
        for item in items:
            for kind in ("image", "label"):
                (folder / part / kind).mkdir(parents=True, exist_ok=True)
                Path(item[kind]).rename(folder / part / kind / Path(item[kind]).name)
    shutil.rmtree(everything)


def _photographs_to_shift(photographed: str, count: int, setup: Setup) -> tuple[Items, Items]:
    """The photographs from which those to adapt to, and those to score, are made."""
    if photographed == REAL:
        train, test = (
            chosen_photographs(setup.data / REAL / split, "required", most=setup.images) for split in ("train", "test")
        )
        return train, test
    return _halves(chosen_photographs(setup.source_set, "required", held_out=True, most=count))


def _halves(items: Items) -> tuple[Items, Items]:
    """Every other item, and the rest: sorted by name, both halves then contain all cameras, or all kinds of eyes."""
    return items[::2], items[1::2]
