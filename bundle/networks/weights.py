"""Writing, checking and loading the weights of a network."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import nn

from bundle.errors import CallError
from bundle.io.files import save_atomically
from bundle.networks.notes import with_notes
from bundle.networks.others import check_output

__all__ = ["has_finite_weights", "load_weights", "ready_network", "save_weights"]


def save_weights(network: torch.nn.Module, path: str | Path, notes: Mapping[str, float] | None = None) -> None:
    """Write a network's state dict as plain contiguous tensors, independent of the memory format of the run.

    Args:
        network: the network whose weights are written.
        path: the file; an existing one is replaced as a whole.
        notes: numbers that describe the weights, see ``with_notes``; None for no notes.

    Raises:
        CallError: the disk is full or the folder cannot be written to.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = Path(folder) / "model.pt"
        ...     save_weights(nn.Linear(1, 1), path)
        ...     load_weights(nn.Linear(1, 1), path)
        Linear(in_features=1, out_features=1, bias=True)
    """
    state = {name: value.detach().cpu().contiguous() for name, value in network.state_dict().items()}
    save_atomically(state if notes is None else with_notes(state, notes), path)


def has_finite_weights(module: torch.nn.Module) -> bool:
    """Whether every parameter and buffer of a module is finite.

    Example:
        >>> layer = nn.Linear(1, 1)
        >>> before = has_finite_weights(layer)
        >>> _ = nn.init.constant_(layer.bias, float("nan"))
        >>> before, has_finite_weights(layer)
        (True, False)
    """
    return all(bool(torch.isfinite(value).all()) for value in (*module.parameters(), *module.buffers()))


def load_weights(network: nn.Module, checkpoint: str | Path) -> nn.Module:
    """Load a state dict into ``network`` and return the network.

    Args:
        network: receives the weights.
        checkpoint: file with a state dict, or with a dict whose entry ``model`` is one.

    Raises:
        CallError: there is no such file, it holds no state dict, the state dict belongs to another architecture, or it
            holds values that are not finite.

    Example:
        >>> load_weights(nn.Linear(1, 1), "no/model.pt")
        Traceback (most recent call last):
        ...
        bundle.errors.CallError: checkpoint no/model.pt does not exist...
    """
    path = Path(checkpoint)
    remedy = "Pass --checkpoint with a model.pt that this bundle's training or adaptation wrote."
    if not os.path.isfile(path):  # noqa: PTH113
        # os.path returns False where Path raises: for a name that is too long, or a folder without access.
        what = "is no file" if os.path.exists(path) else "does not exist"  # noqa: PTH110
        raise CallError(f"checkpoint {path} {what}.", remedy)
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        raise CallError(f"checkpoint {path} cannot be read ({type(error).__name__}).", remedy) from error
    if isinstance(state, dict) and isinstance(state.get("model"), dict):
        state = state["model"]
    if not isinstance(state, dict) or not all(
        isinstance(name, str) and isinstance(value, torch.Tensor) for name, value in state.items()
    ):
        raise CallError(f"checkpoint {path} holds no state dict.", remedy)
    # Checked before anything is computed: a file of a kilobyte can hold a tensor that takes terabytes when used.
    misfit = _misfit(network.state_dict(), state)
    if misfit:
        raise CallError(f"checkpoint {path} does not fit the network: {misfit}.", remedy)
    bad = next((name for name, value in state.items() if not torch.isfinite(value.float()).all()), None)
    if bad is not None:
        raise CallError(f"checkpoint {path} holds values that are not finite, in {bad}.", remedy)
    network.load_state_dict(state)
    return network


def ready_network(
    network: nn.Module, checkpoint: str | Path | None, device: torch.device | str, image_size: int | None = None
) -> nn.Module:
    """Load the weights of ``checkpoint`` and move the network to ``device`` in the channels-last memory format.

    Args:
        network: changed in place.
        checkpoint: see ``load_weights``; None or an empty string leaves the weights as they are.
        device: where the network is moved.
        image_size: side in pixels of the pictures that it will get, for which ``check_output`` tries it; None for no
            trial.

    Returns:
        ``network`` itself.

    Raises:
        CallError: see ``load_weights`` and ``check_output``.

    Example:
        >>> network = ready_network(nn.Conv2d(3, 2, kernel_size=3), None, "cpu")
        >>> network.weight.is_contiguous(memory_format=torch.channels_last)
        True
    """
    if checkpoint:
        load_weights(network, checkpoint)
    network.to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    if image_size is not None:
        check_output(network, image_size)
    return network


def _misfit(own: Mapping[str, torch.Tensor], state: Mapping[str, torch.Tensor]) -> str:
    """The first respect in which a state dict does not fit the network, in words; empty if it fits."""
    for name in own:
        if name not in state:
            return f"missing key {name}"
    for name, value in state.items():
        if name not in own:
            return f"unexpected key {name[:80]}"
        if value.shape != own[name].shape:
            return f"size mismatch for {name}: {_size(value)}, not {_size(own[name])}"
        plain = value.layout == torch.strided and value.device.type == "cpu" and not value.is_quantized
        if not plain or value.is_complex():
            return f"{name} is no plain tensor of real numbers"
    return ""


def _size(tensor: torch.Tensor) -> str:
    sides = list(tensor.shape)
    return " x ".join(map(str, sides[:8])) or "one number"
