"""What is said of a photograph, and the models that say it."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bundle.data.spacing import PixelSpacing
from bundle.io.provenance import model_identity
from bundle.morphometry.cup_disc import Measurements
from bundle.morphometry.laterality import Laterality
from bundle.morphometry.millimetres import Millimetres, in_millimetres
from bundle.morphometry.rims import Rims
from bundle.networks.unet import DiscCupUNet
from bundle.uncertainty.interval import Interval
from bundle.uncertainty.quality import Quality

__all__ = ["STATUSES", "Adaptation", "Model", "Segmentation", "count_statuses", "photograph_count", "summary_line"]

STATUSES = ("ok", "review", "no_disc", "unreadable")


@dataclass(frozen=True, eq=False)
class Segmentation:
    """What was found in one photograph, and whether a reader should look at it.

    Attributes:
        image: its path, relative to the folder that was given, or as it was given; an array's number.
        status: one of ``STATUSES``.
        reason: why the status is not ``ok``, in words.
        label: H x W, uint8: 0 background, 1 disc rim, 2 optic cup; the optic disc is both. None if the photograph was
            unreadable, and where only what was said of it is at hand, as in a report.
        measurements: cup-to-disc ratios and sizes; NaN without a disc.
        rims: widths of the rim, and which eye it is; NaN without a cup.
        uncertainty: 0 to 1, the larger the poorer the contours are likely to be; NaN without a disc.
        vcdr_interval: where a reader's vertical ratio lies with 90 % probability (or as was asked for); NaN where it is
            not known.
        spacing: of the photograph's pixels on the retina; NaN where its file does not say.
        rims_mm: ``rims`` in millimetres.
        quality: measures of the photograph itself.

    Raises:
        ValueError: if the status is none of ``STATUSES``.

    Example:
        >>> Segmentation("eye.png", "no_disc", "no optic disc found").measurements.vcdr
        nan
    """

    image: str
    status: str
    reason: str = ""
    label: NDArray[np.uint8] | None = None
    measurements: Measurements = Measurements()
    rims: Rims = Rims()
    uncertainty: float = math.nan
    vcdr_interval: Interval = Interval()
    spacing: PixelSpacing = PixelSpacing()
    rims_mm: Rims = Rims()
    quality: Quality = Quality()

    def __post_init__(self) -> None:
        if self.status not in STATUSES:
            raise ValueError(f"status {self.status!r} is none of {', '.join(STATUSES)}")

    @property
    def millimetres(self) -> Millimetres:
        """``measurements`` in millimetres."""
        return in_millimetres(self.measurements, self.spacing)

    def to_json(self) -> dict[str, Any]:
        """What ``from_json`` makes the same result of, but for the label; it goes into JSON."""
        return {
            "image": self.image,
            "status": self.status,
            "reason": self.reason,
            "measurements": asdict(self.measurements),
            "rims": asdict(self.rims),
            "uncertainty": self.uncertainty,
            "vcdr_interval": list(self.vcdr_interval),
            "spacing": list(self.spacing),
            "rims_mm": asdict(self.rims_mm),
            "quality": list(self.quality),
        }

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Segmentation:
        """The result that ``to_json`` was called on, without its label."""
        parts = {
            "measurements": Measurements(**content["measurements"]),
            "rims": _rims(content["rims"]),
            "vcdr_interval": Interval(*content["vcdr_interval"]),
            "spacing": PixelSpacing(*content["spacing"]),
            "rims_mm": _rims(content["rims_mm"]),
            "quality": Quality(*content["quality"]),
        }
        return cls(**{**content, **parts})


def _rims(content: Mapping[str, Any]) -> Rims:
    return Rims(**{**content, "laterality": Laterality(*content["laterality"])})


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
class Adaptation:
    """What adapting to a camera gave.

    Attributes:
        model: the adapted model.
        record: ``adaptation.json``: recipe, seed, and what was measured without labels before and after.
    """

    model: Model
    record: dict[str, Any]


def count_statuses(results: Iterable[Segmentation]) -> dict[str, int]:
    """Number of photographs for every status of ``STATUSES``, in that order."""
    found = Counter(result.status for result in results)
    return {status: found[status] for status in STATUSES}


def summary_line(counts: Mapping[str, int]) -> str:
    """One line such as ``12 photographs: 9 ok, 2 review, 1 no_disc, 0 unreadable``."""
    return f"{photograph_count(sum(counts.values()))}: " + ", ".join(
        f"{number} {status}" for status, number in counts.items()
    )


def photograph_count(number: int) -> str:
    """Such as ``1 photograph``, ``12 photographs``."""
    return f"{number} photograph{'' if number == 1 else 's'}"
