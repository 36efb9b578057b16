"""The readers of photographs and labels, on files made here."""

from __future__ import annotations

import io
import os
import struct
import zlib
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pydicom
import pytest
from monai.transforms import Compose, EnsureChannelFirstd, LoadImaged
from PIL import Image, ImageFile
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.uid import (
    JPEG2000,
    ExplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGLSLossless,
    SecondaryCaptureImageStorage,
    generate_uid,
)

from bundle.data.label_reader import LabelReader, SameSized
from bundle.data.photograph_reader import PhotographReader
from bundle.errors import CallError, UnreadablePhotographError

WIDTH, HEIGHT = 40, 24
# An L off the centre, so that every turn and mirror image of it differs.
SPOTS = {(5, 3): (250, 10, 20), (33, 3): (10, 240, 30), (5, 18): (20, 30, 230)}


def colour_pattern() -> np.ndarray:
    """(H, W, 3) uint8: three marks of 4 x 4 pixels at (x, y) on a dark ground."""
    pattern = np.full((HEIGHT, WIDTH, 3), (60, 50, 40), np.uint8)
    for (x, y), colour in SPOTS.items():
        pattern[y : y + 4, x : x + 4] = colour
    return pattern


def grey_pattern() -> np.ndarray:
    """(H, W) uint8."""
    return colour_pattern()[..., 0]


def load(path: Path) -> Any:
    """(3, W, H), by the transforms that the configs use."""
    loading = Compose([LoadImaged(keys="image", reader=PhotographReader), EnsureChannelFirstd(keys="image")])
    return loading({"image": str(path)})["image"]


def refusal(path: Path) -> str:
    with pytest.raises(UnreadablePhotographError) as caught:
        LoadImaged(keys="image", reader=PhotographReader)({"image": str(path)})
    assert caught.value.path == str(path)
    return caught.value.reason


def expect(path: Path, pattern: np.ndarray, tolerance: float = 0.0) -> Any:
    """``pattern``: (H, W, 3) or (H, W), what a viewer shows."""
    image = load(path)
    shown = pattern if pattern.ndim == 3 else np.repeat(pattern[..., None], 3, axis=-1)
    assert tuple(image.shape) == (3, shown.shape[1], shown.shape[0])
    assert image.dtype.is_floating_point
    assert 0 <= float(image.min()) <= float(image.max()) <= 255
    np.testing.assert_allclose(image.numpy(), shown.astype(np.float32).transpose(2, 1, 0), atol=tolerance)
    assert image.meta["filename_or_obj"] == str(path)
    assert tuple(image.meta["spatial_shape"]) == (shown.shape[1], shown.shape[0])
    return image


# Pictures


@pytest.mark.parametrize("name", ["a.png", "a.tif", "a.tiff", "a.bmp", "A.PNG"])
def test_lossless_pictures(tmp_path: Path, name: str) -> None:
    Image.fromarray(colour_pattern()).save(tmp_path / name)
    image = expect(tmp_path / name, colour_pattern())
    assert image[:, 5, 3].tolist() == [250, 10, 20]
    assert image[:, 33, 3].tolist() == [10, 240, 30]
    assert image[:, 5, 18].tolist() == [20, 30, 230]


@pytest.mark.parametrize("compression", ["tiff_lzw", "tiff_adobe_deflate", "packbits"])
def test_compressed_tiff(tmp_path: Path, compression: str) -> None:
    Image.fromarray(colour_pattern()).save(tmp_path / "a.tif", compression=compression)
    expect(tmp_path / "a.tif", colour_pattern())


def test_jpeg(tmp_path: Path) -> None:
    Image.fromarray(colour_pattern()).save(tmp_path / "a.jpg", quality=98, subsampling=0)
    expect(tmp_path / "a.jpg", colour_pattern(), tolerance=12)


