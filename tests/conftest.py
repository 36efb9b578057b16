"""Small networks, pictures, loaders and processes that tests of several rooms share."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from monai.data import Dataset
from monai.utils import set_determinism
from torch.optim.swa_utils import update_bn
from torch.utils.data import DataLoader

from bundle.data.dataset import collate_readable
from bundle.networks.head import classifier_of
from bundle.networks.unet import DiscCupUNet
from tests.support.processes import Processes


def noise_images(count: int, width: int, height: int, seed: int) -> torch.Tensor:
    """``B x 3 x W x H`` in [-1, 1], smooth enough that neighbouring pixels are alike."""
    coarse = torch.rand(count, 3, width // 8, height // 8, generator=torch.Generator().manual_seed(seed))
    return torch.nn.functional.interpolate(coarse, (width, height), mode="bicubic") * 2 - 1


@pytest.fixture(autouse=True, scope="session")
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def _determinism() -> Iterator[None]:
    """Undo what ``set_determinism`` sets."""
    yield
    set_determinism(None)


@pytest.fixture
def make_images() -> Callable[..., torch.Tensor]:
    """``make_images(count, width, height, seed)``."""

    def make(count: int = 2, width: int = 64, height: int = 32, seed: int = 0) -> torch.Tensor:
        return noise_images(count, width, height, seed)

    return make


@pytest.fixture(scope="session")
def _tiny_network() -> DiscCupUNet:
    with torch.random.fork_rng():
        torch.manual_seed(1)
        network = DiscCupUNet(backbone="efficientnet-lite0-small", decoder_channels=(16, 16, 8, 8), dropout=0.25)
        update_bn([noise_images(8, 64, 32, seed=99)], network)
        # A fresh head says 1/3 everywhere; this one says something.
        classifier = classifier_of(network.segmentation_head)
        assert classifier.bias is not None
        torch.nn.init.normal_(classifier.weight, std=2.0)
        torch.nn.init.normal_(classifier.bias)
    return network.eval()


@pytest.fixture
def network(_tiny_network: DiscCupUNet) -> DiscCupUNet:
    """A network of 8 channels in front of the head, in evaluation mode, whose predictions vary from pixel to pixel."""
    return copy.deepcopy(_tiny_network)


@pytest.fixture
def make_loader() -> Callable[..., DataLoader]:
    """``make_loader(items, batch_size)``, where an item may be None."""

    def make(items: list, batch_size: int = 2) -> DataLoader:
        return DataLoader(Dataset(items), batch_size=batch_size, collate_fn=collate_readable)

    return make


@pytest.fixture
def batches(make_images: Callable[..., torch.Tensor]) -> list[dict]:
    """Three photographs in two batches, with an empty one between them."""
    images = make_images(3, 64, 32)
    return [{"image": images[:2], "name": ["a", "b"]}, {}, {"image": images[2:], "name": ["c"]}]


@pytest.fixture(scope="module")
def processes() -> Iterator[Processes]:
    """Two processes on loopback."""
    workers = Processes(2)
    yield workers
    workers.close()


@pytest.fixture
def open_folder(tmp_path: Path) -> Path:
    """A folder that everybody may enter."""
    for folder in (tmp_path, *tmp_path.parents):
        if not folder.stat().st_mode & 0o001:
            folder.chmod(folder.stat().st_mode | 0o711)
    (tmp_path / "in").mkdir(mode=0o755)
    return tmp_path / "in"
