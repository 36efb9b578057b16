"""Variants of TIFF; the second decoder is libtiff, or tifffile where libtiff passes."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import tifffile

from tests.robustness.formats.variant import HEIGHT, WIDTH, Variant, colour_levels, known, shown_levels, turned

__all__ = ["tiff_variants"]

SAMPLES = {
    "8 bits": ("u1", 255.0),
    "16 bits": ("u2", 65535.0),
    "16 bits, values of 12": ("u2", 4095.0),
    "16 bits, values of 8": ("u2", 255.0),
    "32 bits": ("u4", 65535.0),
    "signed 16 bits": ("i2", 16383.0),
    "float of 32 bits": ("f4", 1.0),
    "float of 64 bits": ("f8", 255.0),
}
PACKINGS: dict[str, dict[str, Any]] = {
    "plain": {},
    "LZW": {"compression": "lzw"},
    "LZW, predictor": {"compression": "lzw", "predictor": True},
    "deflate": {"compression": "zlib"},
    "deflate, predictor": {"compression": "zlib", "predictor": True},
    "PackBits": {"compression": "packbits"},
}
LAYOUTS: dict[str, dict[str, Any]] = {"strips": {"rowsperstrip": 8}, "tiles": {"tile": (16, 32)}}


def tiff_variants() -> Iterator[Variant]:
    """All of them."""
    yield from _samples()
    yield from _odd_kinds()
    yield from _extras()
    yield from _pages()


def stored(dtype: str, white: float, channels: int = 3) -> np.ndarray:
    levels = colour_levels()[..., : channels if channels > 1 else 1] * white
    values = levels.astype(dtype) if dtype[0] == "f" else np.rint(levels).astype(dtype)
    return values[..., 0] if channels == 1 else values


def _write(path: Path, values: np.ndarray, options: dict[str, Any]) -> None:
    tifffile.imwrite(path, values, metadata=None, **options)


def decoded(path: Path) -> np.ndarray:
    """The samples, by libtiff if it can, channels last."""
    with tifffile.TiffFile(path) as file:
        page = file.pages[0].aspage()
        planes = page.samplesperpixel > 1 and page.planarconfig == 2
        if page.photometric == tifffile.PHOTOMETRIC.SEPARATED:
            # Which libtiff's interface here turns to RGB by a formula of its own.
            return np.moveaxis(page.asarray(), 0, -1) if planes else page.asarray()
        try:
            values = imagecodecs.tiff_decode(path.read_bytes(), index=0, asrgb=False)
        except Exception:
            values = page.asarray()
    return np.moveaxis(values, 0, -1) if planes and values.shape[0] <= 4 else values


def _shown(path: Path, white_zero: bool = False, orientation: int = 1, channels: int = 0) -> np.ndarray:
    values = decoded(path)
    shown = shown_levels(values[..., :channels] if channels > 1 else values[..., 0] if channels == 1 else values)
    return turned(255 - shown if white_zero else shown, orientation)


def _variant(kind: str, name: str, values: np.ndarray, options: dict[str, Any], **reading: Any) -> Variant:
    return Variant(
        f"TIFF, {kind}", name, ".tif", partial(_write, values=values, options=options), partial(_shown, **reading)
    )


def _samples() -> Iterator[Variant]:
    """Depths by colours, planes, byte orders, strips or tiles, and compressions."""
    for (depth, (dtype, white)), (packing, packed), (layout, laid), order in product(
        SAMPLES.items(), PACKINGS.items(), LAYOUTS.items(), "<>"
    ):
        name, options = f"{packing}, {layout}, {order}", packed | laid | {"byteorder": order}
        grey = stored(dtype, white, channels=1)
        meant = shown_levels(grey)
        for photometric in ("minisblack", "miniswhite"):
            is_white = photometric == "miniswhite"
            yield Variant(
                f"TIFF, grey, {depth}",
                f"{photometric}, {name}",
                ".tif",
                partial(_write, values=grey, options=options | {"photometric": photometric}),
                partial(_shown, white_zero=is_white),
                255 - meant if is_white else meant,
            )
        for planes in ("contig", "separate"):
            colour = stored(dtype, white)
            values = np.ascontiguousarray(np.moveaxis(colour, -1, 0)) if planes == "separate" else colour
            yield Variant(
                f"TIFF, RGB, {depth}",
                f"{planes}, {name}",
                ".tif",
                partial(_write, values=values, options=options | {"photometric": "rgb", "planarconfig": planes}),
                _shown,
                shown_levels(colour),
            )


def _odd_kinds() -> Iterator[Variant]:
    """1 and 12 bits, palettes, JPEG, YCbCr, CMYK, Lab, signed bytes, half floats, BigTIFF and orientations."""
    bits, colour, grey = stored("f8", 1.0, 1) > 0.4, stored("u1", 255.0), stored("u1", 255.0, 1)
    for photometric, order in product(("minisblack", "miniswhite"), "<>"):
        options: dict[str, Any] = {"photometric": photometric, "byteorder": order}
        name, is_white = f"{photometric}, {order}", photometric == "miniswhite"
        yield Variant(
            "TIFF, 1 bit",
            name,
            ".tif",
            partial(_write, values=bits, options=options),
            partial(_shown_packed, white_zero=is_white),
        )
        deep = stored("u2", 4095.0, 1)
        yield Variant(
            "TIFF, 12 bits packed",
            name,
            ".tif",
            partial(_write, values=deep, options=options | {"bitspersample": 12}),
            partial(_shown_packed, white_zero=is_white),
        )
    for order, (packing, packed), dtype in product("<>", PACKINGS.items(), ("u1", "u2")):
        if dtype == "u2" and packing != "plain":
            continue
        table = np.random.default_rng(1).integers(0, 256, (3, 256 if dtype == "u1" else 65536)).astype(np.uint16)
        options = packed | {"photometric": "palette", "colormap": table * np.uint16(257), "byteorder": order}
        yield Variant(
            "TIFF, palette",
            f"{dtype}, {packing}, {order}",
            ".tif",
            partial(_write, values=grey.astype(dtype), options=options),
            partial(_shown_indexed, table=table),
        )
    layouts: tuple[dict[str, Any], ...] = ({"rowsperstrip": 16}, {"tile": (16, 16)})
    for order, sampling, layout in product("<>", ((1, 1), (2, 1), (2, 2)), layouts):
        options = {"photometric": "ycbcr", "compression": "jpeg", "subsampling": sampling, "byteorder": order} | layout
        yield Variant(
            "TIFF, JPEG",
            f"{sampling}, {order}, {layout}",
            ".tif",
            partial(_write, values=colour, options=options),
            lambda path: tifffile.imread(path).astype(float),
            tolerance=3,
        )
    jpeg_grey = {"compression": "jpeg", "photometric": "minisblack"}
    yield _variant("JPEG", "grey", grey, jpeg_grey)
    for dtype, white, planes in (("u1", 255.0, 1), ("u1", 255.0, 2), ("u2", 65535.0, 1), ("u2", 65535.0, 2)):
        inks = np.dstack([stored(dtype, white), stored(dtype, white / 3, 1)]).astype(dtype)
        inks[0, 0, 3] = white
        values = np.ascontiguousarray(np.moveaxis(inks, -1, 0)) if planes == 2 else inks
        for packing in ("plain", "LZW", "deflate"):
            options = PACKINGS[packing] | {"photometric": "separated", "planarconfig": planes}
            yield Variant(
                "TIFF, CMYK",
                f"{dtype}, planes {planes}, {packing}",
                ".tif",
                partial(_write, values=values, options=options),
                _inks_shown,
                tolerance=1,
            )
    for packing, packed in PACKINGS.items():
        yield Variant(
            "TIFF, YCbCr without JPEG",
            packing,
            ".tif",
            partial(_write, values=colour, options=packed | {"photometric": "ycbcr"}),
            lambda path: imagecodecs.tiff_decode(path.read_bytes(), asrgb=True)[..., :3].astype(float),
            tolerance=2,
        )
    yield _variant("CIE Lab", "8 bits", colour, {"photometric": "cielab"})
    yield _variant("signed 8 bits", "half of them negative", (grey - 128).view("i1"), {})
    yield _variant("signed 8 bits", "none of them negative", (grey // 2).view("i1"), {})
    yield _variant("signed 16 bits, negative values", "", stored("i2", 8000.0, 1) - np.int16(4000), {})
    for order, values in product("<>", (stored("f2", 1.0, 1), stored("f2", 1.0))):
        yield _variant("float of 16 bits", f"{order}, {values.shape}", values, {"byteorder": order})
    for (name, (dtype, white)), order in product(SAMPLES.items(), "<>"):
        yield _variant("BigTIFF", f"{name}, {order}", stored(dtype, white), {"bigtiff": True, "byteorder": order})
    for (name, (dtype, white)), orientation, packing in product(SAMPLES.items(), range(1, 9), ("plain", "LZW")):
        options = PACKINGS[packing] | {"extratags": [(274, "H", 1, orientation, True)], "photometric": "rgb"}
        if packing == "plain" or dtype[0] == "u":
            yield _variant(
                "orientations",
                f"{name}, {packing}, {orientation}",
                stored(dtype, white),
                options,
                orientation=orientation,
            )


def _shown_packed(path: Path, white_zero: bool) -> np.ndarray:
    """Samples of 1 or 12 bits, which libtiff's interface here does not give."""
    values = tifffile.imread(path)
    shown = values * 255.0 if values.dtype == bool else shown_levels(values)
    return 255 - shown if white_zero else shown


