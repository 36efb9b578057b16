"""Fingerprints that tell whether results on disk were made from the same inputs and settings as a new call."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from enum import Enum
from functools import partial
from pathlib import Path
from types import FunctionType
from typing import Any

import torch
from monai.utils import ensure_tuple
from torch.utils.data import DataLoader, Dataset

from bundle._version import __version__
from bundle.data.items import item_name

__all__ = ["described", "fingerprint", "made_from", "model_identity"]


# Attributes that PyTorch gives every module; weights and submodules are read separately.
_OF_EVERY_MODULE = {*vars(torch.nn.Module()), "_version"}


def fingerprint(
    checkpoint: str | Path | None, items: Sequence[Mapping[str, Any]], *settings: Any, keys: Sequence[str] = ("image",)
) -> str:
    """Hash the weights' bytes, the photographs (name, file size, time of change) and the settings.

    Args:
        checkpoint: file of the weights; a missing file counts as empty, like None.
        items: photographs with ``image`` (a path) and, usually, ``name``.
        settings: whatever else the result depends on; JSON must be able to hold it.
        keys: keys of an item whose files (a path, or several) count. Nothing else in an item does; in particular, no
            label is read unless its key is given.

    Returns:
        32 hexadecimal digits.

    Example:
        >>> fingerprint(None, [], {"passes": 10}) == fingerprint(None, [], {"passes": 20})
        False
    """
    digest = hashlib.sha256()
    path = None if checkpoint is None else Path(checkpoint)
    digest.update(path.read_bytes() if path is not None and path.is_file() else b"")
    for item in sorted(items, key=item_name):
        files = [path for key in keys if key in item for path in ensure_tuple(item[key])]
        what = [item_name(item), *(number for path in files for number in _size_and_change(Path(path)))]
        digest.update(json.dumps(what).encode())
    digest.update(json.dumps(settings, sort_keys=True).encode())
    return digest.hexdigest()[:32]


def made_from(
    checkpoint: str | Path | None,
    items: Sequence[Mapping[str, Any]],
    parts: Mapping[str, Any],
    keys: Sequence[str] = ("image",),
) -> str:
    """Fingerprint of the weights, the photographs, the bundle's version and all components that affect a result.

    Args:
        checkpoint: as for ``fingerprint``.
        items: as for ``fingerprint``.
        parts: the components and settings that affect the result, by name; see ``described``.
        keys: as for ``fingerprint``.

    Returns:
        32 hexadecimal digits.

    Example:
        >>> from monai.transforms import Compose, Flip
        >>> one, other = (made_from(None, [], {"preprocessing": Compose([Flip(axis)])}) for axis in (0, 1))
        >>> one == other
        False
    """
    return fingerprint(checkpoint, items, __version__, described(parts), keys=keys)


def _size_and_change(path: Path) -> tuple[int | None, int | None]:
    try:
        stat = path.stat()
    except OSError:
        # For example a broken link; its photograph will be reported as unreadable.
        return None, None
    return stat.st_size, stat.st_mtime_ns


def described(component: Any) -> Any:
    """Describe everything that determines what a component of a config does, in a form that JSON can hold.

    Any change in a config, at any depth, changes the description. It contains the class names of the component and its
    parts, their attributes that are numbers, strings or containers of these, and hashes of tensors. Functions are
    described by their code; random states, and whatever else has no attributes, by their type. Of a data set only the
    transform counts, because ``fingerprint`` covers the data; of a loader how it makes batches; of an optimiser its
    settings without the weights that it trains.

    Args:
        component: such as a transform or a network.

    Returns:
        Strings, numbers, lists and dicts.

    Example:
        >>> from monai.transforms import Flip
        >>> described({"flip": Flip(0)})
        {'flip': ['Flip', ...]}
    """
    return _described(component, ())


def _described(part: Any, inside: tuple[int, ...]) -> Any:
    if part is None or isinstance(part, bool | int | float | str):
        return part
    kind = type(part).__qualname__
    if isinstance(part, torch.Tensor):
        return [kind, str(part.dtype), list(part.shape), hashlib.sha256(_bytes_of(part)).hexdigest()]
    if isinstance(part, Enum | Path | torch.device | torch.dtype):
        return str(part)
    if isinstance(part, FunctionType):
        constants = [value for value in part.__code__.co_consts if isinstance(value, int | float | str)]
        return [part.__module__, part.__qualname__, part.__code__.co_code.hex(), constants]
    if hasattr(part, "__qualname__"):
        return f"{part.__module__}.{part.__qualname__}"
    # A part that refers back to one that contains it is not described again.
    if id(part) in inside:
        return kind
    inside = (*inside, id(part))
    if isinstance(part, Mapping):
        return {str(key): _described(value, inside) for key, value in part.items()}
    if isinstance(part, list | tuple):
        return [_described(value, inside) for value in part]
    if isinstance(part, partial):
        return [kind, *(_described(value, inside) for value in (part.func, part.args, part.keywords))]
    if isinstance(part, set | frozenset):
        return sorted(map(str, part))
    attributes = _attributes(part)
    return [kind, {name: _described(value, inside) for name, value in sorted(attributes.items())}]


def _attributes(part: Any) -> Mapping[str, Any]:
    """The attributes that determine what a component does, by name."""
    attributes = getattr(part, "__dict__", {})
    if isinstance(part, torch.nn.Module):
        own = {name: value for name, value in attributes.items() if name not in _OF_EVERY_MODULE}
        weights = [*part.named_parameters(recurse=False), *part.named_buffers(recurse=False)]
        return {**own, **dict(weights), **dict(part.named_children())}
    if isinstance(part, torch.optim.Optimizer):
        return part.defaults
    if isinstance(part, Dataset):
        return {"transform": getattr(part, "transform", None)}
    if isinstance(part, DataLoader):
        return {
            name: getattr(part, name) for name in ("batch_size", "drop_last", "sampler", "batch_sampler", "dataset")
        }
    # ``not_described`` names attributes that are a state, such as the seed of an epoch.
    return {name: value for name, value in attributes.items() if name not in getattr(part, "not_described", ())}


def _bytes_of(tensor: torch.Tensor) -> bytes:
    return tensor.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().tobytes()


def model_identity(checkpoint: str | Path) -> str:
    """Identify a file of weights in reports.

    Args:
        checkpoint: the file.

    Returns:
        Its name, and the first 12 digits of its SHA-256.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     _ = Path(folder, "model.pt").write_bytes(b"weights")
        ...     model_identity(f"{folder}/model.pt")
        'model.pt (sha256 ...)'
    """
    path = Path(checkpoint)
    return f"{path.name} (sha256 {hashlib.sha256(path.read_bytes()).hexdigest()[:12]})"
