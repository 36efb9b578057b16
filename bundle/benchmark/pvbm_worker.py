"""Segment photographs with the network of PVBM, in an environment of its own: nothing of the bundle is imported.

    python pvbm_worker.py LIST.json

The list holds pairs of a photograph and the mask file to write. A mask is grey: 0 background, 1 rim, 2 cup. The last
line that is printed is the number of seconds that reading, segmenting and writing took, without the start.
"""

from __future__ import annotations

import importlib.util
import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

_SIDE = 512
_MEAN, _DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def main() -> None:
    """Segment what the list names."""
    pairs = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    session = _session()
    start = time.perf_counter()
    for photograph, mask in pairs:
        Image.fromarray(segment(session, Image.open(photograph).convert("RGB"))).save(mask)
    print(time.perf_counter() - start)


def segment(session: Any, photograph: Image.Image) -> np.ndarray:
    """The mask of a photograph, as ``DiscSegmenter`` of PVBM makes that of the disc, and the cup likewise.

    Args:
        session: of ONNX Runtime, with PVBM's network.
        photograph: whole photograph, RGB.

    Returns:
        Rows x columns of the photograph: 0 background, 1 rim, 2 cup.
    """
    pixels = np.asarray(photograph.resize((_SIDE, _SIDE)), dtype=np.float32) / 255
    scaled = ((pixels - _MEAN) / _DEVIATION).astype(np.float32)
    logits = session.run(None, {session.get_inputs()[0].name: scaled.transpose(2, 0, 1)[None]})[0][0]
    disc, cup = logits[0] > 0, logits[1] > 0
    grey = Image.fromarray(disc.astype(np.uint8) + (disc & cup).astype(np.uint8))
    return np.asarray(grey.resize(photograph.size, Image.Resampling.NEAREST))


def _session() -> Any:
    import onnxruntime  # type: ignore[import-not-found,import-untyped,unused-ignore]

    package = importlib.util.find_spec("PVBM")
    if package is None or package.origin is None:
        raise SystemExit("PVBM is not installed in this environment.")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    network = Path(package.origin).parent / "lunetv2_odc.onnx"
    return onnxruntime.InferenceSession(str(network), options, providers=["CPUExecutionProvider"])


if __name__ == "__main__":
    main()