def _shown_indexed(path: Path, table: np.ndarray) -> np.ndarray:
    return np.moveaxis(table[:, decoded(path)], 0, -1).astype(float)


def _inks_shown(path: Path) -> np.ndarray:
    light = 255 - shown_levels(decoded(path))
    return light[..., :3] * light[..., 3:] / 255


def _extras() -> Iterator[Variant]:
    """Transparency and channels of no stated meaning."""
    for (depth, (dtype, white)), extra, planes, packing in product(
        list(SAMPLES.items())[:4], ("unspecified", "assocalpha", "unassalpha"), (1, 2), ("plain", "LZW")
    ):
        for channels in (1, 3):
            parts = stored(dtype, white) if channels == 3 else stored(dtype, white, 1)[..., None]
            alpha = np.linspace(0.2, 1, WIDTH)[None, :, None] * np.ones((HEIGHT, 1, 1))
            multiplied = np.rint(parts * alpha).astype(dtype) if extra == "assocalpha" else parts
            values = np.concatenate([multiplied, np.rint(alpha * white).astype(dtype)], axis=-1)
            values = np.ascontiguousarray(np.moveaxis(values, -1, 0)) if planes == 2 else values
            options = PACKINGS[packing] | {"extrasamples": [extra], "planarconfig": planes}
            options["photometric"] = "rgb" if channels == 3 else "minisblack"
            name = f"{depth}, {extra}, {channels}, {planes}, {packing}"
            if extra == "assocalpha":
                yield Variant(
                    "TIFF, premultiplied transparency",
                    name,
                    ".tif",
                    partial(_write, values=values, options=options),
                    _divided,
                    tolerance=5,
                )
            else:
                yield _variant("transparency or further channels", name, values, options, channels=channels)


