"""How the time of an adaptation is divided among its parts."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from ignite.handlers.time_profilers import BasicTimeProfiler
from monai.bundle import ConfigWorkflow

from bundle.networks.unet import DiscCupUNet
from bundle.stages import BUNDLE_ROOT

__all__ = ["Stopwatch", "profile_adaptation"]


class Stopwatch:
    """Count the seconds that a network's encoder, decoder and head spend in forward passes.

    Args:
        network: the network to time.
        counts: called at the end of each pass; only if it returns true, the pass counts.

    Attributes:
        seconds: wall seconds so far.

    Example:
        >>> import torch
        >>> network = DiscCupUNet(backbone="efficientnet-lite0-small", decoder_channels=(16, 16, 8, 8))
        >>> stopwatch = Stopwatch(network, lambda: True)
        >>> _ = network(torch.zeros(2, 3, 32, 32))
        >>> stopwatch.seconds > 0
        True
    """

    def __init__(self, network: DiscCupUNet, counts: Callable[[], bool]) -> None:
        self.seconds = 0.0
        self._counts = counts
        self._started = 0.0
        for module in (network.encoder, network.decoder, network.segmentation_head):
            module.register_forward_pre_hook(self._start)
            module.register_forward_hook(self._stop)

    def _start(self, *_: Any) -> None:
        self._started = time.perf_counter()

    def _stop(self, *_: Any) -> None:
        if self._counts():
            self.seconds += time.perf_counter() - self._started


def profile_adaptation(**overrides: Any) -> dict[str, float]:
    """Run the ``adaptation`` stage in this process and measure its parts.

    Args:
        overrides: keys of ``configs/adapt.json``; the recipe must have a mean teacher and at least one epoch.

    Returns:
        Wall seconds of each part; they add up to the total.
    """
    start = time.perf_counter()
    workflow = ConfigWorkflow(
        config_file=str(BUNDLE_ROOT / "configs" / "adapt.json"),
        meta_file=str(BUNDLE_ROOT / "configs" / "metadata.json"),
        logging_file=str(BUNDLE_ROOT / "configs" / "logging.conf"),
        run_id="adaptation",
        **{"bundle_root": str(BUNDLE_ROOT)} | overrides,
    )
    workflow.initialize()
    part = workflow.parser.get_parsed_content
    measuring = [part(f"measure#{when}#evaluator") for when in ("before", "after")]
    trainer = part("train#trainer")

    def trains() -> bool:
        # Both networks are also used outside of training, for norm statistics and measures.
        return trainer.state.epoch > 0 and not trainer.state.times["COMPLETED"]

    student = Stopwatch(part("network"), trains)
    teacher = Stopwatch(part("train#teacher").ema_model, trains)
    profiler = BasicTimeProfiler()
    profiler.attach(trainer)
    try:
        workflow.run()
    except SystemExit as end:
        if end.code:
            raise
    whole = time.perf_counter() - start
    results = profiler.get_results()
    training = trainer.state.times["COMPLETED"]
    step = results["processing_stats"]["total"]
    reading = results["dataflow_stats"]["total"]
    parts = {
        "measuring before and after": sum(evaluator.state.times["COMPLETED"] for evaluator in measuring),
        "reading and changing colours": reading,
        "teacher": teacher.seconds,
        "student, forward": student.seconds,
        "loss, student backward, optimiser": step - teacher.seconds - student.seconds,
        "keeping: mean teacher, resumable state, events": training - step - reading,
    }
    return parts | {"start, norm statistics, cup prior": whole - sum(parts.values())}
