"""Results as they wait in their records until the report is made of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from bundle.errors import CallError
from bundle.io.records import Records
from bundle.report.pictures import Pictures
from bundle.results import Segmentation

__all__ = ["RecordedResults", "record_result"]


def record_result(
    records: Records, item: Mapping[str, Any], result: Segmentation, pictures: Pictures, final: bool = True
) -> None:
    """Write the record of a photograph, without its label.

    Args:
        records: where it goes.
        item: the photograph.
        result: what is said of it.
        pictures: whose files must be there when the record is read, or the photograph is done again.
        final: see ``Records.save``.
    """
    files = [path for path in (pictures.mask, pictures.overlay, pictures.structured_report) if path]
    content = {"result": result.to_json(), "pictures": pictures.to_json(), "files": files}
    records.save(item, content, final)


class RecordedResults(Sequence[tuple[Segmentation, Pictures]]):
    """The results of all photographs with their pictures, read from their records one at a time.

    Args:
        records: where they are.
        items: photographs, in the order of the report.

    Raises:
        CallError: when a result is asked for whose photograph has no record.
    """

    def __init__(self, records: Records, items: Sequence[Mapping[str, Any]]) -> None:
        self.records = records
        self.items = items

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, index: Any) -> Any:
        content = self.records.load(self.items[index])
        if content is None:
            raise CallError(
                f"{self.items[index]['image']} has no result: it was changed meanwhile, or a process ended early.",
                "Run the same command again: it does what is missing.",
            )
        return Segmentation.from_json(content["result"]), Pictures.from_json(content["pictures"])
