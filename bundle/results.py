"""What is said of one photograph."""

from __future__ import annotations

import base64
import math
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bundle.io.provenance import model_identity
from bundle.morphometry.cup_disc import Measurements
from bundle.morphometry.laterality import Laterality
from bundle.morphometry.rims import Rims
from bundle.networks.unet import DiscCupUNet
from bundle.report.overlays import Outlines

__all__ = [
    "Adaptation",
    "Entry",
    "Model",
    "Row",
    "STATUSES",
    "Segmentation",
    "count_statuses",
    "photograph_count",
    "summary_line",
]


@dataclass(frozen=True, eq=False)
class Model:
    """A network with its weights.

    Attributes:
        checkpoint: the file that the weights were read from.
        network: takes B x 3 x W x H (both multiples of 32, intensities (v - 127) / 128) and gives logits of background,
            disc rim and optic cup.
    """

    checkpoint: Path
    network: DiscCupUNet

    def __str__(self) -> str:
        return model_identity(self.checkpoint)


@dataclass(frozen=True, eq=False)
class Segmentation:
    """What was found in one photograph.

    Attributes:
        image: its path, relative to the folder that was given, or as it was given; an array's number.
        status: ``ok``, ``review``, ``no_disc`` or ``unreadable``.
        reason: why the status is not ``ok``, in words.
        label: H x W, uint8: 0 background, 1 disc rim, 2 optic cup; the optic disc is both. None if it was unreadable.
        measurements: cup-to-disc ratios and sizes; NaN without a disc.
        rims: widths of the rim, and which eye it is; NaN without a cup.
        uncertainty: 0 to 1, the larger the poorer the contours are likely to be; NaN without a disc.
    """

    image: str
    status: str
    reason: str = ""
    label: NDArray[np.uint8] | None = None
    measurements: Measurements = Measurements()
    rims: Rims = Rims()
    uncertainty: float = math.nan


@dataclass(frozen=True, eq=False)
class Adaptation:
    """What adapting to a camera gave.

    Attributes:
        model: the adapted model.
        record: ``adaptation.json``: recipe, seed, and what was measured without labels before and after.
    """

    model: Model
    record: dict[str, Any]


STATUSES = ("ok", "review", "no_disc", "unreadable")


@dataclass
class Row:
    """One photograph's line in the report; NaN stands for what could not be measured.

    Args:
        image: path relative to the folder of photographs, in posix form.
        status: one of ``STATUSES``.
        vcdr: vertical cup-to-disc ratio.
        hcdr: horizontal cup-to-disc ratio.
        area_cdr: area cup-to-disc ratio.
        disc_x: x of the disc's centroid in pixels of the photograph.
        disc_y: y of the disc's centroid in pixels of the photograph.
        disc_height_px: height of the disc in pixels of the photograph.
        cup_height_px: height of the cup in pixels of the photograph.
        uncertainty: the larger, the more a reader's look is needed.
        reason: why the status is not ``ok``, in words.

    Raises:
        ValueError: if the status is none of ``STATUSES``.
    """

    image: str
    status: str
    vcdr: float = math.nan
    hcdr: float = math.nan
    area_cdr: float = math.nan
    disc_x: float = math.nan
    disc_y: float = math.nan
    disc_height_px: float = math.nan
    cup_height_px: float = math.nan
    uncertainty: float = math.nan
    reason: str = ""

    def __post_init__(self) -> None:
        if self.status not in STATUSES:
            raise ValueError(f"status {self.status!r} is none of {', '.join(STATUSES)}")

    @classmethod
    def of(
        cls, image: str, status: str, measured: Measurements, uncertainty: float = math.nan, reason: str = ""
    ) -> Row:
        """A row with the values that were measured on the photograph's label map."""
        names = {field.name for field in fields(cls)} & {field.name for field in fields(measured)}
        values = {name: getattr(measured, name) for name in names}
        return cls(image, status, uncertainty=uncertainty, reason=reason, **values)


@dataclass(frozen=True)
class Entry:
    """A photograph's part of the report.

    Args:
        row: what is known of the photograph.
        jpeg: the card's picture; empty for none.
        mask_name: path of the mask relative to the report's folder, in posix form, e.g. ``masks/a.png``.
        overlay_name: path of the overlay, likewise.
        outlines: contours that the page lays over the picture and can hide.
        rims: widths of the rim and which eye it is.
    """

    row: Row
    jpeg: bytes = b""
    mask_name: str | None = None
    overlay_name: str | None = None
    outlines: Outlines | None = None
    rims: Rims = Rims()

    def to_json(self) -> dict[str, Any]:
        """What ``from_json`` makes the same entry of; it goes into JSON."""
        return asdict(self) | {"jpeg": base64.b64encode(self.jpeg).decode("ascii")}

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Entry:
        """The entry that ``to_json`` was called on."""
        rims = {**content["rims"], "laterality": Laterality(*content["rims"]["laterality"])}
        return cls(
            Row(**content["row"]),
            base64.b64decode(content["jpeg"]),
            content["mask_name"],
            content["overlay_name"],
            content["outlines"] and Outlines(*content["outlines"]),
            Rims(**rims),
        )


def count_statuses(rows: Iterable[Row]) -> dict[str, int]:
    """Number of photographs for every status of ``STATUSES``, in that order."""
    found = Counter(row.status for row in rows)
    return {status: found[status] for status in STATUSES}


def summary_line(counts: Mapping[str, int]) -> str:
    """One line such as ``12 photographs: 9 ok, 2 review, 1 no_disc, 0 unreadable``."""
    return f"{photograph_count(sum(counts.values()))}: " + ", ".join(
        f"{number} {status}" for status, number in counts.items()
    )


def photograph_count(number: int) -> str:
    return f"{number} photograph{'' if number == 1 else 's'}"
