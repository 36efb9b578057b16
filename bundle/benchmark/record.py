"""The results of the benchmark's runs: whether one is still valid, and one small file that keeps all of them.

A run takes minutes and its folder is not kept. With the record, the page can be written again elsewhere, the runs in it
need not be repeated, and the scores of every photograph are there for anyone who wants to check a number.
"""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from bundle.benchmark.plan import Run
from bundle.benchmark.request import asked_for
from bundle.benchmark.setup import Setup
from bundle.io.files import atomic_write

__all__ = ["RESULT", "is_done", "made_from", "read_record", "same_request", "write_json", "write_record"]

RESULT = "result.json"
KEPT = ("metrics.json", "metrics.csv", "adaptation.json", "forgotten/metrics.json", "inference/report.csv")
DRAWN = "inference/masks/*.png"
"""Masks for the page's gallery, of the target whose photographs may be shown."""


def is_done(run: Run, setup: Setup) -> bool:
    """Whether the run's result exists and was made from what is asked for now."""
    return made_from(run.folder(setup.output) / RESULT, asked_for(run, setup))


def made_from(result: Path, asked: Mapping[str, Any]) -> bool:
    """Whether a file with a result exists and was made from what is asked for now.

    Args:
        result: a JSON file whose ``asked`` says what it was made from.
        asked: see ``asked_for``.
    """
    return result.is_file() and same_request(json.loads(result.read_text(encoding="utf-8"))["asked"], asked)


def same_request(one: Any, other: Any) -> bool:
    """Whether two requests, or parts of them, are equal, where a component is known by the name of its class alone.

    A request holds components as the config describes them. The module in their ``_target_`` changes when code moves
    to another module, which changes no result.

    Example:
        >>> kept = {"losses": [{"_target_": "bundle.losses.PseudoLabelLoss", "anchor": 1.0}]}
        >>> asked = {"losses": [{"_target_": "bundle.losses.pseudo_label.PseudoLabelLoss", "anchor": 1.0}]}
        >>> same_request(kept, asked)
        True
    """
    return _without_modules(one) == _without_modules(other)


def _without_modules(part: Any) -> Any:
    if isinstance(part, Mapping):
        return {
            key: value.rpartition(".")[2] if key == "_target_" and isinstance(value, str) else _without_modules(value)
            for key, value in part.items()
        }
    return [_without_modules(each) for each in part] if isinstance(part, list) else part


def write_json(path: Path, content: Any) -> None:
    """Write a JSON file as a whole."""
    with atomic_write(path) as temporary:
        temporary.write_text(json.dumps(content, indent=2), encoding="utf-8")


def write_record(output: Path, record: Path, shown: str) -> int:
    """Pack what is kept of every finished run; the same results give the same bytes.

    Args:
        output: the benchmark's output folder.
        record: a ``.tar.xz``, overwritten.
        shown: the target whose masks are packed too.

    Returns:
        How many runs it holds.
    """
    runs = 0
    with atomic_write(record) as temporary, tarfile.open(temporary, "w:xz", preset=9) as archive:
        for path in _kept(output, shown):
            content = path.read_bytes()
            member = tarfile.TarInfo(path.relative_to(output).as_posix())
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
            runs += path.name == RESULT
    return runs


def _kept(output: Path, shown: str) -> Iterator[Path]:
    """Files of finished runs in the order of the runs' folders, then those of the measurements of speed."""
    for result in sorted(output.glob(f"*/*/*/*/{RESULT}")):
        yield from (result.parent / name for name in KEPT if (result.parent / name).is_file())
        if result.relative_to(output).parts[1] == shown:
            yield from sorted(result.parent.glob(DRAWN))
        # Last, because it marks a run as done: unpacking may be interrupted too.
        yield result
    yield from sorted((output / "speed").rglob("*.json"))


def read_record(record: Path, output: Path) -> int:
    """Unpack the runs that the benchmark's output folder does not have.

    Args:
        record: what ``write_record`` made.
        output: the benchmark's output folder; a run that has a result there is left as it is.

    Returns:
        How many runs were unpacked.

    Raises:
        ValueError: the record holds a name that leads out of the folder.
    """
    had: dict[Path, bool] = {}
    runs = 0
    with tarfile.open(record, "r:xz") as archive:
        for member in archive:
            name = PurePosixPath(member.name)
            if name.is_absolute() or ".." in name.parts or not member.isfile():
                raise ValueError(
                    f"{record} holds {member.name}, which is no file of a run. Take it from the repository."
                )
            path = output / name
            # Of runs/TARGET/RECIPE/SEED, or speed/NAME.json.
            owner = output.joinpath(*name.parts[:4])
            if had.setdefault(owner, owner.is_file() or (owner / RESULT).is_file()):
                continue
            content = archive.extractfile(member)
            path.parent.mkdir(parents=True, exist_ok=True)
            with atomic_write(path) as temporary:
                temporary.write_bytes(content.read() if content else b"")
            runs += path.name == RESULT
    return runs
