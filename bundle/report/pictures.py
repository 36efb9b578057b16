"""What the report shows of a photograph beside what is said of it."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from bundle.report.outlines import Outlines

__all__ = ["Pictures"]


@dataclass(frozen=True)
class Pictures:
    """The pictures of one photograph, drawn or written to files.

    Attributes:
        jpeg: the card's picture; empty for none.
        outlines: contours that the page lays over it and can hide.
        mask: path of the mask relative to the report's folder, in posix form, e.g. ``masks/a.png``; empty for none.
        overlay: path of the overlay, likewise.
        structured_report: path of the DICOM structured report, likewise.
    """

    jpeg: bytes = b""
    outlines: Outlines | None = None
    mask: str = ""
    overlay: str = ""
    structured_report: str = ""

    def to_json(self) -> dict[str, Any]:
        """What ``from_json`` makes the same pictures of; it goes into JSON."""
        return asdict(self) | {"jpeg": base64.b64encode(self.jpeg).decode("ascii")}

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Pictures:
        """The pictures that ``to_json`` was called on."""
        outlines = content["outlines"] and Outlines(*content["outlines"])
        return cls(**{**content, "jpeg": base64.b64decode(content["jpeg"]), "outlines": outlines})
