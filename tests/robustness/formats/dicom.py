"""Variants of DICOM, written by pydicom; the second decoder is GDCM, which SimpleITK holds."""

from __future__ import annotations

import io
from collections.abc import Iterator
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import pydicom
import SimpleITK
from PIL import Image
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.encaps import encapsulate, generate_frames
from pydicom.uid import (
    JPEG2000,
    UID,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    HTJ2KLossless,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGLosslessSV1,
    JPEGLSLossless,
    OphthalmicPhotography16BitImageStorage,
    RLELossless,
)

from tests.robustness.formats.variant import Variant, colour_levels, known, shown_levels

__all__ = ["dicom_variants"]

NATIVE = {
    "implicit": ImplicitVRLittleEndian,
    "explicit": ExplicitVRLittleEndian,
    "big endian": ExplicitVRBigEndian,
    "deflated": DeflatedExplicitVRLittleEndian,
    "RLE": RLELossless,
}
DEPTHS = {
    "8 bits": (8, 8, 255),
    "10 of 16 bits": (16, 10, 1023),
    "12 of 16 bits": (16, 12, 4095),
    "14 of 16 bits": (16, 14, 16383),
    "16 bits": (16, 16, 65535),
    "16 bits, values of 12": (16, 16, 4095),
    "16 bits, values of 8": (16, 16, 255),
}
GREYS: dict[str, dict[str, Any]] = {
    "no window": {},
    "rescale": {"RescaleSlope": 2, "RescaleIntercept": -100},
    "window": {"WindowCenter": 100, "WindowWidth": 120},
    "rescale and window": {"RescaleSlope": 2, "RescaleIntercept": -50, "WindowCenter": 150, "WindowWidth": 180},
    "window of all": {"WindowCenter": 32768, "WindowWidth": 65536},
}


def dicom_variants() -> Iterator[Variant]:
    """All of them."""
    yield from _greys()
    yield from _colours()
    yield from _streams()
    yield from _refused()


def _variant(kind: str, name: str, values: np.ndarray, shown: Any, tolerance: float = 0.01, **elements: Any) -> Variant:
    return Variant(
        f"DICOM, {kind}", name, ".dcm", partial(_write, values=values, elements=elements), shown, tolerance=tolerance
    )


def _write(path: Path, values: np.ndarray, elements: dict[str, Any]) -> None:
    elements = dict(elements)
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = OphthalmicPhotography16BitImageStorage
    meta.MediaStorageSOPInstanceUID = UID("1.2.3")
    syntax: Any = elements.pop("syntax", ExplicitVRLittleEndian)
    plain: Any = ExplicitVRLittleEndian
    meta.TransferSyntaxUID = plain if syntax == RLELossless else syntax
    big = syntax == ExplicitVRBigEndian
    dataset = FileDataset(
        str(path),
        {},
        file_meta=meta,
        preamble=b"\0" * 128,
        is_implicit_VR=syntax == ImplicitVRLittleEndian,
        is_little_endian=not big,
    )
    dataset.SOPClassUID, dataset.SOPInstanceUID = meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID
    dataset.Rows, dataset.Columns = values.shape[:2]
    dataset.SamplesPerPixel, dataset.BitsAllocated = (3 if values.ndim == 3 else 1), 8 * values.dtype.itemsize
    dataset.BitsStored, dataset.PixelRepresentation = elements.pop("stored", dataset.BitsAllocated), 0
    dataset.HighBit = dataset.BitsStored - 1
    if values.ndim == 3:
        dataset.PlanarConfiguration = elements.get("PlanarConfiguration", 0)
        values = np.moveaxis(values, -1, 0) if dataset.PlanarConfiguration and syntax != RLELossless else values
    dataset.PixelData = values.astype(values.dtype.newbyteorder(">" if big else "<")).tobytes()
    for keyword, value in elements.items():
        setattr(dataset, keyword, value)
    dataset["PixelData"].VR = "OW" if dataset.BitsAllocated > 8 else "OB"
    if len(dataset.PixelData) % 2:
        dataset.PixelData += b"\0"
    if syntax == RLELossless:
        dataset.PlanarConfiguration = 0
        if values.ndim == 2:
            del dataset.PlanarConfiguration
        dataset.compress(RLELossless, generate_instance_uid=False)
    dataset.save_as(path, enforce_file_format=True)


def decoded(path: Path) -> np.ndarray:
    """GDCM's values, rescaled as the file says."""
    return SimpleITK.GetArrayFromImage(SimpleITK.ReadImage(str(path), imageIO="GDCMImageIO"))[0]


