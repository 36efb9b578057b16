"""Pictures of bright ellipses."""

from __future__ import annotations

import torch


def picture(width: int, height: int, *ellipses: tuple[float, float, float, float]) -> torch.Tensor:
    """3 x W x H, white in ellipses (x, y, diameter along x, diameter along y), dark elsewhere."""
    x, y = torch.meshgrid(torch.arange(width), torch.arange(height), indexing="ij")
    inside = torch.zeros(width, height, dtype=torch.bool)
    for x0, y0, a, b in ellipses:
        inside |= ((x - x0) / (a / 2)) ** 2 + ((y - y0) / (b / 2)) ** 2 <= 1
    return (30.0 + 200.0 * inside).expand(3, -1, -1)