def test_content_counts_and_not_the_suffix(tmp_path: Path) -> None:
    Image.fromarray(colour_pattern()).save(tmp_path / "a.jpg", format="PNG")
    assert expect(tmp_path / "a.jpg", colour_pattern()).meta["format"] == "PNG"


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", ["jpg", "png", "tif"])
def test_exif_orientation(tmp_path: Path, orientation: int, suffix: str) -> None:
    shown = colour_pattern()
    # How the sensor saw what is shown, by the orientation's definition in EXIF.
    sensor = {
        1: shown,
        2: shown[:, ::-1],
        3: shown[::-1, ::-1],
        4: shown[::-1],
        5: shown.transpose(1, 0, 2),
        6: np.rot90(shown, 1),
        7: np.rot90(shown, 2).transpose(1, 0, 2),
        8: np.rot90(shown, -1),
    }[orientation]
    exif = Image.Exif()
    exif[0x0112] = orientation
    options = {"quality": 98, "subsampling": 0} if suffix == "jpg" else {}
    Image.fromarray(np.ascontiguousarray(sensor)).save(tmp_path / f"a.{suffix}", exif=exif, **options)
    expect(tmp_path / f"a.{suffix}", shown, tolerance=12 if suffix == "jpg" else 0)


def test_damaged_exif_leaves_the_photograph_as_stored(tmp_path: Path) -> None:
    Image.fromarray(colour_pattern()).save(tmp_path / "a.png", exif=b"Exif\0\0nonsense")
    expect(tmp_path / "a.png", colour_pattern())


def test_alpha_is_dropped_and_not_composited(tmp_path: Path) -> None:
    alpha = np.zeros((HEIGHT, WIDTH, 1), np.uint8)
    Image.fromarray(np.concatenate([colour_pattern(), alpha], axis=-1)).save(tmp_path / "rgba.png")
    expect(tmp_path / "rgba.png", colour_pattern())
    Image.fromarray(np.concatenate([grey_pattern()[..., None], alpha], axis=-1)).save(tmp_path / "la.png")
    expect(tmp_path / "la.png", grey_pattern())


def test_palette_with_transparency(tmp_path: Path, recwarn: pytest.WarningsRecorder) -> None:
    picture = Image.fromarray(colour_pattern()).quantize(8)
    picture.save(tmp_path / "a.png", transparency=bytes(range(8)))
    with Image.open(tmp_path / "a.png") as stored:
        assert stored.mode == "P"
    expect(tmp_path / "a.png", colour_pattern())
    assert not [warning for warning in recwarn if "Palette images" in str(warning.message)]


def test_one_bit(tmp_path: Path) -> None:
    bits = grey_pattern() > 100
    Image.fromarray(bits).save(tmp_path / "a.png")
    expect(tmp_path / "a.png", bits * np.uint8(255))


@pytest.mark.parametrize("name", ["a.png", "a.tif"])
def test_grey_of_16_bits(tmp_path: Path, name: str) -> None:
    values = grey_pattern().astype(np.uint16) * 257
    values[0, 0] = 300
    Image.fromarray(values).save(tmp_path / name)
    expected = grey_pattern().astype(np.float32)
    expected[0, 0] = 300 / 257
    expect(tmp_path / name, expected, tolerance=1e-4)


def test_big_endian_tiff_of_16_bits(tmp_path: Path) -> None:
    values = (grey_pattern().astype(np.uint16) * 257).astype(">u2")
    Image.frombytes("I;16B", (WIDTH, HEIGHT), values.tobytes()).save(tmp_path / "a.tif")
    assert (tmp_path / "a.tif").read_bytes()[:2] == b"MM"
    expect(tmp_path / "a.tif", grey_pattern(), tolerance=1e-4)


def test_float_tiff(tmp_path: Path) -> None:
    Image.fromarray(grey_pattern().astype(np.float32) / 255).save(tmp_path / "a.tif")
    expect(tmp_path / "a.tif", grey_pattern(), tolerance=1e-3)


def test_cmyk_jpeg(tmp_path: Path) -> None:
    Image.fromarray(colour_pattern()).convert("CMYK").save(tmp_path / "a.jpg", quality=98, subsampling=0)
    expect(tmp_path / "a.jpg", colour_pattern(), tolerance=30)


def test_lab_is_refused(tmp_path: Path) -> None:
    Image.new("LAB", (WIDTH, HEIGHT)).save(tmp_path / "a.tif")
    assert "RGB PNG" in refusal(tmp_path / "a.tif")


def test_first_page_of_several(tmp_path: Path) -> None:
    other = Image.new("RGB", (WIDTH, HEIGHT))
    for name in ("a.tif", "a.png"):
        Image.fromarray(colour_pattern()).save(tmp_path / name, save_all=True, append_images=[other])
        expect(tmp_path / name, colour_pattern())


