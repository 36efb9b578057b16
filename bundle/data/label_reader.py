"""Reads labels for MONAI's ``LoadImaged``, as ``photograph_reader`` reads photographs."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from monai.config import PathLike
from monai.data import ImageReader
from monai.data.utils import is_supported_format
from monai.transforms import MapTransform
from monai.utils import MetaKeys, ensure_tuple

from bundle.data.formats import LABEL_SUFFIXES, check_label_format
from bundle.data.items import image_metadata
from bundle.data.label_values import foreground, label_values
from bundle.data.limits import refusal, size_text
from bundle.data.soft_labels import pooled
from bundle.errors import UnreadablePhotographError

__all__ = ["LabelReader", "LabelFits"]


class LabelReader(ImageReader):
    """Reads a label of disc and cup. Labels lie in the orientation in which the photograph is displayed.

    NIfTI arrays, which annotation tools such as 3D Slicer write, are taken as ``PhotographReader`` takes them.

    Args:
        label_format: ``index`` (0 background, 1 disc rim, 2 cup; of a palette image see ``label_values``),
            ``refuge`` (255, 128, 0) or ``pair`` (two files, disc and cup, see ``foreground``). Several labels of one
            photograph are those of several readers.

    Raises:
        CallError: ``label_format`` is none of these.
    """

    def __init__(self, label_format: str = "index") -> None:
        super().__init__()
        check_label_format(label_format)
        self.label_format = label_format

    def verify_suffix(self, filename: Sequence[PathLike] | PathLike) -> bool:
        """Whether every file is a picture or a NIfTI array by its suffix."""
        return bool(is_supported_format(filename, [suffix.lstrip(".") for suffix in LABEL_SUFFIXES]))

    def read(self, data: Sequence[PathLike] | PathLike, **kwargs: Any) -> tuple[str, ...]:
        """The names in ``data``, still to be decoded: one, or ``(disc, cup)`` for ``pair``, per reader."""
        return tuple(str(name) for name in ensure_tuple(data))

    def get_data(self, img: Sequence[str] | str) -> tuple[np.ndarray, dict[str, Any]]:
        """Decodes the label.

        Args:
            img: what ``read`` returned.

        Returns:
            the label, uint8, indexed (x, y) and of shape (W, H), values 0 background, 1 disc rim, 2 cup (cup outside
            the disc counts as background); of several readers int32, see ``bundle.data.soft_labels``; and its metadata
            with ``spatial_shape`` (W, H) and no channel dimension.

        Raises:
            UnreadablePhotographError: a file cannot be decoded, or holds other values than its format allows; or the
                readers' labels differ in size.
        """
        names = ensure_tuple(img)
        each = 2 if self.label_format == "pair" else 1
        if not names or len(names) % each:
            raise UnreadablePhotographError(
                names[0] if names else "",
                f"label_format {self.label_format} takes {each} label file(s) per reader, not {len(names)}",
            )
        paths = [Path(name) for name in names]
        labels = [self._label(*paths[start : start + each]) for start in range(0, len(paths), each)]
        for path, label in zip(paths[::each], labels, strict=True):
            if label.shape != labels[0].shape:
                sizes = size_text(label.shape), size_text(labels[0].shape)
                raise UnreadablePhotographError(path, f"it is {sizes[0]} pixels but {paths[0]} is {sizes[1]}")
        label = labels[0] if len(labels) == 1 else pooled(labels)
        return label, image_metadata(paths[0], label, self.label_format, channel_dim=float("nan"))

    def _label(self, *paths: Path) -> np.ndarray:
        """What one reader drew."""
        with refusal(paths[0]):
            if self.label_format == "pair":
                return _pair_label(*paths)
            return _refuge_label(paths[0]) if self.label_format == "refuge" else _index_label(paths[0])


class LabelFits(MapTransform):
    """Refuses a label whose size is not its photograph's, or whose cup reaches a corner of the picture, as a background
    does that is mistaken for the cup; otherwise passes the data through.

    The sizes are those of the files (``spatial_shape`` in the metadata), where known, otherwise those of the
    channel-first arrays.

    Args:
        keys: the photograph's key, then the label's.
        allow_missing_keys: whether data without one of the keys pass unchecked.
    """

    def __init__(self, keys: Sequence[str] = ("image", "label"), allow_missing_keys: bool = True) -> None:
        super().__init__(keys, allow_missing_keys)
        if len(self.keys) != 2:
            raise ValueError(f"LabelFits compares two keys, a photograph and its label, not {self.keys}.")

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Raises ``UnreadablePhotographError`` for the photograph, naming the label too, where it does not fit."""
        found = list(self.key_iterator(data))
        if len(found) == 2:
            (photograph, size), (label, label_size) = (_file_and_size(data[key]) for key in found)
            if size != label_size:
                turned = size == label_size[::-1]
                remedy = "draw it on the photograph as displayed, EXIF orientation applied" if turned else "resize it"
                raise UnreadablePhotographError(
                    photograph,
                    f"the photograph is {size_text(size)} pixels but its label {label} is "
                    f"{size_text(label_size)}: {remedy}",
                )
            if (data[found[1]][..., [0, 0, -1, -1], [0, -1, 0, -1]] == 2).any():
                raise UnreadablePhotographError(
                    photograph,
                    f"what would be the cup in its label {label} reaches a corner of the picture, so it is the "
                    "background: save 0 for background, 1 for disc rim and 2 for cup, and pass --label_format index",
                )
        return dict(data)


