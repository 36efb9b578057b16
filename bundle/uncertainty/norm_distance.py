"""The distance of a photograph from the network's training data."""

from __future__ import annotations

import torch
from torch import nn

__all__ = ["NormDistances", "norm_distance"]


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


class NormDistances:
    """Context manager that measures a photograph's ``norm_distance`` at a network's batch norm layers in the last pass.

    What enters the first layer tells of colour and brightness. Over all layers, what the picture shows counts too: a
    picture that is no fundus lies farther away than photographs of a camera that the network has not seen.

    Args:
        network: the network to watch; layers without running statistics are left out.

    Attributes:
        first: B, at the first layer; None before a pass, and if the network has no such layer.

    Example:
        >>> network = nn.Sequential(nn.BatchNorm2d(4), nn.BatchNorm2d(4)).eval()
        >>> with NormDistances(network) as distances:
        ...     _ = network(torch.full((2, 4, 8, 8), 2.0))
        >>> distances.first, distances.over_all().round(decimals=2)
        (tensor([4.0000, 4.0000]), tensor([4., 4.]))
    """

    def __init__(self, network: nn.Module) -> None:
        modules = (module for module in network.modules() if isinstance(module, nn.BatchNorm2d))
        self.norms = [norm for norm in modules if norm.track_running_stats]
        self._found: dict[nn.Module, torch.Tensor] = {}

    @property
    def first(self) -> torch.Tensor | None:
        return self._found.get(self.norms[0]) if self.norms else None

    def over_all(self) -> torch.Tensor:
        """B: the geometric mean over all layers, whose distances differ by orders of magnitude."""
        distances = torch.stack([self._found[norm] for norm in self.norms if norm in self._found])
        return distances.clamp(min=1e-9).log().mean(dim=0).exp()

    def __enter__(self) -> NormDistances:
        self._handles = [norm.register_forward_pre_hook(self._keep) for norm in self.norms]
        return self

    def __exit__(self, *_: object) -> None:
        for handle in self._handles:
            handle.remove()

    def _keep(self, norm: nn.Module, inputs: tuple[torch.Tensor, ...]) -> None:
        assert isinstance(norm, nn.BatchNorm2d)
        self._found[norm] = norm_distance(torch.as_tensor(inputs[0]).detach(), norm)
