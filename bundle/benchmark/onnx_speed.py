"""Is ONNX Runtime faster than PyTorch on a CPU? Both alternate in one process, on one photograph at a time.

    python -m bundle.benchmark.onnx_speed [--threads 1 2] [--rounds 15] [--passes 4] [--keep_memory] [--openvino]

exports the shipped network, compares logits and masks on made-up views of the disc, and prints for each number of
threads the ratio of times (PyTorch over ONNX Runtime): the median and the quartiles over rounds. In each round both
segment the same views, one after the other. --keep_memory lets the process keep what PyTorch frees
(``bundle.handlers.memory.KeepFreedMemory``); otherwise glibc returns it and PyTorch waits for the same memory again.
--openvino compares OpenVINO, if that is installed, in its default precision and in float32.
"""

from __future__ import annotations

import argparse
import importlib
import os
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import onnxruntime
import torch
from monai.bundle import ConfigParser

from bundle.api import load
from bundle.deployment.onnx_file import export_onnx
from bundle.handlers.memory import KeepFreedMemory
from bundle.stages import BUNDLE_ROOT
from bundle.synthetic.cameras import CAMERA_STYLES
from bundle.synthetic.phantoms.photographs import make_crop

__all__ = ["compare", "main"]

CONFIGS = BUNDLE_ROOT / "configs"
Segment = Callable[[torch.Tensor], torch.Tensor]
"""Function from a view, 1 x 3 x W x H, to its logits."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Export the network, compare both runtimes, and print a line for each number of threads."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--passes", type=int, default=4, help="views a round")
    parser.add_argument("--keep_memory", action="store_true", help="keep freed memory in the process")
    parser.add_argument("--openvino", action="store_true", help="OpenVINO too")
    call = parser.parse_args(arguments)
    if call.keep_memory:
        KeepFreedMemory().start()
    size = int(ConfigParser.load_config_file(CONFIGS / "inference.json")["image_size"])
    views = make_views(call.passes, size)
    network = load(device=torch.device("cpu")).network.eval()
    with tempfile.TemporaryDirectory() as folder, torch.inference_mode():
        path = export_onnx(Path(folder, "model.onnx"))
        for threads in call.threads:
            torch.set_num_threads(threads)
            onnx = in_onnx(start_session(path, threads))
            print(f"{threads} thread(s): {compare(in_torch(network), onnx, views, call.rounds)}")
            for hint in ("", "f32") if call.openvino else ():
                name = f"OpenVINO ({hint or 'default'})"
                other = in_openvino(path, threads, hint)
                print(f"{threads} thread(s): {compare(in_torch(network), other, views, call.rounds, name)}")
    versions = f"torch {torch.__version__}, onnxruntime {onnxruntime.__version__}"
    print(f"{versions}, {os.cpu_count()} cores, {size} pixels a side")


def make_views(count: int, size: int) -> list[torch.Tensor]:
    """Make views of discs, 1 x 3 x size x size each, scaled as in the configs."""
    cameras = list(CAMERA_STYLES)
    pixels = [make_crop(i, camera=cameras[i % len(cameras)], size=size).image for i in range(count)]
    return [(torch.from_numpy(p).permute(2, 1, 0)[None].float() - 127) / 128 for p in pixels]


def start_session(path: Path, threads: int) -> onnxruntime.InferenceSession:
    """Load an exported network on the CPU."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    # Threads that spin while they wait would slow down the other runtime.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def in_torch(network: torch.nn.Module) -> Segment:
    """The network as inference calls it."""
    return lambda view: network(view.contiguous(memory_format=torch.channels_last))


def in_onnx(session: onnxruntime.InferenceSession) -> Segment:
    """The exported network, called in the same way."""
    name = session.get_inputs()[0].name
    return lambda view: torch.from_numpy(session.run(None, {name: view.contiguous().numpy()})[0])


def in_openvino(path: Path, threads: int, precision: str) -> Segment:
    """The exported network in OpenVINO, in a precision (``INFERENCE_PRECISION_HINT``); empty for its own choice."""
    core = importlib.import_module("openvino").Core()
    hints = {"INFERENCE_PRECISION_HINT": precision} if precision else {}
    model = core.compile_model(core.read_model(str(path)), "CPU", {"INFERENCE_NUM_THREADS": threads, **hints})
    return lambda view: torch.from_numpy(model(view.contiguous().numpy())[0])


def compare(
    reference: Segment, other: Segment, views: Sequence[torch.Tensor], rounds: int, name: str = "ONNX Runtime"
) -> str:
    """Measure how much faster ``other`` is, and how far its logits and masks differ.

    Args:
        reference: PyTorch's network.
        other: that of another runtime.
        views: 1 x 3 x W x H each.
        rounds: number of measurements; both alternate in each.
        name: of the other runtime.

    Returns:
        The result in words.

    Example:
        >>> compare(torch.nn.Identity(), torch.nn.Identity(), [torch.zeros(1, 3, 8, 8)], rounds=2)
        'ONNX Runtime is ...; logits differ by 0.0e+00, masks in 0 pixels'
    """
    pairs = [(reference(view), other(view)) for view in views]
    difference = max((a - b).abs().max().item() for a, b in pairs)
    pixels = sum((a.argmax(dim=1) != b.argmax(dim=1)).sum().item() for a, b in pairs)
    ratios, times = [], []
    for _ in range(rounds):
        seconds = [seconds_of(call, views) for call in (reference, other)]
        times.append(seconds[0] / len(views))
        ratios.append(seconds[0] / seconds[1])
    low, median, high = np.quantile(ratios, (0.25, 0.5, 0.75))
    return (
        f"{name} is {median:.2f} times as fast ({low:.2f} to {high:.2f}), PyTorch takes "
        f"{1000 * np.median(times):.0f} ms a view; logits differ by {difference:.1e}, masks in {pixels} pixels"
    )


def seconds_of(segment: Segment, views: Sequence[torch.Tensor]) -> float:
    """Seconds that segmenting all views takes."""
    start = time.perf_counter()
    for view in views:
        segment(view)
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
