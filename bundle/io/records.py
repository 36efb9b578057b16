"""Records of finished photographs, from which an interrupted stage continues."""

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
"""Names of the temporary files of ``atomic_write``, which a killed process leaves behind."""


class Records:
    """One small JSON file per photograph, written atomically after all other results of the photograph.

    Processes share nothing but the folder: each can write the records of its photographs, and one of them can read all.
    A record is valid only for the photograph (path, size, time of change) and the settings that it was made from.

    Args:
        output_dir: the stage's output folder; the records are in its subfolder ``name`` until ``clear`` removes them.
        name: of that subfolder, which is hidden.
        settings: fingerprint of everything that the results depend on, apart from the photographs.
        keys: keys of an item whose files (a path, or several) the results depend on.

    Example:
        >>> import tempfile
        >>> items = [{"name": name, "image": f"{name}.png"} for name in ("left", "right")]
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     records = Records(folder, ".inference", settings="fingerprint")
        ...     records.save(items[0], {"vcdr": 0.5})
        ...     [item["name"] for item in records.pending(items)], records.load(items[0])["vcdr"]
        (['right'], 0.5)
    """

    def __init__(
        self, output_dir: str | Path, name: str, settings: str, keys: Sequence[str] = (CommonKeys.IMAGE,)
    ) -> None:
        self.output_dir = Path(output_dir)
        self.folder = self.output_dir / name
        self.settings = settings
        self.keys = tuple(keys)

    def pending(self, items: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
        """List the items that have no valid record, in their order.

        Invalid records of these items are removed, with the files that they name; otherwise old files would remain
        next to the new results.

        Args:
            items: photographs with ``name`` and ``image`` (a path).

        Returns:
            Those that a resumed run still has to process.
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
            content: anything that JSON can hold, and numbers that are not finite. ``files`` lists files, relative to
                the output folder; if one of them is missing, the photograph is pending again.
            final: whether the photograph is done; if False, the record can be loaded, but the photograph is pending.
        """
        # Lone surrogates of an undecodable file name can be written as ASCII, but not as UTF-8.
        text = json.dumps({"of": self._fingerprint(item), "content": {**content, "final": final}}, ensure_ascii=True)
        with atomic_write(self._path(item)) as path:
            path.write_text(text, encoding="ascii")

    def load(self, item: Mapping[str, Any]) -> dict[str, Any] | None:
        """The content of a photograph's record; None if there is no valid record."""
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

        Call it when the results made from the records are written and no other process is writing.
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