def _greys() -> Iterator[Variant]:
    """Depths by syntaxes, photometric interpretations, and what the file states of windows; signed values."""
    for (depth, (allocated, stored, top)), (syntax, uid), black, (grey, elements) in product(
        DEPTHS.items(), NATIVE.items(), ("MONOCHROME2", "MONOCHROME1"), GREYS.items()
    ):
        values = np.rint(colour_levels()[..., 0] * top).astype(f"u{allocated // 8}")
        shown = partial(_shown_grey, elements=elements, stored=stored, inverted=black == "MONOCHROME1")
        more: dict[str, Any] = {"syntax": uid, "stored": stored, "PhotometricInterpretation": black} | elements
        yield _variant(f"grey, {depth}", f"{syntax}, {black}, {grey}", values, shown, **more)
    for (syntax, uid), stored in product(NATIVE.items(), (8, 12, 16)):
        signed = np.rint((colour_levels()[..., 0] - 0.5) * (2**stored - 2)).astype("i1" if stored == 8 else "i2")
        more = {"syntax": uid, "stored": stored, "PhotometricInterpretation": "MONOCHROME2", "PixelRepresentation": 1}
        shown = partial(_shown_signed, stored=stored)
        yield _variant("grey, signed", f"{syntax}, {stored}", signed, shown, **more)


def _shown_grey(path: Path, elements: dict[str, Any], stored: int, inverted: bool) -> np.ndarray:
    slope, intercept = elements.get("RescaleSlope", 1), elements.get("RescaleIntercept", 0)
    values = np.rint((decoded(path).astype(np.float64) - intercept) / slope)
    # GDCM has turned these round, in the range of the bits stored.
    values = 2**stored - 1 - values if inverted else values
    centre, width = elements.get("WindowCenter", 0), elements.get("WindowWidth", 65536)
    if width < 65536:
        shown = np.clip(((values * slope + intercept - (centre - 0.5)) / (width - 1) + 0.5) * 255, 0, 255)
    else:
        # Four bits or more that nothing uses: the values' own depth, otherwise the depth that the file states.
        own = shown_levels(values.astype(np.uint16))
        shown = own if stored == 16 and values.max() < 4096 else values * (255 / (2**stored - 1))
    return 255 - shown if inverted else shown


def _shown_signed(path: Path, stored: int) -> np.ndarray:
    return (decoded(path).astype(np.float64) + 2 ** (stored - 1)) * (255 / (2**stored - 1))


def _colours() -> Iterator[Variant]:
    """RGB and YBR by planes and depths, and palettes."""
    for (depth, (allocated, stored, top)), (syntax, uid), planes in product(DEPTHS.items(), NATIVE.items(), (0, 1)):
        values = np.rint(colour_levels() * top).astype(f"u{allocated // 8}")
        shown = partial(_shown_colour, stored=stored)
        more: dict[str, Any] = {
            "syntax": uid,
            "stored": stored,
            "PlanarConfiguration": planes,
            "PhotometricInterpretation": "RGB",
        }
        yield _variant(f"RGB, {depth}", f"{syntax}, planes {planes}", values, shown, **more)
    levels = np.rint(colour_levels() * 255).astype(np.uint8)
    luma = np.asarray(Image.fromarray(levels).convert("YCbCr"))
    for (syntax, uid), planes in product(NATIVE.items(), (0, 1)):
        more = {"syntax": uid, "PlanarConfiguration": planes, "PhotometricInterpretation": "YBR_FULL"}
        yield _variant(
            "YBR_FULL", f"{syntax}, planes {planes}", luma, partial(known, values=levels.astype(float)), 3, **more
        )
    for (syntax, uid), bits in product(NATIVE.items(), (8, 16)):
        table = np.random.default_rng(3).integers(0, 256, (3, 256))
        more = {"syntax": uid, "PhotometricInterpretation": "PALETTE COLOR"}
        for name, row in zip(("Red", "Green", "Blue"), table, strict=True):
            entries = row.astype("u1") if bits == 8 else (row * 257).astype(">u2" if "big" in syntax else "<u2")
            more[f"{name}PaletteColorLookupTableDescriptor"] = [256, 0, bits]
            more[f"{name}PaletteColorLookupTableData"] = entries.tobytes()
        colours = np.moveaxis(table[:, levels[..., 0]], 0, -1).astype(float)
        yield _variant("palette", f"{syntax}, {bits}", levels[..., 0], partial(known, values=colours), **more)


def _shown_colour(path: Path, stored: int) -> np.ndarray:
    dataset = pydicom.dcmread(path)
    if dataset.file_meta.TransferSyntaxUID == RLELossless and dataset.BitsAllocated == 16:
        # Which GDCM mistakes in colour; imagecodecs unpacks the bytes, plane by plane.
        (frame,) = generate_frames(dataset.PixelData, number_of_frames=1)
        planes = np.frombuffer(imagecodecs.dicomrle_decode(frame, np.dtype("<u2")), "<u2")
        values = np.moveaxis(planes.reshape(3, dataset.Rows, dataset.Columns), 0, -1)
    else:
        values = decoded(path)
    own = shown_levels(values)
    return own if stored == 16 and values.max() < 4096 else values * (255 / (2**stored - 1))


