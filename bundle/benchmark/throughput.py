"""How long inference takes compared with its forward passes alone, what takes the rest, and how much memory it needs.

    python -m bundle.benchmark.throughput
        [--photographs 12] [--size 2000] [--kind photograph] [--repeats 3] [--threads 2]

The photographs are phantoms, written as JPEG. "Bare" means the forward passes of both networks alone, on the same
tensors that the pipeline gave them. They alternate with runs of the whole pipeline in one process. The time to load the
weights does not count for either.
"""

from __future__ import annotations

import argparse
import resource
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from ignite.engine import Engine, Events
from monai.bundle import ConfigParser
from monai.utils import convert_to_tensor
from PIL import Image

from bundle.benchmark.stage_times import STEPS, steps_of, timed
from bundle.stages import BUNDLE_ROOT
from bundle.synthetic.cameras import CAMERA_STYLES
from bundle.synthetic.phantoms.photographs import make_crop, make_photograph

__all__ = ["main", "run_pipeline", "write_photographs"]

DISTINCT = 12
MOST_TIMED = 50
"""With more photographs, only memory is measured, because storing their forward passes would need memory itself."""
REPORTED = 200
"""Peak memory is printed after every so many photographs."""
Pass = Callable[[], Any]


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print the results."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photographs", type=int, default=12)
    parser.add_argument("--size", type=int, default=2000, help="side in pixels")
    parser.add_argument("--kind", choices=("photograph", "crop"), default="photograph")
    parser.add_argument("--repeats", type=int, default=3, help="measure so often and take the best")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads(), help="of PyTorch")
    call = parser.parse_args(arguments)
    torch.set_num_threads(call.threads)
    print(f"\n{call.photographs} x {call.kind} of {call.size} x {call.size} px, {call.threads} threads of PyTorch")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_photographs(folder / "in", call.photographs, call.kind, call.size)
        if call.photographs > MOST_TIMED:
            run_pipeline(folder)
            print(f"peak memory of {call.photographs}: {peak_mib():.0f} MiB")
            return
        for line in measure(folder, call.photographs, call.repeats):
            print(line)


def write_photographs(folder: Path, count: int, kind: str, size: int) -> None:
    """Write JPEG files of phantoms, of which at most ``DISTINCT`` differ.

    Args:
        folder: is made; must not exist.
        count: number of files.
        kind: ``crop`` or ``photograph``.
        size: side in pixels.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     write_photographs(Path(folder, "in"), 2, "crop", size=64)
        ...     sorted(path.name for path in Path(folder, "in").iterdir())
        ['00000.jpg', '00001.jpg']
    """
    folder.mkdir()
    make = make_crop if kind == "crop" else make_photograph
    cameras = tuple(CAMERA_STYLES)
    for index in range(min(count, DISTINCT)):
        pixels = make(index, camera=cameras[index % len(cameras)], size=(size, size)).image
        Image.fromarray(pixels).save(folder / f"{index:05d}.jpg", quality=92)
    for index in range(DISTINCT, count):
        shutil.copyfile(folder / f"{index % DISTINCT:05d}.jpg", folder / f"{index:05d}.jpg")


def measure(folder: Path, count: int, repeats: int) -> Iterator[str]:
    """Time the pipeline and its forward passes in turn, and report the best of each."""
    passes: list[Pass] = []
    run_pipeline(folder, passes)
    bare, whole, used = [], [], []
    for _ in range(repeats):
        seconds, steps = run_pipeline(folder)
        whole.append(seconds / count)
        used.append(steps)
        bare.append(run_passes(passes) / count)
    yield f"bare forward passes {min(bare):7.3f} s a photograph"
    yield f"whole pipeline      {min(whole):7.3f} s a photograph: {min(whole) / min(bare):.2f} times as long"
    yield f"peak memory         {peak_mib():7.0f} MiB"
    yield "\nstage                         CPU ms a photograph, of the thread that does it"
    for step in STEPS:
        yield f"{step:30}{1000 * min(times[step] for times in used) / count:7.1f}"


def run_pipeline(folder: Path, passes: list[Pass] | None = None) -> tuple[float, dict[str, float]]:
    """Segment everything in ``folder/in``.

    Args:
        folder: the results replace its subfolder ``out``.
        passes: receives the forward passes, each with its input.

    Returns:
        Wall seconds, and CPU seconds of each step.
    """
    shutil.rmtree(folder / "out", ignore_errors=True)
    config = ConfigParser()
    config.read_config(BUNDLE_ROOT / "configs" / "inference.json")
    config.update(
        {"bundle_root": str(BUNDLE_ROOT), "dataset_dir": str(folder / "in"), "output_dir": str(folder / "out")}
    )
    evaluator, report, locate = (config.get_parsed_content(key) for key in ("evaluator", "report", "locate"))
    evaluator.add_event_handler(Events.ITERATION_COMPLETED(every=REPORTED), print_memory)
    hooks = [] if passes is None else [keep_passes(network, passes) for network in (evaluator.network, locate.network)]
    with timed(steps_of(config.get_parsed_content("preprocessing"))) as steps:
        start = time.perf_counter()
        evaluator.run()
        report.write()
        seconds = time.perf_counter() - start
    for hook in hooks:
        hook.remove()
    return seconds, steps


def keep_passes(network: torch.nn.Module, passes: list[Pass]) -> torch.utils.hooks.RemovableHandle:
    """Add each forward pass of the network to ``passes``."""

    def keep(network: torch.nn.Module, inputs: tuple[torch.Tensor, ...]) -> None:
        passes.append(partial(network, convert_to_tensor(inputs[0], track_meta=False).clone()))

    return network.register_forward_pre_hook(keep)


def run_passes(passes: Sequence[Pass]) -> float:
    """Repeat all forward passes and return the seconds that they take."""
    with torch.inference_mode():
        start = time.perf_counter()
        for forward in passes:
            forward()
        return time.perf_counter() - start


def print_memory(engine: Engine) -> None:
    """Print the number of photographs done and the peak memory so far."""
    print(f"after {engine.state.iteration} photographs: peak {peak_mib():.0f} MiB", flush=True)


def peak_mib() -> float:
    """Largest resident set of this process so far, in MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    main()