def test_reader_by_name_and_without_compose(tmp_path: Path) -> None:
    Image.fromarray(colour_pattern()).save(tmp_path / "a.png")
    data = LoadImaged(keys="image", reader="bundle.data.photograph_reader.PhotographReader")(
        {"image": tmp_path / "a.png"}
    )
    assert tuple(data["image"].shape) == (WIDTH, HEIGHT, 3)
    assert data["image"].meta["original_channel_dim"] == -1


def test_verify_suffix(tmp_path: Path) -> None:
    write_dicom(tmp_path / "scan")
    (tmp_path / "notes").write_text("x" * 200)
    reader = PhotographReader()
    assert reader.verify_suffix(["a.png", "b.NII.gz", "c.dcm", tmp_path / "scan"])
    assert not reader.verify_suffix(["a.png", "b.txt"])
    assert not reader.verify_suffix(tmp_path / "notes")


# Pictures that are refused


def noise() -> Image.Image:
    return Image.fromarray(np.random.default_rng(0).integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8))


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("a.png", {}),
        ("a.jpg", {}),
        ("a.jpg", {"progressive": True}),
        ("a.tif", {}),
        ("a.tif", {"compression": "tiff_lzw"}),
        ("a.tif", {"compression": "tiff_adobe_deflate"}),
        ("a.bmp", {}),
    ],
)
def test_truncated(tmp_path: Path, name: str, options: dict[str, Any]) -> None:
    noise().save(tmp_path / name, **options)
    whole = (tmp_path / name).read_bytes()
    expect_readable = load(tmp_path / name)
    assert tuple(expect_readable.shape) == (3, WIDTH, HEIGHT)
    for length in [1, 5, 9, 20, 40, *(round(len(whole) * part) for part in (0.2, 0.5, 0.8, 0.95)), len(whole) - 8]:
        (tmp_path / name).write_bytes(whole[:length])
        assert "copy it again" in refusal(tmp_path / name) or length < 8


