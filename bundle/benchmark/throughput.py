"""How long inference takes against its bare forward passes, where the rest goes, and how much memory it needs.

Usage: python -m bundle.benchmark.throughput
    [--photographs 12] [--size 2000] [--kind photograph] [--repeats 3] [--threads 2]

The photographs are phantoms, written as JPEG. Bare are the forward passes alone of both networks on the very tensors
that the pipeline gave them, in turn with the whole pipeline, in one process. Loading the weights counts for neither.
"""

from __future__ import annotations

import argparse
import resource
import shutil
import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Any
from unittest import mock

import monai.transforms
import torch
from ignite.engine import Engine, Events
from monai.bundle import ConfigParser
from monai.utils import convert_to_tensor
from PIL import Image

from bundle.data.photograph_reader import PhotographReader
from bundle.io.records import Records
from bundle.locator.search import DiscLocator
from bundle.networks.inferers import ChannelsLastInferer
from bundle.report import assessment, prediction, writer
from bundle.report.report import Report
from bundle.stages import BUNDLE_ROOT
from bundle.synthetic.cameras import CAMERA_STYLES
from bundle.synthetic.phantoms.photographs import make_crop, make_photograph
from bundle.transforms.disc_view import DiscViewd
from bundle.transforms.label_maps import CleanLabeld

DISTINCT = 12
MOST_TIMED = 50
"""Of more photographs only the memory is told: to keep their forward passes would need memory of its own."""
REPORTED = 200
"""After so many photographs each, the peak of the memory is printed."""
STAGES: dict[str, list[tuple[Any, str]]] = {
    "decode": [(PhotographReader, "get_data")],
    "find, with its network": [(DiscLocator, "__call__")],
    "view, the search included": [(DiscViewd, "__call__")],
    "other preparation": [
        (monai.transforms, "CopyItemsd.__call__"),
        (monai.transforms, "EnsureChannelFirstd.__call__"),
        (monai.transforms, "ScaleIntensityRanged.__call__"),
    ],
    "network": [(ChannelsLastInferer, "__call__")],
    "invert, label map": [(monai.transforms, "Invertd.__call__")],
    "clean": [(CleanLabeld, "__call__")],
    "measure": [
        (prediction, "find_borders"),
        *((assessment, name) for name in ("measure", "measure_rims", "guess_laterality", "sharpness")),
    ],
    "overlay": [(writer, "overlay_pixels")],
    "close-up": [(writer, "outlined_close_up"), (writer, "small_jpeg")],
    "write mask, overlay, record": [(writer, "write_mask"), (writer, "write_png"), (Records, "save")],
    "report": [(Report, "write")],
}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photographs", type=int, default=12)
    parser.add_argument("--size", type=int, default=2000, help="side in pixels")
    parser.add_argument("--kind", choices=("photograph", "crop"), default="photograph")
    parser.add_argument("--repeats", type=int, default=3, help="the best of so many counts")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads(), help="of PyTorch")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    with tempfile.TemporaryDirectory() as folder:
        write_photographs(Path(folder) / "in", args.photographs, args.kind, args.size)
        measure(Path(folder), args)


def write_photographs(folder: Path, count: int, kind: str, size: int) -> None:
    """Write ``count`` JPEG files, of which at most ``DISTINCT`` differ."""
    folder.mkdir()
    make = make_crop if kind == "crop" else make_photograph
    cameras = tuple(CAMERA_STYLES)
    for index in range(min(count, DISTINCT)):
        pixels = make(index, camera=cameras[index % len(cameras)], size=(size, size)).image
        Image.fromarray(pixels).save(folder / f"{index:05d}.jpg", quality=92)
    for index in range(DISTINCT, count):
        shutil.copyfile(folder / f"{index % DISTINCT:05d}.jpg", folder / f"{index:05d}.jpg")