def _streams() -> Iterator[Variant]:
    """Code streams, also under a planar configuration that means nothing there."""
    levels = np.rint(colour_levels() * 255).astype(np.uint8)
    for quality, subsampling, planes in product((75, 100), (0, 1, 2), (0, 1)):
        file = io.BytesIO()
        Image.fromarray(levels).save(file, "JPEG", quality=quality, subsampling=subsampling)
        for interpretation in ("YBR_FULL_422", "YBR_FULL"):
            more = _stream(JPEGBaseline8Bit, file.getvalue(), interpretation) | {"PlanarConfiguration": planes}
            name = f"{quality}, {subsampling}, planes {planes}, {interpretation}"
            yield _variant("JPEG", name, levels, lambda path: decoded(path).astype(float), 3, **more)
    kept = imagecodecs.jpeg8_encode(levels, colorspace="RGB", outcolorspace="RGB", level=95)
    for planes in (0, 1):
        more = _stream(JPEGBaseline8Bit, kept, "RGB") | {"PlanarConfiguration": planes}
        yield _variant("JPEG", f"RGB, {planes}", levels, lambda path: decoded(path).astype(float), 3, **more)
    for values, mct, planes in product((levels, levels[..., 0]), (0, 1), (0, 1)):
        interpretation = "MONOCHROME2" if values.ndim == 2 else "YBR_RCT" if mct else "RGB"
        for uid, options in ((JPEG2000Lossless, {}), (JPEG2000, {"irreversible": True, "quality_layers": [4]})):
            stated = "YBR_ICT" if uid == JPEG2000 and interpretation == "YBR_RCT" else interpretation
            file = io.BytesIO()
            Image.fromarray(values).save(file, "JPEG2000", no_jp2=True, mct=mct if values.ndim == 3 else 0, **options)
            more = _stream(uid, file.getvalue(), stated) | ({"PlanarConfiguration": planes} if values.ndim == 3 else {})
            shown = lambda path: decoded(path).astype(float)  # noqa: E731
            yield _variant("JPEG 2000", f"{uid.name}, {stated}, {planes}", values, shown, 2, **more)
    for depth, (_, stored, top) in DEPTHS.items():
        grey = np.rint(colour_levels()[..., 0] * top).astype(np.uint16 if stored > 8 else np.uint8)
        more = _stream(JPEGLSLossless, imagecodecs.jpegls_encode(grey), "MONOCHROME2") | {"stored": stored}
        yield _variant("JPEG-LS", depth, grey, partial(_shown_grey, elements={}, stored=stored, inverted=False), **more)
        more = _stream(
            JPEG2000Lossless, imagecodecs.jpeg2k_encode(grey, codecformat="j2k", reversible=True), "MONOCHROME2"
        )
        shown = partial(_shown_grey, elements={}, stored=stored, inverted=False)
        yield _variant("JPEG 2000, grey", depth, grey, shown, **more | {"stored": stored})


def _stream(syntax: Any, content: Any, interpretation: str) -> dict[str, Any]:
    frame = encapsulate([bytes(content) + b"\0" * (len(content) % 2)])
    return {"syntax": syntax, "PixelData": frame, "PhotometricInterpretation": interpretation}


def _refused() -> Iterator[Variant]:
    """What is not read: other codecs, several frames, bits in odd places, elements that are lacking."""
    levels = np.rint(colour_levels() * 255).astype(np.uint8)
    grey, none = levels[..., 0], lambda path: np.zeros(0)  # noqa: E731
    lossless = _stream(JPEGLosslessSV1, imagecodecs.ljpeg_encode(grey), "MONOCHROME2")
    yield _variant("JPEG lossless without a decoder", "", grey, none, **lossless)
    throughput = _stream(HTJ2KLossless, imagecodecs.htj2k_encode(grey), "MONOCHROME2")
    yield _variant("high-throughput JPEG 2000 without a decoder", "", grey, none, **throughput)
    frames: dict[str, Any] = {
        "NumberOfFrames": 2,
        "PixelData": levels.tobytes() * 2,
        "PhotometricInterpretation": "RGB",
    }
    yield _variant("several frames", "", levels, none, **frames)
    wide = grey.astype(np.uint16)
    high: dict[str, Any] = {"stored": 12, "HighBit": 15, "PhotometricInterpretation": "MONOCHROME2"}
    yield _variant("bits in the upper part", "", wide, none, **high)
    yield _variant("no photometric interpretation", "", levels, none, PhotometricInterpretation="")
    yield _variant("YBR_PARTIAL_422", "", levels, none, PhotometricInterpretation="YBR_PARTIAL_422")
