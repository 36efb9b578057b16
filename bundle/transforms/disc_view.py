"""The view of the disc: the square of a photograph that the network sees, and its inverse."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from monai.config import KeysCollection
from monai.data import MetaTensor
from monai.transforms import Crop, InvertibleTransform, MapTransform, Pad, Resize
from monai.utils import TraceKeys, convert_to_dst_type, convert_to_tensor

from bundle.errors import CallError

__all__ = ["DiscLocation", "DiscViewd", "VIEWS"]

VIEWS = ("auto", "crop", "photograph")
_COARSE = 4
"""A square at least twice this many times as wide as the view is first averaged down to this many view widths."""


@dataclass(frozen=True)
class DiscLocation:
    """Where the disc lies in a photograph.

    Args:
        x: column of its centre, in pixels.
        y: row of its centre, in pixels.
        diameter: its mean diameter, in pixels.
        confidence: confidence of the search, in [0, 1].
        rival: whether the photograph shows another place that looks like a disc too.

    Example:
        >>> DiscLocation(x=820.0, y=610.5, diameter=240.0, confidence=0.97).rival
        False
    """

    x: float
    y: float
    diameter: float
    confidence: float
    rival: bool = False


class DiscViewd(MapTransform, InvertibleTransform):
    """Cut the square view of the disc out of a photograph and resize it for the network; ``inverse`` puts it back.

    The transform is a sequence of three traced MONAI transforms (``Pad``, ``Crop``, ``Resize``), so ``Invertd`` maps a
    prediction on the view back to the photograph's own grid. Parts of the view that lie outside the photograph are
    black. The disc is searched in the image of the first key; the other keys get the same view.

    The metadata of every key receive ``view`` (``crop`` or ``photograph``) and ``disc_confidence`` (in [0, 1]). If a
    search finds the disc, they also receive ``disc_diameter`` (in pixels of the photograph) and ``disc_rival`` (see
    ``DiscLocation``). If it finds none, the confidence is 0 and the view is the whole photograph.

    Args:
        keys: images and labels, C x W x H.
        size: side of the view in pixels.
        view: ``crop`` takes the whole picture; ``photograph`` searches for the disc; ``auto`` searches too, but takes
            the whole picture if the disc's diameter is at least ``crop_share`` times the picture's longer side.
        mode: interpolation of each key, ``bilinear`` or ``nearest``.
        locate: returns the disc in an image (3 x W x H in [0, 255]), or None; required unless ``view`` is ``crop``.
        disc_share: the disc's diameter according to ``locate``, as a share of the view's side. In the source's crops
            the share is 0.6. The default is larger because the shipped locator overestimates diameters by about a
            tenth.
        crop_share: see ``view``.
        on_return: function that ``inverse`` applies to a prediction once it has the photograph's resolution, before the
            area outside the view is added; for example, it turns probabilities into a label map. Applied there, it
            takes less time than on the whole photograph.
        allow_missing_keys: skip keys that are missing.

    Raises:
        CallError: ``view`` is none of the three.
        ValueError: the disc must be searched for, but ``locate`` is missing.

    Example:
        >>> photograph = MetaTensor(torch.zeros(3, 60, 40))
        >>> view = DiscViewd("image", 16, view="photograph", locate=lambda image: DiscLocation(30, 20, 13, 0.9))
        >>> data = view({"image": photograph})
        >>> tuple(data["image"].shape), data["image"].meta["view"]
        ((3, 16, 16), 'photograph')
        >>> tuple(view.inverse(data)["image"].shape)
        (3, 60, 40)
    """

    def __init__(
        self,
        keys: KeysCollection,
        size: int,
        view: str = "crop",
        mode: str | tuple[str, ...] = "bilinear",
        locate: Callable[[torch.Tensor], DiscLocation | None] | None = None,
        disc_share: float = 0.65,
        crop_share: float = 0.3,
        on_return: Callable[[torch.Tensor], torch.Tensor] | None = None,
        allow_missing_keys: bool = False,
    ) -> None:
        MapTransform.__init__(self, keys, allow_missing_keys)
        if view not in VIEWS:
            raise CallError(f"--view {view} is unknown.", f"Use one of {', '.join(VIEWS)}.")
        if view != "crop" and locate is None:
            raise ValueError(f"view {view!r} needs `locate` to find the disc.")
        self.size = size
        self.view = view
        self.locate = locate
        self.disc_share = disc_share
        self.crop_share = crop_share
        self.on_return = on_return
        modes = (mode,) * len(self.keys) if isinstance(mode, str) else tuple(mode)
        self.resizers = {
            key: Resize((size, size), mode=m, anti_aliasing=m != "nearest")
            for key, m in zip(self.keys, modes, strict=True)
        }
        self.pad = Pad(mode="constant", value=0)
        self.crop = Crop()

    def box(self, image: torch.Tensor) -> tuple[int, int, int, str, float]:
        """Find the view of an image.

        Args:
            image: C x W x H; 3 x W x H in [0, 255] if the disc is searched for.

        Returns:
            Left, top and side of the view in pixels (left and top may be negative), the kind of view (``crop`` or
            ``photograph``), and the confidence in [0, 1] that it shows a disc.
        """
        if self.view == "crop" or self.locate is None:
            return (*_whole(image), "crop", 1.0)
        return self._box(image, self.locate(image))

    def _box(self, image: torch.Tensor, disc: DiscLocation | None) -> tuple[int, int, int, str, float]:
        if disc is None:
            return (*_whole(image), "photograph", 0.0)
        if self.view == "auto" and disc.diameter >= self.crop_share * max(image.shape[1:]):
            return (*_whole(image), "crop", disc.confidence)
        side = max(16, round(disc.diameter / self.disc_share))
        return round(disc.x - side / 2), round(disc.y - side / 2), side, "photograph", disc.confidence

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        d = dict(data)
        image, disc = d[self.first_key(d)], None
        if self.view == "crop" or self.locate is None:
            left, top, side, view, confidence = self.box(image)
        else:
            disc = self._found(d)
            left, top, side, view, confidence = self._box(image, disc)
        known = {"view": view, "disc_confidence": confidence}
        if disc is not None:
            known |= {"disc_diameter": disc.diameter, "disc_rival": disc.rival}
        for key in self.key_iterator(d):
            width, height = d[key].shape[1:]
            before_x, before_y = max(0, -left), max(0, -top)
            after_x, after_y = max(0, left + side - width), max(0, top + side - height)
            to_pad: Any = ((0, 0), (before_x, after_x), (before_y, after_y))
            padded = self.pad(d[key], to_pad=to_pad)
            start_x, start_y = left + before_x, top + before_y
            slices = (slice(start_x, start_x + side), slice(start_y, start_y + side))
            d[key] = self._resized(key, self.crop(padded, slices))
            if isinstance(d[key], MetaTensor):
                d[key].meta.update(known)
        return d

    def _found(self, data: Mapping[Hashable, Any]) -> DiscLocation | None:
        """Where the disc lies in the image of the first key."""
        return self.locate(data[self.first_key(dict(data))]) if self.locate else None

    def _resized(self, key: Hashable, square: torch.Tensor) -> torch.Tensor:
        """The view, traced as one step from ``square`` (C x side x side)."""
        resize, coarse = self.resizers[key], _COARSE * self.size
        # The photograph may hold bytes, and resizing would round them.
        square = convert_to_tensor(square, dtype=torch.float32, track_meta=isinstance(square, MetaTensor))
        if not resize.anti_aliasing or square.shape[-1] < 2 * coarse:
            return resize(square)
        # The anti-aliasing filter grows with the reduction: at 25 megapixels it takes a minute and four gigabytes.
        # Averaging over areas first leaves it little to do.
        plain = convert_to_tensor(square, track_meta=False)
        averaged = torch.nn.functional.interpolate(plain[None], size=(coarse, coarse), mode="area")[0]
        view = resize(convert_to_dst_type(averaged, square)[0])
        if isinstance(view, MetaTensor):
            view.applied_operations[-1][TraceKeys.ORIG_SIZE] = tuple(square.shape[1:])
        return view

    def inverse(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        d = dict(data)
        for key in self.key_iterator(d):
            cropped: Any = self.resizers[key].inverse(d[key])
            if self.on_return is not None:
                cropped = self.on_return(cropped)
            d[key] = self.pad.inverse(self.crop.inverse(cropped))
        return d


def _whole(image: torch.Tensor) -> tuple[int, int, int]:
    """Left, top and side of the smallest square around the middle of an image that holds all of it."""
    width, height = image.shape[1:]
    side = max(width, height)
    return (width - side) // 2, (height - side) // 2, side
