"""How far a photograph lies from what the network was trained on."""

from __future__ import annotations

import torch
from torch import nn

__all__ = ["FirstNormInput", "norm_distance"]


def norm_distance(features: torch.Tensor, norm: nn.BatchNorm2d) -> torch.Tensor:
    """Distance of what enters a norm layer from its running statistics, and so from the training data.

    Args:
        features: B x K x W x H.
        norm: the layer, which has running statistics.

    Returns:
        B, at least 0: the mean over the channels of the squared distance between the photograph's mean and the running
        mean, in running variances.
    """
    if norm.running_mean is None or norm.running_var is None:
        raise ValueError("a norm layer without running statistics knows nothing of its training data.")
    # The layer's own epsilon keeps channels that never vary from outweighing all others.
    return ((features.mean(dim=(2, 3)) - norm.running_mean) ** 2 / (norm.running_var + norm.eps)).mean(dim=1)


class FirstNormInput:
    """Context manager that keeps the ``norm_distance`` of the network's first batch norm layer in each forward pass.

    Args:
        network: has a batch norm layer with running statistics; without one the distance stays None.
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
