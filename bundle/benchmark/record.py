"""The results of the benchmark's runs: whether a result is still valid, and one small file that keeps all results.

A run takes minutes, and its folder is not kept. With the record, the page can be written again elsewhere, the recorded
runs need not be repeated, and anyone can check a number with the scores of every photograph.
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
"""Masks for the page's gallery, kept only for the target whose photographs may be shown."""


def is_done(run: Run, setup: Setup) -> bool:
    """Whether the run has a result that was made from the current settings; see ``asked_for``."""
    return made_from(run.folder(setup.output) / RESULT, asked_for(run, setup))


def made_from(result: Path, asked: Mapping[str, Any]) -> bool:
    """Whether a result exists and was made from the given settings.

    Args:
        result: a JSON file whose ``asked`` holds the settings that it was made from.
        asked: the current settings, see ``asked_for``.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     write_json(Path(folder, RESULT), {"mean_dice": 0.9, "asked": {"images": None}})
        ...     made_from(Path(folder, RESULT), {"images": None}), made_from(Path(folder, RESULT), {"images": 4})
        (True, False)
    """
    return result.is_file() and same_request(json.loads(result.read_text(encoding="utf-8"))["asked"], asked)


def same_request(one: Any, other: Any) -> bool:
    """Whether two requests, or parts of them, are equal; of a component only the name of its class counts.

    A request contains components as in the config. The module in their ``_target_`` changes when code moves to another
    module, which does not change any result.

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
    """Write a JSON file atomically; ``made_from`` has an example."""
    with atomic_write(path) as temporary:
        temporary.write_text(json.dumps(content, indent=2), encoding="utf-8")


def write_record(output: Path, record: Path, shown: str) -> int:
    """Pack the kept files of every finished run; the same results give the same bytes.

    Args:
        output: the benchmark's output folder.
        record: a ``.tar.xz``, overwritten.
        shown: the target whose masks are packed too.

    Returns:
        The number of runs in it.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as name:
        ...     folder = Path(name)
        ...     run = folder / "output" / "runs" / "phantoms" / "plus" / "0"
        ...     write_json(run / RESULT, {"mean_dice": 0.9})
        ...     write_record(folder / "output", folder / "record.tar.xz", shown="phantoms")
        ...     read_record(folder / "record.tar.xz", folder / "elsewhere")
        1
        1
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
    """Files of finished runs, ordered by the runs' folders, and then those of the measurements of speed."""
    for result in sorted(output.glob(f"*/*/*/*/{RESULT}")):
        yield from (result.parent / name for name in KEPT if (result.parent / name).is_file())
        if result.relative_to(output).parts[1] == shown:
            yield from sorted(result.parent.glob(DRAWN))
        # Last, because it marks a run as done, and unpacking may be interrupted.
        yield result
    yield from sorted((output / "speed").rglob("*.json"))


def read_record(record: Path, output: Path) -> int:
    """Unpack the runs that are missing in the benchmark's output folder; ``write_record`` has an example.

    Args:
        record: a file that ``write_record`` wrote.
        output: the benchmark's output folder; a run that has a result there is not changed.

    Returns:
        The number of runs that were unpacked.

    Raises:
        ValueError: the record contains a name that leads out of the folder.
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
            # runs/TARGET/RECIPE/SEED, or speed/NAME.json.
            owner = output.joinpath(*name.parts[:4])
            if had.setdefault(owner, owner.is_file() or (owner / RESULT).is_file()):
                continue
            content = archive.extractfile(member)
            path.parent.mkdir(parents=True, exist_ok=True)
            with atomic_write(path) as temporary:
                temporary.write_bytes(content.read() if content else b"")
            runs += path.name == RESULT
    return runs
