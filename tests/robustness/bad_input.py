"""The catalogue of bad input: files made by code, each with what must become of it. Data for ``test_bad_input.py``."""

from __future__ import annotations

import gzip
import io
import struct
import zlib
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import nibabel
import numpy as np
from PIL import Image
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import UID, DeflatedExplicitVRLittleEndian, ExplicitVRLittleEndian, SecondaryCaptureImageStorage

WIDTH, HEIGHT = 64, 48


class Case(NamedTuple):
    """A file and its stated outcome.

    Attributes:
        name: file name, or path below the folder.
        content: of the file.
        reason: words that the reason for ``unreadable`` must hold; None if the file is to be read.
    """

    name: str
    content: bytes
    reason: str | None = None


def noise(seed: int = 0) -> np.ndarray:
    """``H x W x 3`` ``uint8`` that does not compress, so that every cut falls into pixels."""
    return np.random.default_rng(seed).integers(1, 256, (HEIGHT, WIDTH, 3), np.uint8)


def picture(picture: Image.Image | np.ndarray | None = None, kind: str = "PNG", **options: Any) -> bytes:
    """A picture's file, of noise unless another is given."""
    file = io.BytesIO()
    shown = noise() if picture is None else picture
    (Image.fromarray(shown) if isinstance(shown, np.ndarray) else shown).save(file, kind, **options)
    return file.getvalue()


def dicom(values: np.ndarray | None = None, syntax: str = ExplicitVRLittleEndian, **elements: Any) -> bytes:
    """A DICOM file of ``H x W x 3`` ``uint8``; an element that is None is left out."""
    shown = noise() if values is None else values
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = SecondaryCaptureImageStorage, UID("1.2.3.4")
    meta.TransferSyntaxUID = UID(syntax)
    dataset = FileDataset(io.BytesIO(), {}, file_meta=meta, preamble=b"\0" * 128, is_implicit_VR=False)
    dataset.SOPClassUID, dataset.SOPInstanceUID = SecondaryCaptureImageStorage, "1.2.3.4"
    dataset.Rows, dataset.Columns = shown.shape[:2]
    dataset.SamplesPerPixel, dataset.PlanarConfiguration, dataset.PhotometricInterpretation = 3, 0, "RGB"
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = 8, 8, 7, 0
    dataset.PixelData = shown.tobytes()
    for keyword, value in elements.items():
        if value is None:
            delattr(dataset, keyword)
        else:
            setattr(dataset, keyword, value)
    file = io.BytesIO()
    dataset.save_as(file, write_like_original=False)
    return file.getvalue()


def nifti(values: np.ndarray | None = None) -> bytes:
    """A NIfTI file, of noise unless other values are given."""
    shown = noise().swapaxes(0, 1) if values is None else values
    return nibabel.Nifti1Image(shown, np.eye(4), dtype=shown.dtype).to_bytes()


def png_chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def png(width: int, height: int, *chunks: bytes) -> bytes:
    """A PNG that claims a size and holds hardly a pixel."""
    header = png_chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    pixels = png_chunk(b"IDAT", zlib.compress(b"\0" * 100))
    return b"\x89PNG\r\n\x1a\n" + header + b"".join(chunks) + pixels + png_chunk(b"IEND", b"")


def tiff(width: int, height: int, tile: int = 0) -> bytes:
    """A deflated TIFF that claims a size, in tiles of another if that is given, and holds hardly a pixel."""
    packed = zlib.compress(b"\0" * 100)
    tags = {256: (4, width), 257: (4, height), 258: (3, 8), 259: (3, 8), 262: (3, 1), 277: (3, 1)}
    tags |= {322: (4, tile), 323: (4, tile)} if tile else {278: (4, height)}
    first, counts = (324, 325) if tile else (273, 279)
    start = 8 + 2 + 12 * (len(tags) + 2) + 4
    tags |= {first: (4, start), counts: (4, len(packed))}
    entries = b"".join(struct.pack("<HHII", tag, kind, 1, value) for tag, (kind, value) in sorted(tags.items()))
    return b"II*\0" + struct.pack("<IH", 8, len(tags)) + entries + struct.pack("<I", 0) + packed


SEEDS: dict[str, Callable[[], bytes]] = {
    "png": picture,
    "jpg": lambda: picture(kind="JPEG", quality=95),
    "tif": lambda: picture(kind="TIFF"),
    "bmp": lambda: picture(kind="BMP"),
    "dcm": dicom,
    "nii": nifti,
    "nii.gz": lambda: gzip.compress(nifti(), mtime=0),
}
"""A sound file of every format, by suffix."""


