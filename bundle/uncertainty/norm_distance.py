"""The distance of a photograph from the network's training data."""

from __future__ import annotations

import torch
from torch import nn

__all__ = ["FirstNormInput", "norm_distance"]


def norm_distance(features: torch.Tensor, norm: nn.BatchNorm2d) -> torch.Tensor:
    """Distance of a norm layer's input from its running statistics, which describe the training data.

    Args:
        features: the layer's input, B x K x W x H.
        norm: a layer with running statistics.

    Returns:
        B, at least 0: for each photograph the squared difference between a channel's mean and its running mean, divided
        by the running variance, averaged over the channels.

    Raises:
        ValueError: the layer has no running statistics.

    Example:
        >>> norm = nn.BatchNorm2d(4)  # running mean 0, running variance 1
        >>> norm_distance(torch.full((1, 4, 8, 8), 2.0), norm)
        tensor([4.0000])
    """
    if norm.running_mean is None or norm.running_var is None:
        raise ValueError("a norm layer without running statistics knows nothing of its training data.")
    # The layer's own epsilon keeps channels that hardly vary from outweighing all others.
    return ((features.mean(dim=(2, 3)) - norm.running_mean) ** 2 / (norm.running_var + norm.eps)).mean(dim=1)


class FirstNormInput:
    """Context manager that keeps the ``norm_distance`` at a network's first batch norm layer in the last pass.

    Args:
        network: the network to watch. After a pass, ``distance`` holds the distances (B); it stays None if the network
            has no batch norm layer with running statistics.

    Example:
        >>> network = nn.Sequential(nn.BatchNorm2d(4)).eval()
        >>> with FirstNormInput(network) as first_norm:
        ...     _ = network(torch.full((2, 4, 8, 8), 2.0))
        >>> first_norm.distance
        tensor([4.0000, 4.0000])
    """

    def __init__(self, network: nn.Module) -> None:
        self.norm = next(
            (m for m in network.modules() if isinstance(m, nn.BatchNorm2d) and m.track_running_stats), None
        )
        self.distance: torch.Tensor | None = None

    def __enter__(self) -> FirstNormInput:
        self.handle = self.norm.register_forward_pre_hook(self._keep) if self.norm is not None else None
        return self

    def __exit__(self, *_: object) -> None:
        if self.handle is not None:
            self.handle.remove()

    def _keep(self, norm: nn.Module, inputs: tuple[torch.Tensor, ...]) -> None:
        assert isinstance(norm, nn.BatchNorm2d)
        self.distance = norm_distance(torch.as_tensor(inputs[0]).detach(), norm)
