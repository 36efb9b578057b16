"""The locator finds what its network marks, maps it back exactly, and refuses what is no disc."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from monai.data import MetaTensor
from skimage import data

from bundle.errors import CallError
from bundle.locator.search import DiscLocator, load_locator, locator_network
from bundle.stages import BUNDLE_ROOT
from bundle.synthetic.cameras import CAMERA_STYLES
from bundle.synthetic.phantoms.photographs import make_crop, make_photograph
from bundle.transforms.disc_view import DiscLocation, DiscViewd
from tests.support.ellipses import picture

WEIGHTS = BUNDLE_ROOT / "models" / "locator.pt"


class BrightIsDisc(torch.nn.Module):
    """Calls a pixel disc with probability ``certainty`` where it is brighter than half, and counts its calls."""

    def __init__(self, certainty: float = 0.99) -> None:
        super().__init__()
        self.logit = math.log(certainty / (1 - certainty))
        self.calls = 0

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        assert not self.training
        self.calls += 1
        disc = torch.where(inputs[:, :1] > 0, self.logit, -9.0)
        return torch.cat((torch.zeros_like(disc), disc), dim=1)


def locate(image: torch.Tensor, certainty: float = 0.99, **kwargs: Any) -> DiscLocation | None:
    return DiscLocator(BrightIsDisc(certainty), **kwargs)(image)


@pytest.mark.parametrize(
    ("size", "ellipse"),
    [
        ((900, 500), (700.0, 120.0, 90.0, 90.0)),
        ((500, 900), (150.5, 730.0, 80.0, 110.0)),
        ((256, 256), (128.0, 140.0, 150.0, 150.0)),
        ((120, 80), (60.0, 40.0, 50.0, 60.0)),
        ((1400, 1401), (900.0, 333.0, 700.0, 640.0)),
    ],
    ids=["wide", "tall", "as the network sees it", "smaller than the network's view", "large disc"],
)
def test_centre_and_diameter_are_in_pixels_of_the_photograph(
    size: tuple[int, int], ellipse: tuple[float, float, float, float]
) -> None:
    disc = locate(picture(*size, ellipse))
    assert disc is not None
    x, y, a, b = ellipse
    pixel = max(1.0, 0.5 * max(size) / 256)
    assert disc.x == pytest.approx(x, abs=pixel)
    assert disc.y == pytest.approx(y, abs=pixel)
    assert disc.diameter == pytest.approx(math.sqrt(a * b), rel=0.02, abs=pixel)
    assert 0.9 < disc.confidence <= 1


def test_resizing_shifts_nothing_by_half_a_pixel() -> None:
    """A whole picture of 1024 reduced fourfold: without the half pixels the centre would be 1.5 pixels off."""
    disc = locate(picture(1024, 1024, (511.5, 255.5, 400, 400)))
    assert disc is not None
    assert (disc.x, disc.y) == pytest.approx((511.5, 255.5), abs=0.2)


@pytest.mark.parametrize("side", [40, 64, 128])
def test_the_network_sees_each_channel_as_it_is(side: int) -> None:
    """Enlarged, as it is, and averaged over areas: the second channel is the first reversed, the third is flat."""
    seen: list[torch.Tensor] = []

    class Eye(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            seen.append(x)
            return torch.zeros(len(x), 2, *x.shape[2:])

    ramp = torch.arange(side).expand(side, side).float() * 127 / side
    DiscLocator(Eye(), size=64)(torch.stack([ramp, ramp.flip(1), torch.full_like(ramp, 50)]))
    red, green, blue = seen[0][0] * 128 + 127
    torch.testing.assert_close(green, red.flip(1))
    torch.testing.assert_close(blue, torch.full_like(blue, 50))
    assert red[:, 0].max() < 3
    assert red[:, -1].min() > 120


def test_a_meta_tensor_of_bytes_is_located_as_a_tensor_is() -> None:
    image = picture(300, 200, (200, 90, 70, 70))
    assert locate(MetaTensor(image).to(torch.uint8)) == locate(image)


def test_the_view_of_the_disc_is_cut_where_the_locator_points() -> None:
    image = picture(900, 500, (700, 120, 90, 90))
    view = DiscViewd("image", 128, "auto", locate=DiscLocator(BrightIsDisc()))({"image": MetaTensor(image)})["image"]
    bright = torch.nonzero(view[0] > 127).float()
    assert bright.mean(dim=0).tolist() == pytest.approx([63.5, 63.5], abs=1.5)
    assert 2 * math.sqrt(len(bright) / math.pi) / 128 == pytest.approx(0.65, abs=0.03)
    assert view.meta["view"] == "photograph"


@pytest.mark.parametrize(
    "image",
    [
        picture(300, 200),
        torch.full((3, 256, 256), 230.0),
        picture(512, 512, (256, 256, 12, 12)),
        picture(512, 512, *((x, y, 60.0, 60.0) for x in (60, 180, 300, 420) for y in (60, 180, 300))),
        picture(512, 512, (256, 90, 440, 30), (90, 256, 30, 440)),
    ],
    ids=["empty", "nearly the whole picture", "too small", "one of many", "not compact"],
)
def test_none_where_no_disc_is(image: torch.Tensor) -> None:
    assert locate(image) is None


def test_none_below_the_confidence_that_is_asked_for() -> None:
    image = picture(300, 200, (150, 100, 80, 80))
    found = locate(image, certainty=0.6, min_confidence=0.5)
    assert found is not None
    assert found.confidence == pytest.approx(0.6, abs=0.03)
    assert locate(image, certainty=0.6, min_confidence=0.7) is None


def test_the_largest_component_is_the_disc() -> None:
    disc = locate(picture(600, 600, (150, 400, 160, 160), (450, 100, 40, 40)))
    assert disc is not None
    assert (disc.x, disc.y) == pytest.approx((150, 400), abs=1.5)
    assert disc.confidence < 0.97


def test_a_second_look_measures_a_small_disc_better() -> None:
    errors = []
    for look in (0.0, 0.2):
        locator = DiscLocator(BrightIsDisc(), second_look_below=look)
        found = [locator(picture(1600, 1200, (400 + 7.3 * i, 303 + 5.1 * i, 97, 97))) for i in range(6)]
        errors.append(
            [
                abs(disc.diameter - 97) + math.hypot(disc.x - 400 - 7.3 * i, disc.y - 303 - 5.1 * i)
                for i, disc in enumerate(found)
                if disc
            ]
        )
    assert len(errors[0]) == len(errors[1]) == 6
    assert max(errors[1]) < 0.8
    assert np.mean(errors[1]) < np.mean(errors[0])


@pytest.mark.parametrize(("diameter", "calls"), [(60.0, 2), (300.0, 1)])
def test_only_a_small_disc_is_looked_at_twice(diameter: float, calls: int) -> None:
    network = BrightIsDisc()
    assert DiscLocator(network)(picture(600, 500, (300, 200, diameter, diameter))) is not None
    assert network.calls == calls


class NothingFromCloseBy(BrightIsDisc):
    """Sees the disc at the first look, and at the second only a part of it, or nothing."""

    def __init__(self, certainty: float, part: bool) -> None:
        super().__init__(certainty)
        self.part = part

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        logits = super().forward(inputs)
        if self.calls == 2:
            logits[:, 1, :, 128 - 40 * self.part :] = -9.0
            logits[:, 1, : 256 * (not self.part)] = -9.0
        return logits


@pytest.mark.parametrize("place", [(80.0, 90.0), (1300.0, 650.0), (2500.0, 1200.0)], ids=["corner", "middle", "other"])
def test_a_disc_too_small_for_the_first_look_is_found_in_a_tile(place: tuple[float, float]) -> None:
    photograph = picture(2600, 1300, (*place, 30.0, 30.0))
    disc = locate(photograph, min_diameter=0.015)
    assert disc is not None
    assert (disc.x, disc.y) == pytest.approx(place, abs=1.5)
    assert disc.diameter == pytest.approx(30, rel=0.1)
    assert locate(photograph, min_diameter=0.015, tiles=0) is None
    assert locate(photograph, min_diameter=0.04) is None


def test_a_small_disc_counts_if_a_second_look_confirms_it() -> None:
    """A disc of 3 % of the picture's side, as in an ultra-wide field."""
    disc = locate(picture(2000, 2000, (600.0, 900.0, 60.0, 60.0)))
    assert disc is not None
    assert disc.diameter == pytest.approx(60, rel=0.05)
    assert locate(picture(2000, 2000, (600.0, 900.0, 60.0, 60.0)), second_look_below=0.0) is None


