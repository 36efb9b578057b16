"""Weights of a network, in files."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import nn

from bundle.errors import CallError
from bundle.io.files import save_atomically
from bundle.networks.notes import with_notes

__all__ = ["has_finite_weights", "load_weights", "ready_network", "save_weights"]


def save_weights(network: torch.nn.Module, path: str | Path, notes: Mapping[str, float] | None = None) -> None:
    """Write a network's state dict as plain contiguous tensors, which load whatever memory format the run used.

    Args:
        network: what is written.
        path: the file, replaced as a whole.
        notes: what the file says of the weights, see ``with_notes``; None for nothing.
    """
    state = {name: value.detach().cpu().contiguous() for name, value in network.state_dict().items()}
    save_atomically(state if notes is None else with_notes(state, notes), path)


def has_finite_weights(module: torch.nn.Module) -> bool:
    """Whether every parameter and buffer of a module is finite."""
    return all(bool(torch.isfinite(value).all()) for value in (*module.parameters(), *module.buffers()))


def load_weights(network: nn.Module, checkpoint: str | Path) -> nn.Module:
    """Load a state dict into ``network`` and return it.

    Args:
        network: receives the weights.
        checkpoint: file with a state dict, or with a dict whose entry ``model`` is one.

    Raises:
        CallError: when there is no such file, it is no state dict, it belongs to another architecture, or it holds
            values that are not finite.
    """
    path = Path(checkpoint)
    remedy = "Pass --checkpoint with a model.pt that this bundle's training or adaptation wrote."
    if not os.path.isfile(path):  # noqa: PTH113
        # os.path answers where Path raises: for a name that is too long, or a closed folder.
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
    # Before anything is computed: a file of a kilobyte can hold a tensor that takes terabytes when touched.
    misfit = _misfit(network.state_dict(), state)
    if misfit:
        raise CallError(f"checkpoint {path} does not fit the network: {misfit}.", remedy)
    bad = next((name for name, value in state.items() if not torch.isfinite(value.float()).all()), None)
    if bad is not None:
        raise CallError(f"checkpoint {path} holds values that are not finite, in {bad}.", remedy)
    network.load_state_dict(state)
    return network


def ready_network(network: nn.Module, checkpoint: str | Path | None, device: torch.device | str) -> nn.Module:
    """The network with the weights of ``checkpoint`` where it is to work, in the memory format that is fastest there.

    Args:
        network: changed in place.
        checkpoint: see ``load_weights``; None, or an empty text, leaves the weights as they are.
        device: where the network is moved.

    Raises:
        CallError: see ``load_weights``.
    """
    if checkpoint:
        load_weights(network, checkpoint)
    return network.to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload]


def _misfit(own: Mapping[str, torch.Tensor], state: Mapping[str, torch.Tensor]) -> str:
    """The first thing in which a state dict is not one of the network's, in words; empty if it is one."""
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
