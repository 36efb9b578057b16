"""Export the network as an ONNX file that says what it is.

    python -m bundle.deployment.onnx_file model.onnx [--checkpoint adapted/model.pt]

MONAI's ``onnx_export`` leaves the file without metadata, and with names that PyTorch chose.
"""

from __future__ import annotations

import argparse
import json
import warnings
from collections.abc import Sequence
from os import PathLike
from pathlib import Path

import torch
from monai.bundle import ConfigParser
from monai.networks.utils import convert_to_onnx
from monai.utils import optional_import

from bundle.api import load
from bundle.errors import CallError
from bundle.io.files import atomic_write
from bundle.io.provenance import model_identity
from bundle.stages import BUNDLE_ROOT

__all__ = ["export_onnx", "main"]

_FROM_METADATA = ("name", "version", "task", "intended_use", "copyright", "image_classes", "pred_classes")
_AXES = "batch, channel, x (column), y (row)"


def main(arguments: Sequence[str] | None = None) -> None:
    """Export the network that the command line names, and print the file's path.

    Raises:
        CallError: see ``export_onnx``.
    """
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=Path, help="the ONNX file; an existing one is replaced")
    parser.add_argument("--checkpoint", type=Path, help="weights; the shipped model by default")
    call = parser.parse_args(arguments)
    print(export_onnx(call.file, call.checkpoint))


def export_onnx(path: str | PathLike[str], checkpoint: str | PathLike[str] | None = None) -> Path:
    """Write the network as an ONNX file.

    Its input ``image`` and its output ``pred`` are B x 3 x W x H, float32, of any batch size; W and H are the
    ``image_size`` of ``configs/inference.json``, and x comes before y. The metadata of the file hold the fields of
    ``configs/metadata.json`` that describe the network, ``network_data_format`` (JSON), ``axes``, and ``weights``, the
    identity of the checkpoint.

    Args:
        path: the file, written as a whole.
        checkpoint: a ``model.pt`` of this bundle; the shipped one by default.

    Returns:
        ``path``.

    Raises:
        CallError: the packages for ONNX are not installed, or the checkpoint does not fit.

    Example:
        >>> export_onnx("model.onnx", "no/model.pt")
        Traceback (most recent call last):
        ...
        bundle.errors.CallError: checkpoint no/model.pt does not exist...
    """
    model = load(checkpoint, device="cpu")
    onnx, has_onnx = optional_import("onnx")
    if not (has_onnx and optional_import("onnxscript")[1]):
        raise CallError("an ONNX file needs onnx and onnxscript.", "Install them: pip install -e '.[export]'.")
    configs = BUNDLE_ROOT / "configs"
    size = int(ConfigParser.load_config_file(configs / "inference.json")["image_size"])
    metadata = json.loads((configs / "metadata.json").read_text(encoding="utf-8"))
    with warnings.catch_warnings():
        # Of the way in which MONAI passes the axes on, and of PyTorch's own code.
        warnings.simplefilter("ignore")
        exported = convert_to_onnx(
            model.network,
            # A batch of one would be taken for a constant.
            [torch.zeros(2, 3, size, size)],
            input_names=["image"],
            output_names=["pred"],
            dynamic_axes={"image": {0: "batch"}, "pred": {0: "batch"}},
            use_trace=True,
            verbose=False,
        )
    facts = {key: str(metadata[key]) for key in _FROM_METADATA}
    facts |= {"axes": _AXES, "network_data_format": json.dumps(metadata["network_data_format"])}
    facts["weights"] = model_identity(model.checkpoint)
    onnx.helper.set_model_props(exported, facts)
    exported.producer_name, exported.producer_version = "fundus-bundle", metadata["version"]
    exported.doc_string = metadata["intended_use"]
    with atomic_write(path) as temporary:
        onnx.save(exported, str(temporary))
    return Path(path)


if __name__ == "__main__":
    main()
