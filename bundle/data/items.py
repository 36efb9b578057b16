"""The items of a data set: their names, their meta data, and what an engine made of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, cast

import numpy as np
from ignite.engine import Engine
from monai.data import MetaTensor
from monai.utils import MetaKeys

__all__ = ["finished_items", "image_metadata", "item_name"]


def item_name(item: Mapping[str, Any]) -> str:
    """The ``name`` of an item; the file name of its ``image`` (a path, or loaded) where others, such as MONAI Label,
    made the item and gave it none."""
    if "name" in item:
        return str(item["name"])
    image = item["image"]
    return Path(image.meta["filename_or_obj"] if isinstance(image, MetaTensor) else image).name


def finished_items(engine: Engine) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    """Each photograph of the engine's last iteration, as what went in and what came out (both decollated)."""
    batch, output = cast(Any, engine.state.batch), cast(Any, engine.state.output)
    return zip(batch, output, strict=True)


def image_metadata(path: Path, values: np.ndarray, stored_as: str, channel_dim: float) -> dict[str, Any]:
    return {
        MetaKeys.SPATIAL_SHAPE.value: np.asarray(values.shape[:2]),
        MetaKeys.ORIGINAL_CHANNEL_DIM.value: channel_dim,
        "filename_or_obj": str(path),
        "format": stored_as,
    }
