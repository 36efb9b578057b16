"""Judges a photograph: its contours measured, and whether a reader should look at it."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from monai.data import MetaTensor

from bundle.data.spacing import PixelSpacing
from bundle.morphometry.cup_disc import measure
from bundle.morphometry.laterality import Laterality, guess_laterality
from bundle.morphometry.plausibility import implausibility
from bundle.morphometry.rims import measure_rims
from bundle.report.prediction import Prediction
from bundle.results import Segmentation
from bundle.uncertainty.interval import Interval, RatioInterval
from bundle.uncertainty.quality import Quality, QualityLimits, cut_share, quality_of_view

__all__ = ["Assessor"]

_LEAST_FIT, _MOST_FIT = 0.7, 1.4
"""Height of a disc's contour, as shares of the diameter that the search found; of 120 good ones 0.9 to 1.2."""


class Assessor:
    """Says of a prediction all that is said of it, and writes nothing.

    Args:
        dataset_dir: results name photographs by their path relative to it; by their names alone if it is None.
        max_uncertainty: a photograph whose cup is above it (1 - expected Dice) is to be reviewed, in [0, 1].
        max_disc_uncertainty: the same of the disc, whose edge is the more certain one; None for ``max_uncertainty``.
        uncertainty_scale: the model's uncertainty is divided by it before anything is said of it, in (0, 1]
            (see ``bundle.uncertainty.scale``).
        min_confidence: a photograph whose disc was found with less confidence is to be reviewed, in [0, 1].
        min_sharpness: so is one whose view is less sharp (``bundle.uncertainty.sharpness``); 0 for none.
        max_distance: so is one farther from the training data (``norm_distance``); infinity for none.
        guess_eye: whether to guess which eye it is where neither the file nor its name says.
        rim_sector: angle over which a rim's width is averaged, in degrees, above 0 and up to 90.
        interval: gives the interval of a vertical ratio; None for none.
        quality: limits of the photograph's quality; None for the usual ones.
    """

    def __init__(
        self,
        dataset_dir: str | Path | None,
        max_uncertainty: float = 0.08,
        uncertainty_scale: float = 1.0,
        min_confidence: float = 0.82,
        min_sharpness: float = 0.0,
        max_distance: float = math.inf,
        guess_eye: bool = True,
        rim_sector: float = 30.0,
        interval: RatioInterval | None = None,
        quality: QualityLimits | None = None,
        max_disc_uncertainty: float | None = None,
    ) -> None:
        self.root = None if dataset_dir is None else Path(dataset_dir).expanduser().absolute()
        self.max_uncertainty = max_uncertainty
        self.max_disc_uncertainty = max_uncertainty if max_disc_uncertainty is None else max_disc_uncertainty
        self.uncertainty_scale = uncertainty_scale
        self.min_confidence = min_confidence
        self.min_sharpness = min_sharpness
        self.max_distance = max_distance
        self.guess_eye = guess_eye
        self.rim_sector = rim_sector
        self.interval = interval
        self.quality = quality or QualityLimits()

    def __call__(self, prediction: Prediction) -> Segmentation:
        """The result of a photograph that was segmented."""
        label, borders = prediction.label, prediction.borders
        found = borders.box is not None
        quality = self._quality(prediction, found)
        faults = self.quality.faults(quality)
        reasons = self._reasons(prediction, quality, faults) if found else ["no optic disc found", *faults]
        measurements = measure(label, borders=borders)
        laterality, spacing = self._laterality(prediction), _spacing(prediction)
        uncertainty = max(self._uncertainties(prediction)) if found else math.nan
        # Without a cup there is a ratio of 0 but nothing that was measured.
        known = self.interval is not None and measurements.vcdr > 0
        return Segmentation(
            image=self._relative(prediction.path),
            status="no_disc" if not found else "review" if reasons else "ok",
            reason="; ".join(reasons),
            label=label,
            measurements=measurements,
            rims=measure_rims(label, laterality, self.rim_sector, borders),
            uncertainty=uncertainty,
            vcdr_interval=self.interval(measurements.vcdr, uncertainty) if self.interval and known else Interval(),
            spacing=spacing,
            rims_mm=measure_rims(label, laterality, self.rim_sector, borders, spacing),
            quality=quality,
        )

    def unreadable(self, path: str | Path, reason: str) -> Segmentation:
        """The result of a photograph that could not be read.

        Args:
            path: its file.
            reason: why, in words.
        """
        return Segmentation(self._relative(Path(path)), "unreadable", reason)

    @staticmethod
    def _quality(prediction: Prediction, found: bool) -> Quality:
        of_view = quality_of_view(prediction.view)
        return of_view._replace(
            sharpness=of_view.sharpness if found else math.nan,
            disc_cut=cut_share(prediction.label, prediction.photograph),
            disc_confidence=float(_known(prediction, "disc_confidence", 1.0)),
            discs=int(found) + int(found and bool(_known(prediction, "disc_rival", False))),
            norm_distance=prediction.norm_distance,
            fundus_distance=prediction.fundus_distance,
        )

    def _reasons(self, prediction: Prediction, quality: Quality, faults: list[str]) -> list[str]:
        """Why a reader should look at a photograph with a disc; none if all is well."""
        label = prediction.label
        disc, cup = self._uncertainties(prediction)
        has_cup = bool((label == 2).any())
        checks = {
            # Of a cup that is not drawn there is no edge to doubt.
            "cup edge uncertain": has_cup and cup > self.max_uncertainty,
            "disc edge uncertain": disc > self.max_disc_uncertainty,
            **dict.fromkeys(faults, True),
            "out of focus": quality.sharpness < self.min_sharpness,
            "unlike anything seen in training": quality.norm_distance > self.max_distance,
            "disc found with low confidence": quality.disc_confidence < self.min_confidence,
            "no cup visible": not has_cup,
            "two discs: cut the picture, one eye each": quality.discs > 1,
            "a picture without colour": bool(_known(prediction, "colourless", False)),
            "implausible contour: it is not of the size of the disc that was found": self._misfit(prediction),
        }
        whole = _known(prediction, "view", "crop") == "photograph"
        odd = implausibility(label, prediction.photograph, whole)
        return [reason for reason, applies in checks.items() if applies] + [f"implausible contour: {odd}"] * bool(odd)

    @staticmethod
    def _misfit(prediction: Prediction) -> bool:
        """Whether the contour is not of the size of the disc that was found, as where a disc is painted over."""
        found = float(_known(prediction, "disc_diameter", math.nan))
        height = measure(prediction.label, borders=prediction.borders).disc_height_px
        return not math.isnan(found) and not _LEAST_FIT <= height / found <= _MOST_FIT

    def _uncertainties(self, prediction: Prediction) -> list[float]:
        """Of disc and cup, in [0, 1]."""
        return [min((1 - dice) / self.uncertainty_scale, 1.0) for dice in prediction.expected_dice]

    def _laterality(self, prediction: Prediction) -> Laterality:
        stated = _known(prediction, "laterality", "")
        if stated:
            by_name = _known(prediction, "laterality_source", "file") == "name"
            return Laterality("right" if stated == "right" else "left", "name" if by_name else "file")
        return guess_laterality(prediction.photograph, prediction.label) if self.guess_eye else Laterality()

    def _relative(self, path: Path) -> str:
        if self.root is None or not path.is_relative_to(self.root):
            return path.name
        return path.relative_to(self.root).as_posix()


def _spacing(prediction: Prediction) -> PixelSpacing:
    return PixelSpacing(*(float(_known(prediction, f"{axis}_spacing_mm", math.nan)) for axis in PixelSpacing._fields))


def _known(prediction: Prediction, key: str, default: Any) -> Any:
    """What the view's meta data say."""
    view = prediction.view
    return view.meta.get(key, default) if isinstance(view, MetaTensor) else default
