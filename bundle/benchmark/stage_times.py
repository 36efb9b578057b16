"""Measure the CPU time of each step of inference."""

from __future__ import annotations

import sys
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any
from unittest import mock

from monai.transforms import Compose, Invertd, LoadImaged

from bundle.data.photograph_reader import PhotographReader
from bundle.io.png import write_png
from bundle.io.records import Records
from bundle.locator.search import DiscLocator
from bundle.morphometry.cup_disc import find_borders, measure
from bundle.morphometry.laterality import guess_laterality
from bundle.morphometry.rims import measure_rims
from bundle.networks.inferers import ChannelsLastInferer
from bundle.report.close_ups import outlined_close_up
from bundle.report.mask_files import write_mask
from bundle.report.overlays import overlay_pixels
from bundle.report.report import Report
from bundle.report.thumbnail import small_jpeg
from bundle.transforms.disc_view import DiscViewd
from bundle.transforms.label_maps import CleanLabeld
from bundle.uncertainty.sharpness import sharpness

__all__ = ["STEPS", "places", "steps_of", "timed"]

Steps = Mapping[str, Sequence[Callable[..., Any]]]
PREPARATION = "other preparation"
STEPS: Steps = {
    "decode": [PhotographReader.get_data],
    "find, with its network": [DiscLocator.__call__],
    "view, the search included": [DiscViewd.__call__],
    PREPARATION: [],
    "network": [ChannelsLastInferer.__call__],
    "invert, label map": [Invertd.__call__],
    "clean": [CleanLabeld.__call__],
    "measure": [find_borders, measure, measure_rims, guess_laterality, sharpness],
    "overlay": [overlay_pixels],
    "close-up": [outlined_close_up, small_jpeg],
    "write mask, overlay, record": [write_mask, write_png, Records.save],
    "report": [Report.write],
}
"""The steps of inference, each with the functions and methods that perform it."""


def steps_of(preprocessing: Compose) -> Steps:
    """``STEPS``, with the remaining transforms of a config's preprocessing as "other preparation".

    Example:
        >>> from bundle.transforms.intensity import ScaleToNetworkd
        >>> len(steps_of(Compose([ScaleToNetworkd("image")]))[PREPARATION])
        1
    """
    transforms = preprocessing.flatten().transforms
    others = [type(each).__call__ for each in transforms if not isinstance(each, LoadImaged | DiscViewd)]
    return {**STEPS, PREPARATION: others}


@contextmanager
def timed(steps: Steps) -> Iterator[dict[str, float]]:
    """Context manager that measures the CPU seconds of each step, in the threads that perform it.

    Within the context, the functions are replaced by ones that take the time. Nested calls within the same step, such
    as a transform that calls another, count once.

    Args:
        steps: functions by step, see ``STEPS``.

    Yields:
        Seconds by step, updated after each call.

    Example:
        >>> with timed({"report": [Report.write]}) as seconds:
        ...     pass  # run inference here
        >>> dict(seconds)  # no report was written
        {}
    """
    seconds: dict[str, float] = defaultdict(float)
    lock, inside = threading.Lock(), threading.local()

    def wrapped(step: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            open_steps = inside.__dict__.setdefault("steps", set())
            if step in open_steps:
                return function(*args, **kwargs)
            open_steps.add(step)
            start = time.thread_time()
            try:
                return function(*args, **kwargs)
            finally:
                open_steps.discard(step)
                with lock:
                    seconds[step] += time.thread_time() - start

        return call

    with ExitStack() as stack:
        for step, functions in steps.items():
            for function in functions:
                for owner, name in places(function):
                    stack.enter_context(mock.patch.object(owner, name, wrapped(step, function)))
        yield seconds


def places(function: Callable[..., Any]) -> list[tuple[Any, str]]:
    """All places where callers look a function up: its class, or every module of the bundle that imports it.

    Returns:
        Each class or module, and the function's name in it.

    Example:
        >>> [(owner.__name__, name) for owner, name in places(Report.write)]
        [('Report', 'write')]
    """
    *owner, name = function.__qualname__.split(".")
    if owner:
        return [(getattr(sys.modules[function.__module__], owner[0]), name)]
    modules = [module for key, module in list(sys.modules.items()) if key.split(".")[0] == "bundle"]
    return [(module, key) for module in modules for key, value in list(vars(module).items()) if value is function]