def test_tiles_find_nothing_that_a_closer_look_does_not_confirm() -> None:
    """A network that sees a small disc in the middle of whatever it is shown."""

    class Middle(torch.nn.Module):
        def forward(self, inputs: torch.Tensor) -> torch.Tensor:
            disc = torch.full_like(inputs[:, :1], -9.0)
            if calls:
                disc[..., 120:130, 120:130] = 9.0
            calls.append(1)
            return torch.cat((torch.zeros_like(disc), disc), dim=1)

    calls: list[int] = []
    assert DiscLocator(Middle())(torch.zeros(3, 2000, 2000)) is None
    assert len(calls) == 1 + 9 + 9


@pytest.mark.parametrize("part", [False, True])
def test_a_finding_that_the_second_look_does_not_confirm_is_less_sure(part: bool) -> None:
    image = picture(600, 500, (300, 200, 60, 60))
    once = locate(image, second_look_below=0)
    unconfirmed = DiscLocator(NothingFromCloseBy(0.99, part))(image)
    assert once is not None
    assert unconfirmed == replace(once, confidence=0.6 * once.confidence)
    assert locate(image, certainty=0.8) is not None
    assert DiscLocator(NothingFromCloseBy(0.8, part))(image) is None


def test_a_disc_at_the_edge_is_found_and_looked_at_beyond_the_picture() -> None:
    disc = locate(picture(800, 600, (10, 300, 80, 80)))
    assert disc is not None
    assert 0 <= disc.x < 40
    assert disc.y == pytest.approx(300, abs=1)


