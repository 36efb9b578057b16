"""The view is exactly the square it should be, on both axes, and what is predicted on it lands where it came from."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from monai.data import MetaTensor
from monai.transforms import Compose, EnsureChannelFirstd, Invertd, LoadImaged
from PIL import Image

from bundle.data.label_reader import LabelReader
from bundle.data.photograph_reader import PhotographReader
from bundle.errors import CallError
from bundle.transforms.disc_view import DiscLocation, DiscViewd

WIDTH, HEIGHT = 90, 60


def picture(width: int = WIDTH, height: int = HEIGHT) -> MetaTensor:
    """``3 x W x H``, all values different and above 0."""
    return MetaTensor(torch.arange(1, 3 * width * height + 1).float().view(3, width, height))


def at(x: float, y: float, diameter: float, confidence: float = 0.9):
    return lambda image: DiscLocation(x, y, diameter, confidence)


def slow_square(image: torch.Tensor, left: int, top: int, side: int) -> torch.Tensor:
    """The square with its first pixel at (left, top), black where there is no picture."""
    square = torch.zeros(image.shape[0], side, side)
    for x in range(side):
        for y in range(side):
            if 0 <= left + x < image.shape[1] and 0 <= top + y < image.shape[2]:
                square[:, x, y] = image[:, left + x, top + y]
    return square


@pytest.mark.parametrize(("width", "height", "left", "top"), [(40, 24, 0, -8), (24, 40, -8, 0), (30, 30, 0, 0)])
def test_crop_shows_the_whole_picture_in_the_middle_of_a_square(width, height, left, top):
    image = picture(width, height)
    side = max(width, height)
    view = DiscViewd("image", size=side)({"image": image})["image"]
    torch.testing.assert_close(view.as_tensor(), slow_square(image, left, top, side))
    assert view.meta["view"] == "crop"
    assert view.meta["disc_confidence"] == 1.0


@pytest.mark.parametrize(
    ("x", "y", "left", "top"), [(60, 25, 40, 5), (30, 35, 10, 15), (5, 8, -15, -12), (88, 30, 68, 10), (45, 57, 25, 37)]
)
def test_photograph_shows_the_disc_at_the_share_it_should_have(x, y, left, top):
    image = picture()
    viewer = DiscViewd("image", size=40, view="photograph", locate=at(x, y, 24), disc_share=0.6)
    view = viewer({"image": image})["image"]
    torch.testing.assert_close(view.as_tensor(), slow_square(image, left, top, 40))
    assert view.meta["view"] == "photograph"
    assert view.meta["disc_confidence"] == 0.9


@pytest.mark.parametrize(
    ("view", "diameter", "kind", "side"),
    [("auto", 26, "photograph", 43), ("auto", 27, "crop", 90), ("photograph", 60, "photograph", 100)],
)
def test_auto_takes_the_whole_picture_if_the_disc_is_large_in_it(view, diameter, kind, side):
    viewer = DiscViewd("image", size=32, view=view, locate=at(50, 30, diameter), disc_share=0.6, crop_share=0.3)
    left, top, found, found_kind, confidence = viewer.box(picture())
    assert (found, found_kind, confidence) == (side, kind, 0.9)
    expected = (0, -15) if kind == "crop" else (round(50 - side / 2), round(30 - side / 2))
    assert (left, top) == expected


@pytest.mark.parametrize("view", ["auto", "photograph"])
def test_without_a_disc_the_view_is_the_whole_picture_with_confidence_0(view):
    image = picture()
    found = DiscViewd("image", size=90, view=view, locate=lambda _: None)({"image": image})["image"]
    torch.testing.assert_close(found.as_tensor(), slow_square(image, 0, -15, 90))
    assert found.meta["disc_confidence"] == 0.0
    assert found.meta["view"] == "photograph"


def test_tiny_disc_does_not_make_an_empty_view():
    view = DiscViewd("image", size=32, view="photograph", locate=at(50, 30, 1))
    assert view.box(picture())[2] == 16
    assert view({"image": picture()})["image"].shape == (3, 32, 32)


def test_all_keys_get_the_view_of_the_first_and_labels_stay_labels():
    seen = []

    def locate(image):
        seen.append(image)
        return DiscLocation(60, 25, 30, 0.8)

    generator = torch.Generator().manual_seed(0)
    label = MetaTensor(torch.randint(0, 3, (1, WIDTH, HEIGHT), generator=generator).float())
    image = picture()
    modes = ("bilinear", "nearest", "nearest")
    viewer = DiscViewd(["image", "label", "more"], 33, "auto", modes, locate, 0.6, 0.5, allow_missing_keys=True)
    d = viewer({"image": image, "label": label, "name": "a"})
    assert len(seen) == 1
    assert torch.equal(torch.as_tensor(seen[0]), image.as_tensor())
    assert d["name"] == "a"
    assert d["image"].shape == (3, 33, 33)
    assert set(d["label"].unique().tolist()) == {0.0, 1.0, 2.0}
    assert d["label"].meta["disc_confidence"] == 0.8
    assert len(d["image"].unique()) > 33 * 33
    same = DiscViewd("image", 50, "photograph", "nearest", at(60, 25, 30), 0.6)({"image": label})["image"]
    torch.testing.assert_close(same.as_tensor(), slow_square(label, 35, 0, 50))


def centroid(weights: torch.Tensor) -> tuple[float, float]:
    x, y = torch.meshgrid(torch.arange(weights.shape[0]), torch.arange(weights.shape[1]), indexing="ij")
    total = weights.sum()
    return ((x * weights).sum() / total).item(), ((y * weights).sum() / total).item()


def blob(width: int, height: int, x: float, y: float, radius: float) -> torch.Tensor:
    i, j = torch.meshgrid(torch.arange(width), torch.arange(height), indexing="ij")
    return ((i - x) ** 2 + (j - y) ** 2 <= radius**2).float()


@pytest.mark.parametrize("size", [32, 96])
@pytest.mark.parametrize(
    ("view", "x", "y", "diameter"), [("crop", 0, 0, 0), ("photograph", 70, 40, 30), ("photograph", 20, 15, 33)]
)
def test_inverse_puts_a_blob_back_within_half_a_pixel(size, view, x, y, diameter):
    viewer = DiscViewd("image", size, view, locate=at(x, y, diameter))
    d = viewer({"image": picture()})
    left, top, side = viewer.box(picture())[:3]
    spot = torch.stack([blob(size, size, size * 0.6, size * 0.45, size / 8)] * 3)
    d["image"] = MetaTensor(spot, meta=d["image"].meta, applied_operations=d["image"].applied_operations)
    back = viewer.inverse(d)["image"]
    assert back.shape == (3, WIDTH, HEIGHT)
    u, v = centroid(spot[0])
    expected = (left + (u + 0.5) * side / size - 0.5, top + (v + 0.5) * side / size - 0.5)
    assert centroid(back[0].as_tensor()) == pytest.approx(expected, abs=0.5)
    assert back[0].sum().item() == pytest.approx(spot[0].sum().item() * (side / size) ** 2, rel=0.1)


@pytest.mark.parametrize("view", ["crop", "photograph"])
def test_from_a_file_to_the_view_and_back_on_the_photographs_own_grid(tmp_path, view):
    x, y, radius = 82.0, 33.0, 14.0
    disc = blob(120, 80, x, y, radius).numpy().T.astype(np.uint8)
    Image.fromarray(np.stack([disc * 200 + 20, disc * 90 + 30, disc * 10 + 5], axis=2)).save(tmp_path / "a.png")
    Image.fromarray(disc).save(tmp_path / "label.png")
    keys = ["image", "label"]
    preprocessing = Compose(
        [
            LoadImaged("image", reader=PhotographReader),
            LoadImaged("label", reader=LabelReader),
            EnsureChannelFirstd(keys),
            DiscViewd(keys, 64, view, ("bilinear", "nearest"), at(x, y, 2 * radius), 0.6),
        ]
    )
    d = preprocessing({"image": str(tmp_path / "a.png"), "label": str(tmp_path / "label.png")})
    bright = (d["image"][0] > 120).float()
    assert (bright.as_tensor() == d["label"][0].as_tensor()).float().mean() > 0.98
    if view == "photograph":
        assert centroid(bright.as_tensor()) == pytest.approx((31.5, 31.5), abs=1.5)
        width = (bright.sum() * 4 / torch.pi).sqrt().item()
        assert width == pytest.approx(0.6 * 64, rel=0.05)
    d["pred"] = MetaTensor((d["image"][:1] > 120).float(), meta=d["image"].meta)
    invert = Invertd("pred", transform=preprocessing, orig_keys="image", nearest_interp=False)
    back = (invert(d)["pred"][0] > 0.5).numpy().T
    assert back.shape == (80, 120)
    dice = 2 * (back & (disc > 0)).sum() / (back.sum() + disc.sum())
    assert dice > 0.93
    assert centroid(torch.from_numpy(back.T).float()) == pytest.approx((x, y), abs=0.5)


def test_unknown_view_is_a_wrong_call():
    with pytest.raises(CallError, match="--view whole is unknown. Use one of auto, crop, photograph"):
        DiscViewd("image", 32, view="whole")


@pytest.mark.parametrize("view", ["auto", "photograph"])
def test_disc_cannot_be_found_without_a_locator(view):
    with pytest.raises(ValueError, match="locate"):
        DiscViewd("image", 32, view=view)


def test_a_large_square_is_averaged_first_and_comes_back_to_its_own_grid(monkeypatch):
    """The view is close to that of the slow way, and so is the prediction that comes back."""
    image = torch.nn.functional.interpolate(torch.rand(1, 3, 30, 20) * 255, (300, 200), mode="bicubic")[0]
    views, inverted = [], []
    for coarse in (4, 1000):
        monkeypatch.setattr("bundle.transforms.disc_view._COARSE", coarse)
        viewer = DiscViewd("image", size=32)
        data = viewer({"image": MetaTensor(image)})
        views.append(data["image"].as_tensor())
        inverted.append(viewer.inverse(data)["image"])
    assert tuple(inverted[0].shape) == (3, 300, 200)
    assert not torch.equal(*views)
    assert (views[0] - views[1]).abs().mean() < 2
    assert (inverted[0] - inverted[1]).as_tensor().abs().mean() < 2


@pytest.mark.parametrize("side", [20, 50, 300])
def test_bytes_give_the_view_that_floats_give(side):
    """Enlarged, reduced with anti-aliasing, and averaged first."""
    image = torch.randint(0, 256, (3, side, side), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    views = [DiscViewd("image", size=32)({"image": MetaTensor(given)})["image"] for given in (image, image.float())]
    assert views[0].dtype == torch.float32
    assert torch.equal(*(view.as_tensor() for view in views))


def test_what_happens_on_return_happens_in_the_photographs_resolution_within_the_view_alone():
    seen = []

    def labelled(prediction):
        seen.append(tuple(prediction.shape))
        return prediction[:1] * 0 + 7

    locate = lambda _: DiscLocation(x=40.0, y=30.0, diameter=26.0, confidence=1.0)  # noqa: E731
    viewer = DiscViewd("image", size=32, view="photograph", locate=locate, on_return=labelled)
    back = viewer.inverse(viewer({"image": MetaTensor(torch.rand(3, 90, 60))}))["image"]
    assert seen == [(3, 40, 40)]
    assert tuple(back.shape) == (1, 90, 60)
    inside = back[0, 20:60, 10:50]
    assert (inside == 7).all()
    assert (back.sum() == inside.sum()).item()