def measure(folder: Path, args: argparse.Namespace) -> None:
    """Time both in turn and print the best of each."""
    print(f"\n{args.photographs} x {args.kind} of {args.size} x {args.size} px, {args.threads} threads of PyTorch")
    if args.photographs > MOST_TIMED:
        run_pipeline(folder)
        print(f"peak memory of {args.photographs}: {peak_mib():.0f} MiB")
        return
    passes: list[Callable[[], Any]] = []
    run_pipeline(folder, passes)
    bare, whole, used = [], [], []
    for _ in range(args.repeats):
        seconds, stages = run_pipeline(folder)
        whole.append(seconds / args.photographs)
        used.append(stages)
        bare.append(run_passes(passes) / args.photographs)
    print(f"bare forward passes {min(bare):7.3f} s a photograph")
    print(f"whole pipeline      {min(whole):7.3f} s a photograph: {min(whole) / min(bare):.2f} times as long")
    print(f"peak memory         {peak_mib():7.0f} MiB")
    print("\nstage                         CPU ms a photograph, of the thread that does it")
    for stage in STAGES:
        print(f"{stage:30}{1000 * min(times[stage] for times in used) / args.photographs:7.1f}")


def run_pipeline(folder: Path, passes: list[Callable[[], Any]] | None = None) -> tuple[float, dict[str, float]]:
    """Segment everything; seconds it took and CPU seconds of each stage. ``passes`` receives the forward passes."""
    shutil.rmtree(folder / "out", ignore_errors=True)
    config = ConfigParser()
    config.read_config(BUNDLE_ROOT / "configs" / "inference.json")
    config.update(
        {"bundle_root": str(BUNDLE_ROOT), "dataset_dir": str(folder / "in"), "output_dir": str(folder / "out")}
    )
    evaluator, report, locate = (config.get_parsed_content(key) for key in ("evaluator", "report", "locate"))
    evaluator.add_event_handler(Events.ITERATION_COMPLETED(every=REPORTED), print_memory)

    def keep(network: torch.nn.Module, inputs: tuple[torch.Tensor, ...]) -> None:
        image = convert_to_tensor(inputs[0], track_meta=False).clone()
        passes.append(partial(network, image))

    networks = (evaluator.network, locate.network) if passes is not None else ()
    hooks = [network.register_forward_pre_hook(keep) for network in networks]
    with timed() as stages:
        start = time.perf_counter()
        evaluator.run()
        report.write()
        seconds = time.perf_counter() - start
    for hook in hooks:
        hook.remove()
    return seconds, stages


def run_passes(passes: list[Callable[[], Any]]) -> float:
    """Seconds of all forward passes."""
    with torch.inference_mode():
        start = time.perf_counter()
        for forward in passes:
            forward()
        return time.perf_counter() - start


def print_memory(engine: Engine) -> None:
    print(f"after {engine.state.iteration} photographs: peak {peak_mib():.0f} MiB", flush=True)


def peak_mib() -> float:
    """The largest resident set so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


@contextmanager
def timed() -> Iterator[dict[str, float]]:
    """CPU seconds of each of ``STAGES``, of the threads that call it; a call within the same stage counts once."""
    seconds: dict[str, float] = defaultdict(float)
    lock, inside = threading.Lock(), threading.local()

    def wrapped(stage: str, function: Callable) -> Callable:
        def call(*args: Any, **kwargs: Any) -> Any:
            open_stages = inside.__dict__.setdefault("stages", set())
            if stage in open_stages:
                return function(*args, **kwargs)
            open_stages.add(stage)
            start = time.thread_time()
            try:
                return function(*args, **kwargs)
            finally:
                open_stages.discard(stage)
                with lock:
                    seconds[stage] += time.thread_time() - start

        return call

    with ExitStack() as stack:
        for stage, places in STAGES.items():
            for owner, path in places:
                *parts, name = path.split(".")
                for part in parts:
                    owner = getattr(owner, part)
                stack.enter_context(mock.patch.object(owner, name, wrapped(stage, getattr(owner, name))))
        yield seconds


if __name__ == "__main__":
    main()
