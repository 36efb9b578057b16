"""Is ONNX Runtime faster than PyTorch on a CPU? One photograph at a time, in one process, in turns.

    python -m bundle.benchmark.onnx_speed [--threads 1 2] [--rounds 15] [--passes 4]

exports the shipped network, compares logits and masks on made-up views of the disc, and prints for each number of
threads the ratio of times (PyTorch over ONNX Runtime): the median and the quartiles over rounds, in each of which both
segment the same views one after the other.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnxruntime
import torch
from monai.bundle import onnx_export

from bundle import load
from bundle.stages import BUNDLE_ROOT
from bundle.synthetic.cameras import CAMERA_STYLES
from bundle.synthetic.phantoms.photographs import make_crop


def main() -> None:
    """Export, compare, measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--passes", type=int, default=4, help="views a round")
    args = parser.parse_args()
    configs = BUNDLE_ROOT / "configs"
    size = json.loads((configs / "inference.json").read_text(encoding="utf-8"))["image_size"]
    network = load(device=torch.device("cpu")).network.eval()
    cameras = list(CAMERA_STYLES)
    pixels = [make_crop(i, camera=cameras[i % len(cameras)], size=size).image for i in range(args.passes)]
    views = [(torch.from_numpy(p).permute(2, 1, 0)[None].float() - 127) / 128 for p in pixels]
    with tempfile.TemporaryDirectory() as folder, torch.inference_mode():
        path = str(Path(folder, "model.onnx"))
        onnx_export(
            "network_def",
            filepath=path,
            ckpt_file=str(BUNDLE_ROOT / "models" / "model.pt"),
            config_file=str(configs / "inference.json"),
            meta_file=str(configs / "metadata.json"),
            bundle_root=str(BUNDLE_ROOT),
        )
        for threads in args.threads:
            torch.set_num_threads(threads)
            options = onnxruntime.SessionOptions()
            options.intra_op_num_threads = threads
            # Threads that spin while they wait would slow the other side down.
            options.add_session_config_entry("session.intra_op.allow_spinning", "0")
            session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
            compare(f"{threads} thread(s)", in_torch(network), in_onnx(session), views, args.rounds)
    versions = f"torch {torch.__version__}, onnxruntime {onnxruntime.__version__}"
    print(f"{versions}, {os.cpu_count()} cores, {size} pixels a side")


def in_torch(network: torch.nn.Module) -> Callable[[torch.Tensor], torch.Tensor]:
    """As inference calls the network."""
    return lambda view: network(view.contiguous(memory_format=torch.channels_last))


def in_onnx(session: onnxruntime.InferenceSession) -> Callable[[torch.Tensor], torch.Tensor]:
    """The same of the exported file."""
    name = session.get_inputs()[0].name
    return lambda view: torch.from_numpy(session.run(None, {name: view.contiguous().numpy()})[0])


def compare(
    name: str,
    reference: Callable[[torch.Tensor], torch.Tensor],
    other: Callable[[torch.Tensor], torch.Tensor],
    views: list[torch.Tensor],
    rounds: int,
) -> None:
    """Print how both differ, in what they say and in the time they take."""
    pairs = [(reference(view), other(view)) for view in views]
    difference = max((a - b).abs().max().item() for a, b in pairs)
    pixels = sum((a.argmax(dim=1) != b.argmax(dim=1)).sum().item() for a, b in pairs)
    ratios, times = [], []
    for _ in range(rounds):
        seconds = [timed(call, views) for call in (reference, other)]
        times.append(seconds[0] / len(views))
        ratios.append(seconds[0] / seconds[1])
    low, median, high = np.quantile(ratios, (0.25, 0.5, 0.75))
    print(
        f"{name}: ONNX Runtime is {median:.2f} times as fast ({low:.2f} to {high:.2f}), PyTorch takes "
        f"{1000 * np.median(times):.0f} ms a view; logits differ by {difference:.1e}, masks in {pixels} pixels"
    )


def timed(call: Callable[[torch.Tensor], torch.Tensor], views: list[torch.Tensor]) -> float:
    """Seconds for all views."""
    start = time.perf_counter()
    for view in views:
        call(view)
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