def test_png_with_a_changed_byte(tmp_path: Path) -> None:
    noise().save(tmp_path / "a.png")
    content = bytearray((tmp_path / "a.png").read_bytes())
    content[len(content) // 2] ^= 0x10
    (tmp_path / "a.png").write_bytes(content)
    assert "copy it again" in refusal(tmp_path / "a.png")


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.tif", "a.bmp", "a.dcm", "a.nii", "a.nii.gz"])
def test_files_that_are_something_else(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    assert "does not exist" in refusal(path)
    path.write_bytes(b"")
    assert "empty" in refusal(path)
    path.write_text("patient,eye\n" * 100)
    assert refusal(path)
    path.unlink()
    path.mkdir()
    assert "not a file" in refusal(path)
    path.rmdir()
    path.symlink_to(path)
    assert "cannot be read" in refusal(path)
    path.unlink()
    os.mkfifo(path)
    assert "not a file" in refusal(path)


def png_claiming(width: int, height: int) -> bytes:
    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    pixels = chunk(b"IDAT", zlib.compress(b"\0" * 100))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + pixels + chunk(b"IEND", b"")


def test_header_claiming_too_much(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ImageFile.ImageFile, "load", lambda self: pytest.fail("decoded"))
    before = Image.MAX_IMAGE_PIXELS
    (tmp_path / "a.png").write_bytes(png_claiming(30000, 30000))
    reason = refusal(tmp_path / "a.png")
    assert "30000 x 30000" in reason
    assert "25 megapixels" in reason
    assert before == Image.MAX_IMAGE_PIXELS


def test_limit_is_ours_and_not_pillows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, recwarn: pytest.WarningsRecorder
) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    Image.fromarray(colour_pattern()).save(tmp_path / "a.png")
    expect(tmp_path / "a.png", colour_pattern())
    assert not [warning for warning in recwarn if warning.category is Image.DecompressionBombWarning]


@pytest.mark.parametrize("size", [(1, 1), (15, 100), (100, 15)])
def test_too_small(tmp_path: Path, size: tuple[int, int]) -> None:
    Image.new("RGB", size).save(tmp_path / "a.png")
    assert f"{size[0]} x {size[1]}" in refusal(tmp_path / "a.png")


def test_smallest(tmp_path: Path) -> None:
    Image.new("RGB", (16, 16)).save(tmp_path / "a.png")
    assert tuple(load(tmp_path / "a.png").shape) == (3, 16, 16)


def test_several_files_at_once_are_refused(tmp_path: Path) -> None:
    Image.fromarray(colour_pattern()).save(tmp_path / "a.png")
    with pytest.raises(UnreadablePhotographError):
        LoadImaged(keys="image", reader=PhotographReader)({"image": [tmp_path / "a.png"] * 2})


def test_lack_of_memory_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(self: Any) -> None:
        raise MemoryError

    Image.fromarray(colour_pattern()).save(tmp_path / "a.png")
    monkeypatch.setattr(ImageFile.ImageFile, "load", fail)
    assert "memory" in refusal(tmp_path / "a.png")


# DICOM


def write_dicom(
    path: Path, values: np.ndarray | None = None, interpretation: str = "RGB", stored: int = 8, **elements: Any
) -> Path:
    """``values``: (H, W) or (H, W, 3), uint8 or uint16."""
    values = colour_pattern() if values is None else values
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.77.1.5.1"  # Ophthalmic photography, 8 bit
    meta.MediaStorageSOPInstanceUID = generate_uid()
    meta.TransferSyntaxUID = elements.pop("syntax", ExplicitVRLittleEndian)
    dataset = FileDataset(str(path), {}, file_meta=meta, preamble=b"\0" * 128, is_implicit_VR=False)
    dataset.PatientName = "Doe^Jane"
    dataset.PatientID = "4711"
    dataset.PatientBirthDate = "19700101"
    dataset.Rows, dataset.Columns = values.shape[:2]
    dataset.SamplesPerPixel = 3 if values.ndim == 3 else 1
    if values.ndim == 3:
        dataset.PlanarConfiguration = 0
    dataset.PhotometricInterpretation = interpretation
    dataset.BitsAllocated = 8 * values.dtype.itemsize
    dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = stored, stored - 1, 0
    dataset.PixelData = values.tobytes()
    for keyword, value in elements.items():
        setattr(dataset, keyword, value)
    # A file of part 10 in the argument's old name, which pydicom 2 (MONAI Label's) and 3 both know.
    dataset.save_as(path, write_like_original=False)
    return path


@pytest.mark.parametrize("name", ["a.dcm", "a.dicom", "a", "1.2.840.113619.2.1"])
def test_dicom_rgb(tmp_path: Path, name: str) -> None:
    image = expect(write_dicom(tmp_path / name), colour_pattern())
    assert image.meta["format"] == "DICOM"


def test_dicom_leaves_no_patient_data(tmp_path: Path) -> None:
    meta = str(load(write_dicom(tmp_path / "a.dcm")).meta)
    assert not any(word in meta for word in ("Doe", "Jane", "4711", "1970"))


@pytest.mark.parametrize(
    ("elements", "eye"),
    [
        ({"ImageLaterality": "R"}, "right"),
        ({"Laterality": "L"}, "left"),
        ({"ImageLaterality": "L", "Laterality": "L"}, "left"),
        ({"ImageLaterality": "L", "Laterality": "R"}, ""),
        ({"ImageLaterality": "B"}, ""),
        ({"ImageLaterality": ""}, ""),
        ({}, ""),
    ],
)
def test_dicom_says_which_eye_it_is(tmp_path: Path, elements: dict[str, str], eye: str) -> None:
    assert load(write_dicom(tmp_path / "a.dcm", **elements)).meta["laterality"] == eye


def test_dicom_says_which_eye_a_frame_is(tmp_path: Path) -> None:
    anatomy, group = pydicom.Dataset(), pydicom.Dataset()
    anatomy.FrameLaterality = "R"
    group.FrameAnatomySequence = [anatomy]
    path = write_dicom(tmp_path / "a.dcm", SharedFunctionalGroupsSequence=[group])
    assert load(path).meta["laterality"] == "right"


def test_dicom_monochrome_of_12_bits(tmp_path: Path) -> None:
    values = np.rint(grey_pattern() * (4095 / 255)).astype(np.uint16)
    write_dicom(tmp_path / "a.dcm", values, "MONOCHROME2", stored=12)
    expect(tmp_path / "a.dcm", grey_pattern(), tolerance=0.05)
    write_dicom(tmp_path / "b.dcm", values, "MONOCHROME1", stored=12)
    expect(tmp_path / "b.dcm", 255 - grey_pattern(), tolerance=0.05)


def test_dicom_signed(tmp_path: Path) -> None:
    values = (grey_pattern().astype(np.int16) - 128).astype(np.int8).view(np.uint8)
    expect(write_dicom(tmp_path / "a.dcm", values, "MONOCHROME2", PixelRepresentation=1), grey_pattern())


def test_dicom_ybr_full(tmp_path: Path) -> None:
    values = np.asarray(Image.fromarray(colour_pattern()).convert("YCbCr"))
    expect(write_dicom(tmp_path / "a.dcm", values, "YBR_FULL"), colour_pattern(), tolerance=3)


def test_dicom_jpeg(tmp_path: Path) -> None:
    Image.fromarray(colour_pattern()).save(tmp_path / "a.jpg", quality=98, subsampling=0)
    frame = encapsulate([(tmp_path / "a.jpg").read_bytes()])
    write_dicom(tmp_path / "a.dcm", interpretation="YBR_FULL_422", syntax=JPEGBaseline8Bit, PixelData=frame)
    expect(tmp_path / "a.dcm", colour_pattern(), tolerance=12)


def jpeg_2000(values: np.ndarray, **options: Any) -> bytes:
    """One DICOM frame: the bare code stream, without the box around it."""
    file = io.BytesIO()
    Image.fromarray(values).save(file, "JPEG2000", no_jp2=True, **options)
    return encapsulate([file.getvalue()])


@pytest.mark.parametrize(
    ("interpretation", "syntax", "options", "tolerance"),
    [
        ("YBR_RCT", JPEG2000Lossless, {"mct": 1}, 0),
        ("RGB", JPEG2000Lossless, {"mct": 0}, 0),
        ("YBR_ICT", JPEG2000, {"irreversible": True, "quality_mode": "rates", "quality_layers": [3]}, 8),
    ],
)
def test_dicom_jpeg_2000(tmp_path: Path, interpretation, syntax, options, tolerance) -> None:
    data = jpeg_2000(colour_pattern(), **options)
    write_dicom(tmp_path / "a.dcm", interpretation=interpretation, syntax=syntax, PixelData=data)
    expect(tmp_path / "a.dcm", colour_pattern(), tolerance=tolerance)


@pytest.mark.parametrize(("factor", "dtype"), [(1, np.uint8), (257, np.uint16)])
def test_dicom_jpeg_2000_monochrome(tmp_path: Path, factor: int, dtype: type) -> None:
    values = grey_pattern().astype(dtype) * dtype(factor)
    data, bits = jpeg_2000(values), 8 * values.dtype.itemsize
    write_dicom(tmp_path / "a.dcm", values, "MONOCHROME2", bits, syntax=JPEG2000Lossless, PixelData=data)
    expect(tmp_path / "a.dcm", grey_pattern())


def test_dicom_rgb_of_16_bits_in_planes(tmp_path: Path) -> None:
    values = colour_pattern().astype(np.uint16) * np.uint16(257)
    planes = values.transpose(2, 0, 1).tobytes()
    write_dicom(tmp_path / "a.dcm", values, stored=16, PlanarConfiguration=1, PixelData=planes)
    expect(tmp_path / "a.dcm", colour_pattern())


def test_dicom_secondary_capture(tmp_path: Path) -> None:
    path = write_dicom(tmp_path / "a.dcm", SOPClassUID=SecondaryCaptureImageStorage, SOPInstanceUID=generate_uid())
    expect(path, colour_pattern())


@pytest.mark.parametrize(("bits", "dtype"), [(8, np.uint8), (16, np.uint16)])
def test_dicom_palette(tmp_path: Path, bits: int, dtype: type) -> None:
    indices = (grey_pattern() > 100).astype(np.uint8)
    tables: dict[str, Any] = {}
    factor = (2**bits - 1) // 255
    for colour, dark, bright in (("Red", 10, 200), ("Green", 20, 150), ("Blue", 30, 100)):
        table = np.full(256, bright * factor, dtype)
        table[0] = dark * factor
        tables[f"{colour}PaletteColorLookupTableDescriptor"] = [256, 0, bits]
        tables[f"{colour}PaletteColorLookupTableData"] = table.tobytes()
    write_dicom(tmp_path / "a.dcm", indices, "PALETTE COLOR", **tables)
    expect(tmp_path / "a.dcm", np.where(indices[..., None], [200, 150, 100], [10, 20, 30]), tolerance=1e-3)


def test_dicom_of_several_frames_is_refused(tmp_path: Path) -> None:
    path = write_dicom(tmp_path / "a.dcm", NumberOfFrames=2, PixelData=colour_pattern().tobytes() * 2)
    assert "2 frames" in refusal(path)


def test_dicom_without_a_decoder_is_refused(tmp_path: Path) -> None:
    path = write_dicom(tmp_path / "a.dcm", syntax=JPEGLSLossless, PixelData=encapsulate([b"\xff\xd8" * 50]))
    assert "uncompressed" in refusal(path)


def test_dicom_truncated(tmp_path: Path) -> None:
    path = write_dicom(tmp_path / "a.dcm")
    whole = path.read_bytes()
    for length in (100, 140, 200, 400, len(whole) // 2, len(whole) - 2):
        path.write_bytes(whole[:length])
        reason = refusal(path)
        assert "copy it again" in reason or length == 100
        assert "Doe" not in reason


def test_dicom_header_claiming_too_much(tmp_path: Path) -> None:
    assert "megapixels" in refusal(write_dicom(tmp_path / "a.dcm", Rows=60000, Columns=60000))


def test_dicom_without_an_image(tmp_path: Path) -> None:
    path = write_dicom(tmp_path / "a.dcm")
    dataset = pydicom.dcmread(path)
    del dataset.PixelData
    dataset.save_as(path)
    assert "no image" in refusal(path)


# NIfTI


def write_nifti(path: Path, values: np.ndarray) -> Path:
    nibabel.save(nibabel.Nifti1Image(values, np.eye(4)), path)
    return path


@pytest.mark.parametrize("suffix", ["nii", "nii.gz"])
def test_nifti_shapes(tmp_path: Path, suffix: str) -> None:
    colour, path = colour_pattern().swapaxes(0, 1), tmp_path / f"a.{suffix}"
    expect(write_nifti(path, colour), colour_pattern())
    expect(write_nifti(path, colour[:, :, None]), colour_pattern())
    expect(write_nifti(path, colour[..., 0]), grey_pattern())
    expect(write_nifti(path, colour[:, :, :1]), grey_pattern())
    fields = np.dtype([("R", "u1"), ("G", "u1"), ("B", "u1")])
    structured = np.ascontiguousarray(colour).view(fields).reshape(WIDTH, HEIGHT, 1)
    expect(write_nifti(path, structured), colour_pattern())


@pytest.mark.parametrize(
    ("scale", "dtype"), [(1 / 255, np.float32), (1, np.float64), (257, np.uint16), (1, np.uint16), (1, np.int16)]
)
def test_nifti_ranges(tmp_path: Path, scale: float, dtype: type) -> None:
    values = (grey_pattern().T * np.float64(scale)).astype(dtype)
    expect(write_nifti(tmp_path / "a.nii", values), grey_pattern(), tolerance=1e-3)


def test_nifti_beyond_255_is_scaled_by_its_maximum(tmp_path: Path) -> None:
    values = grey_pattern().T.astype(np.float32) * 10
    shown = grey_pattern() * (255 / grey_pattern().max())
    expect(write_nifti(tmp_path / "a.nii", values), shown, tolerance=1e-3)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_nifti_not_finite_is_refused(tmp_path: Path, value: float) -> None:
    values = grey_pattern().T.astype(np.float32)
    values[3, 3] = value
    assert "not finite" in refusal(write_nifti(tmp_path / "a.nii.gz", values))


def test_nifti_below_zero_is_refused(tmp_path: Path) -> None:
    assert "below 0" in refusal(write_nifti(tmp_path / "a.nii", grey_pattern().T.astype(np.float32) - 128))


@pytest.mark.parametrize("shape", [(40, 24, 5), (40, 24, 2), (40, 24, 3, 2), (40,)])
def test_nifti_volume_is_refused(tmp_path: Path, shape: tuple[int, ...]) -> None:
    assert " x ".join(map(str, shape)) in refusal(write_nifti(tmp_path / "a.nii", np.zeros(shape, np.uint8)))


@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz"])
def test_nifti_truncated(tmp_path: Path, name: str) -> None:
    values = np.asarray(noise()).swapaxes(0, 1)
    whole = write_nifti(tmp_path / name, values).read_bytes()
    for length in (1, 30, 100, len(whole) // 2, len(whole) - 9):
        (tmp_path / name).write_bytes(whole[:length])
        assert "copy it again" in refusal(tmp_path / name)


# Labels


def label_pattern() -> np.ndarray:
    """(H, W) uint8: a disc with a cup off its centre."""
    label = np.zeros((HEIGHT, WIDTH), np.uint8)
    label[4:16, 6:30] = 1
    label[6:10, 8:14] = 2
    return label


def load_label(paths: Any, label_format: str = "index") -> Any:
    loading = Compose(
        [LoadImaged(keys="label", reader=LabelReader(label_format=label_format)), EnsureChannelFirstd(keys="label")]
    )
    return loading({"label": paths})["label"]


def label_refusal(paths: Any, label_format: str = "index") -> str:
    with pytest.raises(UnreadablePhotographError) as caught:
        LoadImaged(keys="label", reader=LabelReader(label_format))({"label": paths})
    return caught.value.reason


def expect_label(paths: Any, label_format: str = "index") -> None:
    label = load_label(paths, label_format)
    assert tuple(label.shape) == (1, WIDTH, HEIGHT)
    np.testing.assert_array_equal(label.numpy()[0], label_pattern().T)
    assert tuple(label.meta["spatial_shape"]) == (WIDTH, HEIGHT)


def save(path: Path, values: np.ndarray) -> str:
    Image.fromarray(values).save(path)
    return str(path)


def test_index_label(tmp_path: Path) -> None:
    path = save(tmp_path / "a.png", label_pattern())
    expect_label(path)
    values, meta = LabelReader().get_data(LabelReader().read(path))
    assert values.dtype == np.uint8
    assert np.isnan(meta["original_channel_dim"])
    expect_label(save(tmp_path / "rgb.png", np.repeat(label_pattern()[..., None], 3, axis=-1)))
    expect_label(save(tmp_path / "wide.png", label_pattern().astype(np.uint16)))


def test_index_label_with_a_palette(tmp_path: Path) -> None:
    picture = Image.fromarray(label_pattern())
    picture.putpalette([0, 0, 0, 200, 0, 0, 0, 200, 0])
    picture.save(tmp_path / "a.png")
    with Image.open(tmp_path / "a.png") as stored:
        assert stored.mode == "P"
    expect_label(str(tmp_path / "a.png"))


@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz"])
@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.float32])
def test_index_label_in_nifti(tmp_path: Path, name: str, dtype: Any) -> None:
    # 3D Slicer writes one slice, its axes pointing to the left and to the back.
    values = label_pattern().T[..., None].astype(dtype)
    nibabel.save(nibabel.Nifti1Image(values, np.diag([-1.0, -1.0, 1.0, 1.0])), tmp_path / name)
    expect_label(str(tmp_path / name))


def test_a_nifti_label_with_other_values_is_refused(tmp_path: Path) -> None:
    values = label_pattern().T.astype(np.float32) / 2
    nibabel.save(nibabel.Nifti1Image(values, np.eye(4)), tmp_path / "a.nii.gz")
    assert "0.5" in label_refusal(str(tmp_path / "a.nii.gz"))


def test_refuge_label(tmp_path: Path) -> None:
    values = np.array([255, 128, 0], np.uint8)[label_pattern()]
    expect_label(save(tmp_path / "a.png", values), "refuge")
    expect_label(save(tmp_path / "a.bmp", values), "refuge")


@pytest.mark.parametrize("foreground", [1, 255])
def test_pair_of_labels(tmp_path: Path, foreground: int) -> None:
    disc = save(tmp_path / "disc.png", (label_pattern() > 0) * np.uint8(foreground))
    cup_values = (label_pattern() == 2) * np.uint8(foreground)
    cup_values[20, 35] = foreground  # Outside the disc.
    expect_label([disc, save(tmp_path / "cup.png", cup_values)], "pair")


def test_pair_of_soft_labels(tmp_path: Path) -> None:
    disc_values = (label_pattern() > 0) * np.uint8(255)
    disc_values[disc_values == 0] = 100
    disc = save(tmp_path / "disc.png", disc_values)
    expect_label([disc, save(tmp_path / "cup.png", (label_pattern() == 2) * np.uint8(255))], "pair")


def test_pair_of_other_sizes_or_number(tmp_path: Path) -> None:
    disc = save(tmp_path / "disc.png", label_pattern())
    cup = save(tmp_path / "cup.png", label_pattern()[:-1])
    assert "cup.png" in label_refusal([disc, cup], "pair")
    assert "takes 2" in label_refusal([disc], "pair")
    assert "takes 1" in label_refusal([disc, cup], "index")


def test_labels_of_another_format(tmp_path: Path) -> None:
    refuge = save(tmp_path / "a.png", np.array([255, 128, 0], np.uint8)[label_pattern()])
    reason = label_refusal(refuge)
    assert "0, 128, 255" in reason
    assert "--label_format refuge" in reason
    assert "--label_format index" in label_refusal(save(tmp_path / "b.png", label_pattern()), "refuge")
    reason = label_refusal(save(tmp_path / "c.png", label_pattern() * np.uint8(3)))
    assert "0, 3, 6" in reason
    assert "refuge" not in reason
    assert "more" in label_refusal(save(tmp_path / "d.png", np.arange(960, dtype=np.uint16).reshape(HEIGHT, WIDTH)))
    assert "colour" in label_refusal(save(tmp_path / "e.png", colour_pattern()))


def test_damaged_label(tmp_path: Path) -> None:
    noise().save(tmp_path / "a.png")
    content = (tmp_path / "a.png").read_bytes()
    (tmp_path / "a.png").write_bytes(content[: len(content) // 2])
    assert "truncated" in label_refusal(tmp_path / "a.png")
    assert "does not exist" in label_refusal(tmp_path / "b.png")


def test_unknown_label_format() -> None:
    with pytest.raises(CallError) as caught:
        LabelReader("colour")
    assert "index, refuge, pair" in str(caught.value)


def load_both(tmp_path: Path, label: np.ndarray) -> dict[str, Any]:
    save(tmp_path / "photo.png", colour_pattern())
    save(tmp_path / "label.png", label)
    loading = Compose([LoadImaged(keys="image", reader=PhotographReader), LoadImaged(keys="label", reader=LabelReader)])
    return loading({"image": tmp_path / "photo.png", "label": tmp_path / "label.png"})


def test_same_sized(tmp_path: Path) -> None:
    data = load_both(tmp_path, label_pattern())
    checked = SameSized()(data)
    assert checked.keys() == data.keys()
    assert checked["image"] is data["image"]
    first = EnsureChannelFirstd(keys=("image", "label"))(data)
    assert SameSized()(first)["label"] is first["label"]
    assert SameSized()({"image": data["image"]}).keys() == {"image"}
    with pytest.raises(KeyError):
        SameSized(allow_missing_keys=False)({"image": data["image"]})
    with pytest.raises(ValueError, match="two keys"):
        SameSized(keys=("image",))


@pytest.mark.parametrize(
    ("label", "size", "remedy"),
    [(label_pattern()[:, :-1], "39 x 24", "resize"), (label_pattern().T, "24 x 40", "orientation")],
)
def test_other_sized(tmp_path: Path, label: np.ndarray, size: str, remedy: str) -> None:
    with pytest.raises(UnreadablePhotographError) as caught:
        SameSized()(load_both(tmp_path, label))
    assert caught.value.path == str(tmp_path / "photo.png")
    for words in ("40 x 24", size, str(tmp_path / "label.png"), remedy):
        assert words in caught.value.reason


def test_same_sized_of_plain_arrays() -> None:
    SameSized()({"image": np.zeros((3, 5, 4)), "label": np.zeros((1, 5, 4))})
    with pytest.raises(UnreadablePhotographError):
        SameSized()({"image": np.zeros((3, 5, 4)), "label": np.zeros((1, 4, 5))})
