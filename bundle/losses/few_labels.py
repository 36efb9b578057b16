"""The supervised loss on a few corrected photographs of the target."""

from __future__ import annotations

from collections.abc import Mapping, Sized
from typing import Any, cast

import torch
from monai.data import Dataset, list_data_collate
from monai.utils import convert_to_tensor
from torch import nn

from bundle.losses.supervised import PartialDiceCELoss
from bundle.networks.outputs import AdaptationOutput

__all__ = ["FewLabelsLoss"]


class FewLabelsLoss(nn.Module):
    """Dice plus cross-entropy of the network on corrected photographs, drawn anew in each step.

    The photographs of the batch do not count; the network runs once more, on the drawn ones. Which ones, and how they
    are changed, depends on PyTorch's random numbers alone, so that an interrupted run goes on as if it had not been.

    Args:
        dataset: items with ``image`` (3 x W x H) and ``label`` (1 x W x H, values of ``bundle.data.partial_labels``);
            its transform is random.
        batch_size: photographs in a step.

    Example:
        >>> from monai.transforms import Compose
        >>> item = {"image": torch.zeros(3, 8, 8), "label": torch.zeros(1, 8, 8)}
        >>> loss = FewLabelsLoss(Dataset([item], Compose([])), batch_size=2)
        >>> images = torch.zeros(1, 3, 8, 8)
        >>> value = loss(AdaptationOutput(nn.Conv2d(3, 3, 1), images, images, images), {})
        >>> bool(value > 0)
        True
    """

    def __init__(self, dataset: Dataset, batch_size: int = 3) -> None:
        super().__init__()
        self.dataset = dataset
        self.batch_size = batch_size
        self.supervised = PartialDiceCELoss()

    def forward(self, output: AdaptationOutput, target: Mapping[str, Any]) -> torch.Tensor:
        """The loss, a scalar; of ``output`` only the network counts, and nothing of ``target``."""
        transform: Any = self.dataset.transform
        transform.set_random_state(int(torch.randint(2**31, ())))
        drawn = torch.randint(len(cast(Sized, self.dataset)), (self.batch_size,)).tolist()
        # What else an item has, such as its readers, not every item has.
        items = [{key: item[key] for key in ("image", "label")} for item in map(self.dataset.__getitem__, drawn)]
        batch = list_data_collate(items)
        image, label = (convert_to_tensor(batch[key], track_meta=False) for key in ("image", "label"))
        device = output.images.device
        return self.supervised(output.network(image.to(device)), label.to(device))