def _divided(path: Path) -> np.ndarray:
    """Colours that transparency has no part in any more."""
    values = decoded(path).astype(np.float64)
    shown: np.ndarray = np.clip(values[..., :-1] / values[..., -1:], 0, 1) * 255
    return shown if shown.shape[-1] == 3 else shown[..., 0]


def _pages() -> Iterator[Variant]:
    """A thumbnail before or after, and several pages of full size."""
    for (depth, (dtype, white)), flagged, first in product(list(SAMPLES.items())[:4], (False, True), (False, True)):
        full = stored(dtype, white)
        small = full[::2, ::2].copy() if not flagged else full[:-1].copy()
        pages = [(small, 1 if flagged else 0), (full, 0)]
        yield Variant(
            "TIFF, thumbnail and photograph",
            f"{depth}, marked {flagged}, first {first}",
            ".tif",
            partial(_write_pages, pages=pages if first else pages[::-1]),
            partial(known, values=shown_levels(full)),
        )
    for count, channels in ((2, 3), (3, 3), (2, 1), (3, 1)):
        pages = [(stored("u1", 255.0, channels), 0)] * count
        yield Variant(
            "TIFF, several pages of full size",
            f"{count} of {channels} channels",
            ".tif",
            partial(_write_pages, pages=pages),
            partial(known, values=np.zeros(0)),
        )


def _write_pages(path: Path, pages: list[tuple[np.ndarray, int]]) -> None:
    with tifffile.TiffWriter(path) as file:
        for values, kind in pages:
            photometric = "rgb" if values.ndim == 3 else "minisblack"
            file.write(values, metadata=None, subfiletype=kind, photometric=photometric)