def test_weights_survive_saving(tmp_path: Path) -> None:
    network = locator_network().eval()
    torch.save(network.state_dict(), tmp_path / "locator.pt")
    assert (tmp_path / "locator.pt").stat().st_size <= 8_000_000
    loaded = load_locator(tmp_path / "locator.pt", min_confidence=0.7)
    assert loaded.min_confidence == 0.7
    inputs = torch.randn(1, 3, 64, 64)
    with torch.inference_mode():
        torch.testing.assert_close(loaded.network(inputs), network(inputs))


def test_foreign_weights_are_refused(tmp_path: Path) -> None:
    torch.save({"weight": torch.zeros(2)}, tmp_path / "other.pt")
    with pytest.raises(CallError, match="does not fit"):
        load_locator(tmp_path / "other.pt")


@pytest.fixture(scope="module")
def trained() -> DiscLocator:
    if not WEIGHTS.is_file():
        pytest.skip(f"{WEIGHTS} is absent: train it with configs/train_locator.json")
    return load_locator(WEIGHTS)


def as_tensor(image: np.ndarray) -> torch.Tensor:
    """3 x W x H of H x W x 3."""
    return torch.from_numpy(image.transpose(2, 1, 0).astype(np.float32))


def test_the_trained_locator_finds_the_disc_in_photographs(trained: DiscLocator) -> None:
    cameras = tuple(CAMERA_STYLES)
    near = 0
    for seed in range(10):
        phantom = make_photograph(40 + seed, camera=cameras[seed % len(cameras)], size=(480, 360))
        disc = trained(as_tensor(phantom.image))
        if disc is not None:
            distance = math.dist((disc.x, disc.y), phantom.disc_center_xy)
            near += distance < phantom.disc_height_px / 2
            assert disc.diameter < 0.3 * 480
    assert near >= 9


def test_the_trained_locator_takes_crops_for_crops(trained: DiscLocator) -> None:
    for seed in range(4):
        phantom = make_crop(60 + seed, size=256)
        disc = trained(as_tensor(phantom.image))
        assert disc is not None
        assert disc.diameter >= 0.3 * 256


def test_the_trained_locator_finds_nothing_where_no_eye_is(trained: DiscLocator) -> None:
    page = np.repeat(data.page()[..., None], 3, axis=2)
    for image in (np.zeros((200, 300, 3), np.uint8), np.full((300, 200, 3), 180, np.uint8), page, data.coffee()):
        assert trained(as_tensor(image)) is None
