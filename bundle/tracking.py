"""What to watch while a run goes on: contours and label-free curves for TensorBoard, and scalars for any tracker."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from ignite.engine import Engine, Events
from monai.engines import Evaluator
from monai.engines.utils import IterationEvents
from monai.handlers import ValidationHandler
from monai.metrics import compute_dice
from monai.transforms import Invertd, ScaleIntensityRanged
from monai.utils import CommonKeys
from PIL import Image

from bundle.datasets import PhotographDataset, item_name
from bundle.handlers import finished_items
from bundle.losses import AdaptationOutput
from bundle.overlays import close_up, draw_overlay, gallery
from bundle.regions import CLASSES, nested_probabilities

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter

__all__ = [
    "ContourImages",
    "InferenceMeasures",
    "KeepLoss",
    "LookAtTarget",
    "TeachingAgreement",
    "spread",
]


def spread(count: int, chosen: int) -> list[int]:
    """At most ``chosen`` of the indices 0 to ``count`` - 1, evenly spread.

    Example:
        >>> spread(10, 4), spread(2, 4), spread(10, 0)
        ([0, 2, 5, 7], [0, 1], [])
    """
    return [i * count // chosen for i in range(chosen)] if 0 < chosen < count else list(range(count if chosen else 0))


class TeachingAgreement:
    """Ignite handler: how far what is trained agrees with what teaches it, averaged over an epoch's photographs.

    It compares what training computes anyway and runs no network. The student's side is what it says in training: of
    photographs with changed colours, its dropout on. ``engine.state.metrics`` receives, in [0, 1],
    ``teacher_agreement_<structure>`` (Dice with the mean teacher's structure) where the recipe has a teacher, and
    ``label_agreement_<structure>`` (Dice with the pseudo-label) where it has pseudo-labels; two empty ones agree.

    Attach it before ``KeepLoss``.
    """

    def __init__(self) -> None:
        self.rows: list[dict[str, torch.Tensor]] = []

    def attach(self, engine: Engine) -> None:
        engine.add_event_handler(Events.EPOCH_STARTED, self.rows.clear)
        engine.add_event_handler(IterationEvents.MODEL_COMPLETED, self.collect)
        engine.add_event_handler(Events.EPOCH_COMPLETED, self.summarise)

    @torch.no_grad()
    def collect(self, engine: Engine) -> None:
        """Compare one batch."""
        state: Any = engine.state.output
        output: AdaptationOutput = state[CommonKeys.PRED]
        others = {}
        if output.teacher is not None:
            others["teacher"] = structures(output.teacher.logits)
        if "label" in state[CommonKeys.LABEL]:
            others["label"] = state[CommonKeys.LABEL]["label"]
        own = structures(output.logits)
        # MONAI gives an empty prediction of an empty structure a Dice of 1 only if it is told not to ignore it.
        found = {name: compute_dice(own, other.to(own), ignore_empty=False) for name, other in others.items()}
        self.rows.append(found)

    def summarise(self, engine: Engine) -> None:
        """Average over the photographs."""
        for kind in self.rows[0] if self.rows else ():
            means = torch.cat([row[kind] for row in self.rows]).mean(dim=0)
            engine.state.metrics |= {
                f"{kind}_agreement_{name}": float(value) for name, value in zip(CLASSES, means, strict=True)
            }


def structures(logits: torch.Tensor) -> torch.Tensor:
    """Masks of disc and cup, B x 2 x W x H of 0 and 1, from logits B x 3 x W x H."""
    return (nested_probabilities(logits) > 0.5).float()


class KeepLoss:
    """Ignite handler that leaves of an iteration's output its loss, in the form of a decollated batch.

    What an adaptation gives for a batch cannot be decollated, but stock handlers, such as those that MONAI attaches for
    ``--tracking mlflow``, expect a list of dicts.
    """

    def attach(self, engine: Engine) -> None:
        engine.add_event_handler(IterationEvents.MODEL_COMPLETED, self)

    def __call__(self, engine: Engine) -> None:
        state: Any = engine.state
        state.output = [{CommonKeys.LOSS: float(state.output[CommonKeys.LOSS].detach())}]


class LookAtTarget(ValidationHandler):
    """``ValidationHandler`` whose validator, made for the network before adaptation, looks at the one that is kept.

    Args:
        network: the network that is going to be kept.
        validator: gets this network before each run.
        interval: run it after every so many epochs, and after the last.
    """

    def __init__(self, network: torch.nn.Module, validator: Evaluator, interval: int = 1) -> None:
        super().__init__(interval=interval, validator=validator)
        self.network = network

    def attach(self, engine: Engine) -> None:
        engine.add_event_handler(Events.EPOCH_COMPLETED, self)

    def __call__(self, engine: Engine) -> None:
        state = engine.state
        if state.epoch % self.interval == 0 or state.epoch == state.max_epochs:
            self.validator.network = self.network  # type: ignore[union-attr]
            super().__call__(engine)


class InferenceMeasures:
    """Ignite handler for an inference: what a tracker may keep of it, which names no photograph.

    An inference that continues counts what was left.

    ``engine.state.metrics`` receives how many ``photographs`` were segmented, how many are ``without_disc`` or
    ``unreadable``, and ``expected_dice_<structure>`` (see ``expected_dice``), the mean over those with a disc.

    Args:
        dataset: knows which photographs were unreadable.
    """

    def __init__(self, dataset: PhotographDataset) -> None:
        self.dataset = dataset
        self.rows: list[list[float] | None] = []

    def attach(self, engine: Engine) -> None:
        engine.add_event_handler(Events.EPOCH_STARTED, self.rows.clear)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self.collect)
        engine.add_event_handler(Events.EPOCH_COMPLETED, self.summarise)

    def collect(self, engine: Engine) -> None:
        """Take what one iteration gave."""
        for _, output in finished_items(engine):
            self.rows.append(output["expected_dice"].tolist() if output["pred"].any() else None)

    def summarise(self, engine: Engine) -> None:
        """Count and average."""
        found = [row for row in self.rows if row is not None]
        engine.state.metrics |= {
            "photographs": len(self.rows),
            "without_disc": len(self.rows) - len(found),
            "unreadable": len(self.dataset.unreadable),
        }
        for name, values in zip(CLASSES, zip(*found, strict=True), strict=bool(found)):
            engine.state.metrics[f"expected_dice_{name}"] = math.fsum(values) / len(values)


class ContourImages:
    """Ignite handler for an evaluator: contours on the same few photographs, after every run, for TensorBoard.

    The picture's lower row shows what the run drew, the upper row what to compare it with: the label where there is
    one, else what the first run drew. It reads ``image`` (3 x W x H, scaled) of ``engine.state.batch``, and of
    ``engine.state.output`` ``pred`` and ``label``: logits (3 x W x H) or masks of disc and cup (2 x W x H).

    Args:
        writer: where the pictures go.
        scale_intensity: how ``image`` was scaled; it is undone.
        count: how many photographs, the first that come; 0 for none.
        tag: the pictures' name in TensorBoard.
        invert: puts ``image`` back on the grid of ``pred``; None where they have the same.
        size: side of a tile in pixels.
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
        engine.add_event_handler(Events.EPOCH_STARTED, lambda: self.drawn.clear())
        engine.add_event_handler(Events.ITERATION_COMPLETED, self.collect)
        engine.add_event_handler(Events.EPOCH_COMPLETED, self.write)

    def collect(self, engine: Engine) -> None:
        """Draw those photographs of one iteration that are still wanted."""
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
        """Put both rows into one picture."""
        if not self.drawn:
            return
        upper = [(self.references[name][0], f"{name}\n{self.references[name][1]}") for name in self.drawn]
        lower = [(tile, f"{name}\nepoch {engine.state.epoch}") for name, tile in self.drawn.items()]
        sheet = gallery(upper + lower, columns=len(self.drawn))
        self.writer.add_image(self.tag, np.asarray(sheet), engine.state.epoch, dataformats="HWC")
        self.writer.flush()

    def _photograph(self, item: Mapping[str, Any]) -> np.ndarray:
        """H x W x 3 ``uint8``."""
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
