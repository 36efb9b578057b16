"""The bundle in scripts and notebooks: ``load`` a model, ``segment`` photographs, ``adapt`` to a camera.

The configs of the command line do the work, so the results are the command line's.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
from monai.bundle import ConfigParser
from numpy.typing import NDArray
from PIL import Image, ImageOps

from bundle.arguments import settled
from bundle.data.array_reader import ArrayReader
from bundle.data.limits import MIN_SIDE
from bundle.errors import CallError, bare_call_errors
from bundle.results import Adaptation, Model, Segmentation
from bundle.settings import check_overrides, known_keys
from bundle.stages import BUNDLE_ROOT, STAGES, run_stage

__all__ = ["adapt", "load", "segment"]

logger = logging.getLogger(__name__)

Photograph = str | PathLike[str] | NDArray[np.uint8] | Image.Image
_OURS = ("bundle_root", "checkpoint", "dataset_dir", "items", "network", "output_dir")


def load(checkpoint: str | PathLike[str] | None = None, **settings: Any) -> Model:
    """Load a model.

    Args:
        checkpoint: a ``model.pt`` of this bundle's training or adaptation; the shipped one by default.
        settings: keys of ``configs/inference.json``, such as ``device``.

    Raises:
        CallError: there is no such file, or it does not fit.
        ValueError: there is no such key.
    """
    path = BUNDLE_ROOT / "models" / "model.pt" if checkpoint is None else Path(checkpoint)
    with bare_call_errors():
        return Model(path, _parser("inference", settings, checkpoint=str(path)).get_parsed_content("network"))


def segment(
    photographs: Photograph | Iterable[Photograph], model: Model | None = None, **settings: Any
) -> list[Segmentation]:
    """Segment photographs as the stage ``inference`` does, and write nothing to disk.

    Label maps have the photographs' own size, and all of them are kept in memory.

    Args:
        photographs: a folder; a file; an array H x W x 3 or H x W of uint8, upright; a picture of Pillow's, which is
            turned upright as its EXIF says; or several files, arrays and pictures.
        model: the shipped one by default.
        settings: keys of ``configs/inference.json``, such as ``view`` and ``max_uncertainty``.

    Returns:
        a result for each photograph, in their order, a folder's in the order of their paths. A file that cannot be read
        gets one too.

    Raises:
        CallError: there is no such folder or file, or no photograph in the folder.
        ValueError: something that is no photograph, or there is no such key.
    """
    alone = isinstance(photographs, str | PathLike | np.ndarray | Image.Image)
    if not alone and not isinstance(photographs, Iterable):
        raise ValueError(_NO_PHOTOGRAPH.format(0, type(photographs).__name__))
    given = [_known(each, i) for i, each in enumerate([photographs] if alone else photographs)]  # type: ignore[arg-type]
    arrays = {f"array {i}": _checked(each, i) for i, each in enumerate(given) if isinstance(each, np.ndarray)}
    if not given:
        return []
    model = model or load()
    ours: dict[str, Any] = {
        "checkpoint": str(model.checkpoint),
        "network": model.network,
        "photograph_reader": ArrayReader(arrays),
        "pending": "$@dataset.data",
        "writer": {
            "_target_": "bundle.report.collector.ResultCollector",
            "items": "@items",
            "dataset": "@dataset",
            "assess": "@assess",
        },
    }
    names = [str(i) if isinstance(each, np.ndarray) else str(each) for i, each in enumerate(given)]
    folder = alone and not arrays and Path(given[0]).expanduser().is_dir()
    if alone and not arrays and not folder and not os.path.exists(Path(given[0]).expanduser()):  # noqa: PTH110
        raise CallError(f"there is no file or folder {given[0]}.", "Pass a photograph, or a folder of them.")
    if folder:
        ours["dataset_dir"] = names[0]
    else:
        images = [f"array {i}" if isinstance(each, np.ndarray) else str(Path(each).expanduser().absolute())
                  for i, each in enumerate(given)]  # fmt: skip
        ours["items"] = [{"image": image, "name": str(number)} for number, image in enumerate(images)]
    with bare_call_errors():
        parser = _parser("inference", settings, **ours)
        parser.get_parsed_content("evaluator").run()
    results: list[Segmentation] = parser.get_parsed_content("writer").results()
    return results if folder else [replace(result, image=name) for result, name in zip(results, names, strict=True)]


def adapt(
    photographs: str | PathLike[str],
    output_dir: str | PathLike[str],
    recipe: str = "plus",
    model: Model | None = None,
    **settings: Any,
) -> Adaptation:
    """Adapt a model to a camera without labels, as the stage ``adaptation`` does; continues where it was interrupted.

    Args:
        photographs: a folder of photographs of that camera.
        output_dir: receives ``model.pt``, ``adaptation.json`` and what else the stage writes.
        recipe: one of ``configs/adapt.json``.
        model: to start from; the shipped one by default.
        settings: keys of ``configs/adapt.json``, such as ``view``, ``seed`` and ``batch_size``.

    Raises:
        CallError: there is no such folder, no photograph of use in it, or no such recipe.
        ValueError: there is no such key.
    """
    checkpoint = BUNDLE_ROOT / "models" / "model.pt" if model is None else model.checkpoint
    ours: dict[str, Any] = {
        "dataset_dir": str(photographs),
        "output_dir": str(output_dir),
        "checkpoint": str(checkpoint),
    }
    ours["recipe"] = recipe
    with _unsaid("monai.bundle.workflows"):
        _parser("adaptation", settings, **ours)
        run_stage("adaptation", logging_file=False, **ours, **settings)
    record = json.loads((Path(output_dir) / "adaptation.json").read_text(encoding="utf-8"))
    network = {key: value for key, value in settings.items() if key.partition("#")[0] in ("network_def", "device")}
    return Adaptation(load(Path(output_dir) / "model.pt", **network), record)


def _parser(stage: str, settings: Mapping[str, Any], **ours: Any) -> ConfigParser:
    """A stage's config with the caller's settings, which must be its keys, and ours.

    Raises:
        ValueError: there is no such key, or it is ours.
    """
    configs = BUNDLE_ROOT / "configs"
    parser = ConfigParser()
    parser.read_config(configs / f"{STAGES[stage]}.json")
    parser.read_meta(configs / "metadata.json")
    for key in settings:
        if key in (*ours, *_OURS):
            raise ValueError(f"{key} is no setting here: what is read and written follows from the other arguments.")
        if "#" in key and key.rpartition("#")[0] not in parser:
            raise ValueError(f"there is no key {key!r} in configs/{STAGES[stage]}.json.")
    check_overrides(stage, settings, known_keys([configs / f"{STAGES[stage]}.json"]))
    parser.update(settled(dict(settings) | ours))
    return parser


_NO_PHOTOGRAPH = "photograph {} is of type {}; pass a file, an array or a picture of Pillow's."


def _known(photograph: Any, number: int) -> Any:
    """A file, or an array.

    Raises:
        ValueError: it is neither, nor a picture of Pillow's.
    """
    if isinstance(photograph, Image.Image):
        return np.asarray(ImageOps.exif_transpose(photograph).convert("RGB"))
    if not isinstance(photograph, str | PathLike | np.ndarray):
        raise ValueError(_NO_PHOTOGRAPH.format(number, type(photograph).__name__))
    return photograph


def _checked(array: NDArray[Any], number: int) -> NDArray[np.uint8]:
    """An array that can be a photograph.

    Raises:
        ValueError: it cannot.
    """
    colour = array.ndim == 3 and array.shape[2] == 3
    if array.dtype != np.uint8 or not (array.ndim == 2 or colour) or min(array.shape[:2]) < MIN_SIDE:
        raise ValueError(
            f"photograph {number} is an array of {array.dtype} and of shape {array.shape}; pass uint8, "
            f"H x W x 3 or H x W, of at least {MIN_SIDE} pixels a side."
        )
    return array


@contextmanager
def _unsaid(logger: str) -> Iterator[None]:
    """Keep MONAI from warning, on stdout, that it leaves logging as it is."""
    its = logging.getLogger(logger)
    level = its.level
    its.setLevel(logging.ERROR)
    try:
        yield
    finally:
        its.setLevel(level)