def truncated() -> Iterator[Case]:
    """Every format, cut at every tenth."""
    for suffix, make in SEEDS.items():
        whole = make()
        for tenth in range(1, 10):
            yield Case(f"cut_{tenth}.{suffix}", whole[: len(whole) * tenth // 10], "copy it again")


def formats() -> Iterator[Case]:
    """What a format may hold beyond a plain 8-bit picture, and what it may not."""
    shown, grey = Image.fromarray(noise()), noise()[..., 0]
    other = Image.new("RGB", (WIDTH, HEIGHT))
    several: dict[str, Any] = {"save_all": True, "append_images": [other]}
    palette = shown.quantize(16)
    yield Case("png_called.jpg", picture())
    yield Case("jpeg_called.png", picture(kind="JPEG"))
    yield Case("tiff_called.bmp", picture(kind="TIFF"))
    yield Case("png_called.dcm", picture(), "no DICOM preamble")
    yield Case("png_called.nii", picture(), "damaged")
    yield Case("plain_called.nii.gz", nifti(), "damaged")
    yield Case("dicom_called.png", dicom())
    yield Case("nifti_called.png", nifti(), "no format that is read")
    yield Case("gif_called.png", picture(shown.quantize(16), "GIF", **several), "2 pictures")
    yield Case("webp_called.png", picture(kind="WEBP", **several), "2 pictures")
    yield Case("pdf_called.png", b"%PDF-1.7\n" + bytes(500), "no format that is read")
    yield Case("text_called.png", b"patient,eye\n" * 100, "no format that is read")
    yield Case("page_called.png", b"<html><script>alert(1)</script></html>", "no format that is read")
    yield Case("pickle_called.nii", b"\x80\x04cos\nsystem\n(S'true'\ntR.", "copy it again")
    for suffix in (*SEEDS, "jpeg", "tiff", "dicom"):
        yield Case(f"empty.{suffix}", b"", "empty")
        yield Case(f"zeros.{suffix}", bytes(2000), "")
    yield Case("animated.png", picture(**several))
    yield Case("pages.tif", picture(kind="TIFF", **several), "2 pages")
    yield Case("cmyk.jpg", picture(shown.convert("CMYK"), "JPEG"))
    yield Case("cmyk.tif", picture(shown.convert("CMYK"), "TIFF"))
    yield Case("lab.tif", picture(Image.new("LAB", (WIDTH, HEIGHT)), "TIFF"), "CIE Lab")
    yield Case("grey16.png", picture(grey.astype(np.uint16) * 257))
    yield Case("grey16.tif", picture(grey.astype(np.uint16) * 257, "TIFF"))
    yield Case("rgba.png", picture(shown.convert("RGBA")))
    yield Case("palette.png", picture(palette))
    yield Case("palette_transparent.png", picture(palette, transparency=bytes(range(16))))
    yield Case("one_bit.png", picture(shown.convert("1")))
    yield Case("float.tif", picture(grey.astype(np.float32) / 255, "TIFF"))
    yield Case("float_nan.tif", picture(np.full((HEIGHT, WIDTH), np.nan, np.float32), "TIFF"), "not finite")
    yield Case("exif_damaged.jpg", picture(kind="JPEG", exif=b"Exif\0\0II*\0\xff\xff\xff\xff"))
    yield Case("exif_nonsense.png", picture(exif=b"Exif\0\0nonsense"))
    for orientation in (*range(1, 9), 0, 9, 65535):
        exif = Image.Exif()
        exif[0x0112] = orientation
        yield Case(f"orientation_{orientation}.jpg", picture(kind="JPEG", exif=exif))
    yield Case("one_pixel.png", picture(Image.new("RGB", (1, 1))), "1 x 1 pixels are too few")
    yield Case("strip.png", picture(Image.new("RGB", (20000, 20))), "20000 x 20 pixels exceed the limit")
    yield Case("zero_wide.png", png(0, 100), "copy it again")


def medical() -> Iterator[Case]:
    """DICOM and NIfTI whose header is odd."""
    yield Case("no_pixels.dcm", dicom(PixelData=None), "no image")
    yield Case("rows_too_many.dcm", dicom(Rows=HEIGHT + 40), "cannot be decoded")
    yield Case("no_rows.dcm", dicom(Rows=None), "lacks Rows")
    yield Case("zero_rows.dcm", dicom(Rows=0), "too few")
    yield Case("no_interpretation.dcm", dicom(PhotometricInterpretation=None), "lacks PhotometricInterpretation")
    yield Case("odd_interpretation.dcm", dicom(PhotometricInterpretation="HSV"), "not supported")
    yield Case("four_samples.dcm", dicom(SamplesPerPixel=4), "")
    yield Case("no_bits.dcm", dicom(BitsStored=0), "")
    yield Case("frames.dcm", dicom(NumberOfFrames=2, PixelData=noise().tobytes() * 2), "2 frames")
    yield Case("deflated.dcm", dicom(syntax=DeflatedExplicitVRLittleEndian))
    yield Case("name_goes_up.dcm", dicom(PatientName="../../../planted", SOPInstanceUID="../../planted"))
    values = noise().swapaxes(0, 1).astype(np.float32)
    for name, value in (("nan", np.nan), ("inf", np.inf), ("minus_inf", -np.inf)):
        yield Case(f"{name}.nii", nifti(np.where(values == values.max(), value, values)), "not finite")
    yield Case("negative.nii", nifti(values - 200), "below 0")
    yield Case("complex.nii", nifti(values.astype(np.complex64)), "complex64")
    yield Case("four_axes.nii", nifti(np.zeros((WIDTH, HEIGHT, 3, 5), np.uint8)), "no photograph")
    yield Case("volume.nii", nifti(np.zeros((WIDTH, HEIGHT, 30), np.uint8)), "no photograph")
    yield Case("huge_values.nii", nifti(values.astype(np.float64) * 1e300))
    extended = bytearray(nifti())
    extended[348:352] = b"\1\0\0\0"
    yield Case("extension.nii", bytes(extended))


def bombs(limit: int) -> Iterator[Case]:
    """Small files that unpack to far more than a photograph.

    Args:
        limit: bytes that a reader may unpack.
    """
    zeros = bytes(1 << 20)
    many = limit // len(zeros) + 2
    yield Case("bomb.png", png(30000, 30000), "30000 x 30000 pixels exceed")
    yield Case("bomb_text.png", png(100, 100, png_chunk(b"zTXt", b"a\0\0" + zlib.compress(zeros * 200))), "")
    yield Case("bomb.tif", tiff(60000, 60000), "60000 x 60000 pixels exceed")
    yield Case("bomb_tile.tif", tiff(100, 100, tile=60000), "")
    yield Case("bomb.dcm", dicom(Rows=60000, Columns=60000), "60000 x 60000 pixels exceed")
    packer = zlib.compressobj(1, zlib.DEFLATED, -zlib.MAX_WBITS)
    head = dicom(syntax=DeflatedExplicitVRLittleEndian)
    head = head[: 144 + struct.unpack("<I", head[140:144])[0]]
    comment = struct.pack("<HH2sHI", 0x0010, 0x4000, b"OB", 0, many * len(zeros))
    parts = [packer.compress(comment), *(packer.compress(zeros) for _ in range(many)), packer.flush()]
    yield Case("bomb_deflated.dcm", head + b"".join(parts), "megabytes")
    file = io.BytesIO()
    with gzip.GzipFile(fileobj=file, mode="wb", compresslevel=1) as packed:
        header = bytearray(nifti()[:348])
        header[108:112] = struct.pack("<f", many * len(zeros))
        packed.write(bytes(header) + b"\1\0\0\0" + struct.pack("<II", many * len(zeros) - 512, 4))
        for _ in range(many):
            packed.write(zeros)
    yield Case("bomb.nii.gz", file.getvalue(), "megabytes")


NAMES: tuple[bytes, ...] = (
    b"a b  c.png",
    b'it\'s "quoted".png',
    b"new\nline.png",
    b"return\rtab\t.png",
    "Müller-Ωμέγα-眼底-👁.png".encode(),
    "combining-e\u0301-and-\u202e-turned.png".encode(),
    b"not-\xff\xfe-utf8.png",
    b"x" * 251 + b".png",
    b"<script>alert(1).png",
    b"<img src=x onerror=alert(1)>.png",
    b"up..\\..\\windows.png",
    b"C:\\absolute.png",
    b"%2e%2e%2fencoded.png",
    b"--output_dir=elsewhere.png",
    b"-rf.png",
    b"=HYPERLINK(1).png",
    b"$(touch planted).png",
    b"~root.png",
    b" .png",
    b"CON.png",
    b"same.png",
    b"same.jpg",
    b"SAME.png",
    b"sub/same.png",
    b"sub__same.png",
    b"sub.png/inner.png",
)
"""Names, as bytes, under which sound photographs must be read."""


LABELS: dict[str, tuple[str, bytes, str]] = {
    "other size": ("index", picture(np.zeros((HEIGHT, WIDTH - 1), np.uint8)), "63 x 48"),
    "turned": ("index", picture(np.zeros((WIDTH, HEIGHT), np.uint8)), "orientation"),
    "0 to 255": ("index", picture(np.arange(HEIGHT * WIDTH).reshape(HEIGHT, WIDTH).astype(np.uint8)), "more"),
    "refuge as index": ("index", picture(np.pad(np.zeros((44, 60), np.uint8), 2, constant_values=255)), "refuge"),
    "disc mask as index": ("index", picture(np.pad(np.full((44, 60), 255, np.uint8), 2)), "--label_format pair"),
    "disc mask as refuge": ("refuge", picture(np.pad(np.full((44, 60), 255, np.uint8), 2)), "corner"),
    "index as refuge": ("refuge", picture(noise()[..., 0] % np.uint8(3)), "--label_format index"),
    "foreign as refuge": ("refuge", picture(noise()[..., 0]), "REFUGE labels hold"),
    "coloured": ("index", picture(), "colour"),
    "cut": ("index", picture()[:2000], "truncated"),
    "text": ("index", b"0 1 2" * 50, "no format that is read"),
    "empty": ("index", b"", "empty"),
    "pair of other size": ("pair", picture(np.zeros((HEIGHT - 1, WIDTH), np.uint8)), "64 x 47"),
    "pair cut": ("pair", picture()[:2000], "truncated"),
    "float": ("index", picture(np.full((HEIGHT, WIDTH), 0.5, np.float32), "TIFF"), "0.5"),
    "nan": ("index", picture(np.full((HEIGHT, WIDTH), np.nan, np.float32), "TIFF"), "nan"),
}
"""Labels by what is wrong: label format, content of the file, words of the reason."""
