"""From predictions on the view to what the user keeps: masks, overlays and the report."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Hashable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from ignite.engine import Engine, Events
from monai.data import MetaTensor
from monai.inferers import SimpleInferer
from monai.transforms import MapTransform
from PIL import Image

from bundle.datasets import PhotographDataset
from bundle.folders import atomic_write, safe_output_path
from bundle.handlers import finished_items
from bundle.laterality import Laterality, guess_laterality
from bundle.mask_files import MASK_SUFFIXES, check_mask_format, write_mask
from bundle.measurements import Measurements, clean, measure
from bundle.overlays import draw_overlay, outlined_close_up
from bundle.report import Report, Row
from bundle.rims import measure_rims

__all__ = ["ChannelsLastInferer", "CleanLabeld", "ReportWriter"]

logger = logging.getLogger(__name__)


class ChannelsLastInferer(SimpleInferer):
    """``SimpleInferer`` that brings the network into the memory format that the configs give it.

    Whoever makes the network from ``network_def`` alone, as MONAI Label does, gets the command line's prediction to the
    last bit; in another format the convolutions round differently.
    """

    def __call__(
        self, inputs: torch.Tensor, network: Callable[..., torch.Tensor], *args: Any, **kwargs: Any
    ) -> torch.Tensor:
        """Logits of ``inputs`` (B x 3 x W x H); the network stays in the format."""
        if isinstance(network, torch.nn.Module):
            network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        return super().__call__(inputs, network, *args, **kwargs)


class CleanLabeld(MapTransform):
    """Keep the largest disc without holes and the largest cup in it; keep nothing where no disc was found.

    Args:
        keys: label maps 1 x W x H (0 background, 1 rim, 2 cup) whose meta data hold ``disc_confidence``
            (see ``DiscViewd``; a map without it counts as found).
        min_disc_px: a disc of fewer pixels is none.
        allow_missing_keys: pass over keys that are missing.
    """

    def __init__(self, keys: str | Sequence[str], min_disc_px: int = 64, allow_missing_keys: bool = False) -> None:
        super().__init__(keys, allow_missing_keys)
        self.min_disc_px = min_disc_px

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        d = dict(data)
        for key in self.key_iterator(d):
            label = torch.as_tensor(d[key])
            found = not isinstance(d[key], MetaTensor) or float(d[key].meta.get("disc_confidence", 1.0)) > 0
            cleaned = clean(label[0].cpu().numpy().astype(np.uint8)) if found else np.zeros(label.shape[1:], np.uint8)
            if np.count_nonzero(cleaned) < self.min_disc_px:
                cleaned[:] = 0
            new = torch.from_numpy(cleaned)[None].to(label.device)
            d[key] = MetaTensor(new, meta=d[key].meta) if isinstance(d[key], MetaTensor) else new
        return d


class ReportWriter:
    """Ignite handler that writes masks and overlays as they come, and the report at the end.

    Each item of ``engine.state.batch`` holds ``name``, ``image`` and ``photograph`` (3 x W x H, 0..255), each of
    ``engine.state.output`` holds ``pred`` (W x H, uint8) and ``expected_dice`` (disc, cup).

    Args:
        output_dir: receives ``masks/``, ``overlays/``, ``report.csv``, ``measurements.csv`` and ``report.html``.
        dataset_dir: paths in the report are relative to it.
        dataset: knows which photographs were unreadable, and lists all of them.
        model: the model's identity, for the report.
        max_uncertainty: a photograph above it is to be reviewed, in [0, 1].
        min_confidence: a photograph whose disc was found with less confidence is to be reviewed, in [0, 1].
        guess_eye: whether to guess which eye it is where the file does not say.
        rim_sector: angle over which a rim's width is averaged, in degrees, above 0 and up to 90.
        mask_format: a key of ``bundle.mask_files.MASK_SUFFIXES``.

    Raises:
        CallError: if the mask format is unknown or needs a package that is not installed.
    """

    def __init__(
        self,
        output_dir: str | Path,
        dataset_dir: str | Path,
        dataset: PhotographDataset,
        model: str,
        max_uncertainty: float = 0.08,
        min_confidence: float = 0.7,
        guess_eye: bool = True,
        rim_sector: float = 30.0,
        mask_format: str = "png",
    ) -> None:
        check_mask_format(mask_format)
        self.output_dir = Path(output_dir)
        self.root = Path(dataset_dir).expanduser().absolute()
        self.dataset = dataset
        self.model = model
        self.max_uncertainty = max_uncertainty
        self.min_confidence = min_confidence
        self.guess_eye = guess_eye
        self.rim_sector = rim_sector
        self.mask_format = mask_format

    def attach(self, engine: Engine) -> None:
        engine.add_event_handler(Events.STARTED, self.start)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self.collect)
        engine.add_event_handler(Events.COMPLETED, self.finish)

    def start(self) -> None:
        """Open the report."""
        self.output_dir.mkdir(parents=True, exist_ok=True)
        self.report = Report(self.output_dir, model=self.model)
        self.sources = {item["name"]: Path(item["image"]) for item in self.dataset.data}
        self.paths = {name: self._relative(source) for name, source in self.sources.items()}

    def collect(self, engine: Engine) -> None:
        """Write what belongs to the photographs of one iteration."""
        for item, output in finished_items(engine):
            # Files are indexed row first, tensors column first.
            photograph = torch.as_tensor(item["photograph"]).round().byte().cpu().numpy().transpose(2, 1, 0)
            label = torch.as_tensor(output["pred"]).cpu().numpy().T.astype(np.uint8)
            self._add(item["name"], np.ascontiguousarray(photograph), np.ascontiguousarray(label), item, output)

    def _add(self, name: str, photograph: np.ndarray, label: np.ndarray, item: Any, output: Any) -> None:
        mask, overlay = f"masks/{name}{MASK_SUFFIXES[self.mask_format]}", f"overlays/{name}.png"
        with atomic_write(safe_output_path(self.output_dir, mask)) as path:
            write_mask(label, path, self.mask_format, self.sources[name])
        with atomic_write(safe_output_path(self.output_dir, overlay)) as path:
            draw_overlay(photograph, label).save(path, compress_level=1)
        measurements = measure(label)
        uncertainty = 1 - float(min(output["expected_dice"]))
        found = bool(label.any())
        reasons = self._reasons(item["image"], label, measurements, uncertainty) if found else []
        row = Row.of(
            image=self.paths[name],
            status="review" if reasons else "ok" if found else "no_disc",
            measured=measurements,
            uncertainty=uncertainty if found else math.nan,
            reason="; ".join(reasons) if found else "no optic disc found",
        )
        picture, outlines = outlined_close_up(photograph, label) or (Image.fromarray(photograph), None)
        rims = measure_rims(label, self._laterality(item["image"], photograph, label), self.rim_sector)
        self.report.add(row, thumbnail=picture, mask_name=mask, overlay_name=overlay, outlines=outlines, rims=rims)

    def _laterality(self, view: torch.Tensor, photograph: np.ndarray, label: np.ndarray) -> Laterality:
        stated = view.meta.get("laterality", "") if isinstance(view, MetaTensor) else ""
        if stated:
            return Laterality("right" if stated == "right" else "left", "file")
        return guess_laterality(photograph, label) if self.guess_eye else Laterality()

    def _reasons(
        self, view: torch.Tensor, label: np.ndarray, measurements: Measurements, uncertainty: float
    ) -> list[str]:
        confidence = float(view.meta.get("disc_confidence", 1.0)) if isinstance(view, MetaTensor) else 1.0
        edges = (label[0], label[-1], label[:, 0], label[:, -1])
        checks = {
            "contour uncertain": uncertainty > self.max_uncertainty,
            "disc touches the edge of the picture": any(edge.any() for edge in edges),
            "disc found with low confidence": confidence < self.min_confidence,
            "no cup visible": measurements.cup_height_px == 0,
        }
        return [reason for reason, applies in checks.items() if applies]

    def finish(self, engine: Engine) -> None:
        """Add the unreadable photographs and write the report."""
        for name, reason in self.dataset.unreadable.items():
            self.report.add(Row(image=self.paths[name], status="unreadable", reason=reason))
        self.report.write()
        logger.info("%s; report: %s", self.report.summary_line(), self.output_dir / "report.html")

    def _relative(self, path: Path) -> str:
        try:
            return path.relative_to(self.root).as_posix()
        except ValueError:
            return path.name