def _file_and_size(image: Any) -> tuple[str, tuple[int, ...]]:
    meta = getattr(image, "meta", {})
    size = meta.get(MetaKeys.SPATIAL_SHAPE.value, image.shape[1:])
    return str(meta.get("filename_or_obj", "")), tuple(int(side) for side in size)


def _values_found(path: Path, by_index: bool) -> tuple[np.ndarray, set[float]]:
    values = label_values(path, by_index)
    if values.ndim == 3:
        raise UnreadablePhotographError(path, "the label is a colour image: save it as grey values 0, 1 and 2")
    return values, {value.item() for value in np.unique(values)}


def _listed(found: set[float]) -> str:
    shown = [f"{value:g}" for value in sorted(found)]
    return ", ".join(shown[:8]) + (f" and {len(shown) - 8} more" if len(shown) > 8 else "")


def _index_label(path: Path) -> np.ndarray:
    values, found = _values_found(path, by_index=True)
    if found <= {0, 1, 2}:
        return values.astype(np.uint8)
    corners = values[[0, 0, -1, -1], [0, -1, 0, -1]]
    if found <= {0, 128, 255} and (corners == 255).all():
        remedy = "pass --label_format refuge if 0 is the cup, 128 the rim and 255 the background"
    elif len(found) == 2 and 0 in found:
        remedy = (
            "it tells two regions apart and not three; save 0 for background, 1 for disc rim and 2 for cup, or put "
            "masks of disc and cup into folders disc and cup and pass --label_format pair"
        )
    else:
        remedy = "save 0 for background, 1 for disc rim and 2 for cup"
    raise UnreadablePhotographError(path, f"the label holds the values {_listed(found)}: {remedy}")


def _refuge_label(path: Path) -> np.ndarray:
    values, found = _values_found(path, by_index=False)
    if found <= {0, 128, 255}:
        return np.select([values == 0, values == 128], [2, 1], default=0).astype(np.uint8)
    remedy = "pass --label_format index" if found <= {0, 1, 2} else "REFUGE labels hold 0, 128 and 255 only"
    raise UnreadablePhotographError(path, f"the label holds the values {_listed(found)}: {remedy}")


def _pair_label(disc_path: Path, cup_path: Path) -> np.ndarray:
    disc, cup = label_values(disc_path, by_index=False), label_values(cup_path, by_index=False)
    if disc.shape[:2] != cup.shape[:2]:
        raise UnreadablePhotographError(
            disc_path,
            f"the disc is {size_text(disc.shape[:2])} pixels but the cup {cup_path} is {size_text(cup.shape[:2])}",
        )
    inside, within = foreground(disc_path, disc), foreground(cup_path, cup)
    return inside.astype(np.uint8) + (inside & within)
