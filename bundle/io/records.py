"""What a stage keeps of each photograph that it has finished, so that it continues where it was interrupted."""

from __future__ import annotations

import contextlib
import json
import re
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from monai.utils import CommonKeys, ensure_tuple

from bundle.io.files import atomic_write, safe_output_path
from bundle.io.provenance import fingerprint

__all__ = ["Records"]

_LEFTOVER = re.compile(r"\.[0-9a-f]{16}(\..*)?")
"""What ``atomic_write`` calls the file that a killed process leaves behind."""


class Records:
    """One small JSON file a photograph, written as a whole when all else that the photograph gives is written.

    Nothing but the folder is shared, so that several processes can each write the records of their photographs and one
    of them can read all. A record counts only for the very photograph (path, size, time of change) and the very
    settings that it was made from.

    Args:
        output_dir: the stage's folder; the records lie in its hidden folder ``name`` until ``clear`` removes them.
        name: of the hidden folder.
        settings: fingerprint of everything but the photographs that the results depend on.
        keys: of an item, whose files (a path, or several) the results depend on.
    """

    def __init__(
        self, output_dir: str | Path, name: str, settings: str, keys: Sequence[str] = (CommonKeys.IMAGE,)
    ) -> None:
        self.output_dir = Path(output_dir)
        self.folder = self.output_dir / name
        self.settings = settings
        self.keys = tuple(keys)

    def pending(self, items: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
        """The items that have no record yet, in their order.

        Records of theirs that do not count are removed, with the files that they name, before anything is written:
        otherwise old files would lie beside the new results.

        Args:
            items: photographs with ``name`` and ``image`` (a path).
        """
        waiting = []
        for item in items:
            content = self.load(item)
            files = [] if content is None else content.get("files", [])
            if content is None or not content["final"] or not all((self.output_dir / path).is_file() for path in files):
                self._discard(self._path(item))
                waiting.append(item)
        return waiting

    def _discard(self, record: Path) -> None:
        """Remove a record and the files that it names."""
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
            for path in json.loads(record.read_text(encoding="ascii"))["content"].get("files", []):
                safe_output_path(self.output_dir, path).unlink(missing_ok=True)
        record.unlink(missing_ok=True)

    def save(self, item: Mapping[str, Any], content: Mapping[str, Any], final: bool = True) -> None:
        """Write a photograph's record, replacing an earlier one.

        Args:
            item: the photograph.
            content: what goes into JSON (numbers that are not finite too). ``files`` names files, relative to the
                output folder, without which the photograph is pending again.
            final: whether the photograph is done; otherwise the record counts, but the photograph is pending again.
        """
        # Lone surrogates of an undecodable file name pass through ASCII, not through UTF-8.
        text = json.dumps({"of": self._fingerprint(item), "content": {**content, "final": final}}, ensure_ascii=True)
        with atomic_write(self._path(item)) as path:
            path.write_text(text, encoding="ascii")

    def load(self, item: Mapping[str, Any]) -> dict[str, Any] | None:
        """The content of a photograph's record; None if there is none that counts."""
        try:
            record = json.loads(self._path(item).read_text(encoding="ascii"))
            return record["content"] if record["of"] == self._fingerprint(item) else None
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def keep_only(self, items: Sequence[Mapping[str, Any]]) -> None:
        """Remove what an interrupted run has left of photographs that are not among ``items``, files and records."""
        names = {self._path(item) for item in items}
        for path in self.folder.glob("*.json"):
            if path not in names:
                self._discard(path)

    def clear(self) -> None:
        """Remove all records, and the temporary files that killed processes left in the output folder.

        Call it when what was made of the records is written and no other process is at work.
        """
        shutil.rmtree(self.folder, ignore_errors=True)
        subfolders = [path for path in self.output_dir.iterdir() if path.is_dir() and not path.is_symlink()]
        for folder in (self.output_dir, *subfolders):
            for path in folder.iterdir():
                if _LEFTOVER.fullmatch(path.name) and path.is_file():
                    path.unlink()

    def _path(self, item: Mapping[str, Any]) -> Path:
        return safe_output_path(self.output_dir, self.folder.name, f"{item['name']}.json")

    def _fingerprint(self, item: Mapping[str, Any]) -> str:
        files = [path for key in self.keys for path in ensure_tuple(item[key])]
        parts = [{"name": item["name"], "image": path} for path in files]
        return fingerprint(None, parts, self.settings, *map(str, files))
