"""What the benchmark's runs left, in one small file that is kept with the page drawn from it.

A run takes minutes and its folder is not kept. With the record, the page can be drawn again elsewhere, runs that are
in it are not repeated, and whoever doubts a figure has the scores of every photograph.
"""

from __future__ import annotations

import io
import tarfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from bundle.io.files import atomic_write

RESULT = "result.json"
KEPT = ("metrics.json", "metrics.csv", "adaptation.json", "forgotten/metrics.json", "inference/report.csv")
DRAWN = "inference/masks/*.png"
"""Masks that the gallery shows, of targets whose photographs may be shown."""


def write_record(output: Path, record: Path, shown: str) -> int:
    """Pack what is kept of every finished run, so that the same results make the same bytes.

    Args:
        output: the benchmark's folder.
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
    """Files of finished runs and of the speed's measurement, in the order of their names."""
    for result in sorted(output.glob(f"*/*/*/*/{RESULT}")):
        yield from (result.parent / name for name in KEPT if (result.parent / name).is_file())
        if result.relative_to(output).parts[1] == shown:
            yield from sorted(result.parent.glob(DRAWN))
        # Last, for it marks a run as done, also where it is unpacked.
        yield result
    yield from sorted((output / "speed").rglob("*.json"))


def read_record(record: Path, output: Path) -> int:
    """Unpack the runs that the benchmark's folder does not have.

    Args:
        record: what ``write_record`` made.
        output: the benchmark's folder; a run with a result there is left as it is.

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
