"""An Ignite handler that draws contours for TensorBoard."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from ignite.engine import Engine, Events
from monai.transforms import Invertd, ScaleIntensityRanged
from PIL import Image

from bundle.data.items import finished_items, item_name
from bundle.handlers.teaching_agreement import structures
from bundle.report.close_ups import close_up
from bundle.report.gallery import gallery
from bundle.report.overlays import draw_overlay

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter

__all__ = ["ContourImages"]


class ContourImages:
    """Ignite handler for an evaluator that draws contours on the same few photographs after every run.

    The lower row of the picture shows the contours of this run. For comparison, the upper row shows the label if there
    is one, else the contours of the first run. The handler reads ``image`` (3 x W x H, scaled) from
    ``engine.state.batch``, and ``pred`` and ``label`` from ``engine.state.output``: logits (3 x W x H) or masks of disc
    and cup (2 x W x H).

    Args:
        writer: TensorBoard writer for the pictures.
        scale_intensity: the transform that scaled ``image``; its inverse restores the colours.
        count: number of photographs to draw, the first that the evaluator reads; 0 draws none.
        tag: name of the pictures in TensorBoard.
        invert: transform that brings ``image`` back to the grid of ``pred``; None if they have the same grid.
        size: side of a tile in pixels.

    Example:
        >>> from types import SimpleNamespace
        >>> def segment(engine, batch):
        ...     engine.state.batch = [{"name": "eye", "image": torch.zeros(3, 32, 32)}]
        ...     return [{"pred": torch.ones(2, 32, 32)}]
        >>> evaluator = Engine(segment)
        >>> scale = ScaleIntensityRanged("image", a_min=0, a_max=255, b_min=0, b_max=1)
        >>> writer = SimpleNamespace(add_image=lambda tag, *_, **__: print("drawn:", tag), flush=lambda: None)
        >>> ContourImages(writer, scale, size=64).attach(evaluator)
        >>> _ = evaluator.run([0])
        drawn: contours
    """

    def __init__(
        self,
        writer: SummaryWriter,
        scale_intensity: ScaleIntensityRanged,
        count: int = 4,
        tag: str = "contours",
        invert: Invertd | None = None,
        size: int = 256,
    ) -> None:
        self.writer = writer
        self.scaler = scale_intensity.scaler
        self.count = count
        self.tag = tag
        self.invert = invert
        self.size = size
        self.references: dict[str, tuple[Image.Image, str]] = {}
        self.drawn: dict[str, Image.Image] = {}

    def attach(self, engine: Engine) -> None:
        """Attach the handler to an engine."""
        engine.add_event_handler(Events.EPOCH_STARTED, lambda: self.drawn.clear())
        engine.add_event_handler(Events.ITERATION_COMPLETED, self.collect)
        engine.add_event_handler(Events.EPOCH_COMPLETED, self.write)

    def collect(self, engine: Engine) -> None:
        """Draw the photographs of one iteration until there are ``count``."""
        for item, output in finished_items(engine):
            if len(self.drawn) >= self.count:
                return
            name, photograph = item_name(item), self._photograph(item)
            self.drawn[name] = self._tile(photograph, output["pred"])
            if name not in self.references:
                label = output.get("label")
                drawn = self.drawn[name] if label is None else self._tile(photograph, label)
                self.references[name] = drawn, "before" if label is None else "label"

    def write(self, engine: Engine) -> None:
        """Write both rows as one picture."""
        if not self.drawn:
            return
        upper = [(self.references[name][0], f"{name}\n{self.references[name][1]}") for name in self.drawn]
        lower = [(tile, f"{name}\nepoch {engine.state.epoch}") for name, tile in self.drawn.items()]
        sheet = gallery(upper + lower, columns=len(self.drawn))
        self.writer.add_image(self.tag, np.asarray(sheet), engine.state.epoch, dataformats="HWC")
        self.writer.flush()

    def _photograph(self, item: Mapping[str, Any]) -> np.ndarray:
        """The photograph of an item before scaling, H x W x 3 ``uint8``."""
        image = item["image"] if self.invert is None else self.invert({"image": item["image"]})["image"]
        s: Any = self.scaler
        pixels = (torch.as_tensor(image) - s.b_min) / (s.b_max - s.b_min) * (s.a_max - s.a_min) + s.a_min
        return pixels.round().clamp(0, 255).byte().cpu().numpy().transpose(2, 1, 0)

    def _tile(self, photograph: np.ndarray, shown: torch.Tensor) -> Image.Image:
        masks = torch.as_tensor(shown)
        masks = structures(masks[None])[0] if len(masks) == 3 else masks
        label = np.ascontiguousarray(masks.sum(dim=0).byte().cpu().numpy().T)
        photograph = np.ascontiguousarray(photograph)
        return close_up(photograph, label, self.size) or draw_overlay(photograph, label).resize((self.size, self.size))
