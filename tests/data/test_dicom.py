"""DICOM files come out as a viewer shows them, without the patient's data, and say which eye they show."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from PIL import Image
from pydicom.encaps import encapsulate
from pydicom.uid import (
    JPEG2000,
    MPEG4HP41,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGLossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    RLELossless,
    SecondaryCaptureImageStorage,
    generate_uid,
)

from tests.support.dicom import write_dicom
from tests.support.patterns import colour_pattern, expect, grey_pattern, load, refusal

HIGH_THROUGHPUT = pydicom.uid.UID("1.2.840.10008.1.2.4.201")


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
        ({"ImageLaterality": "OD"}, "right"),
        ({"ImageLaterality": "os"}, "left"),
        ({"ImageLaterality": "OD", "Laterality": "R"}, "right"),
        ({"ImageLaterality": "OU"}, ""),
        ({"ImageLaterality": "L", "Laterality": "L"}, "left"),
        ({"ImageLaterality": "L", "Laterality": "R"}, ""),
        ({"ImageLaterality": "B"}, ""),
        ({"ImageLaterality": ""}, ""),
        ({}, ""),
    ],
)
def test_dicom_says_which_eye_it_is(tmp_path: Path, elements: dict[str, Any], eye: str) -> None:
    assert load(write_dicom(tmp_path / "a.dcm", **elements)).meta["laterality"] == eye


def test_dicom_says_which_eye_a_frame_is(tmp_path: Path) -> None:
    anatomy, group = pydicom.Dataset(), pydicom.Dataset()
    anatomy.FrameLaterality = "R"
    group.FrameAnatomySequence = [anatomy]
    path = write_dicom(tmp_path / "a.dcm", SharedFunctionalGroupsSequence=[group])
    assert load(path).meta["laterality"] == "right"


@pytest.mark.parametrize(
    ("stated", "spacing"),
    [
        (["0.0051", "0.0062"], (0.0051, 0.0062)),
        (["0.0051"], None),
        (["0", "0.01"], None),
        (["-1", "-1"], None),
        (None, None),
    ],
)
def test_dicom_says_how_far_pixels_are_apart(tmp_path: Path, stated: Any, spacing: Any) -> None:
    elements = {} if stated is None else {"PixelSpacing": stated}
    meta = load(write_dicom(tmp_path / "a.dcm", **elements)).meta
    read = meta["row_spacing_mm"], meta["column_spacing_mm"]
    assert read == spacing if spacing else np.isnan(read).all()


def test_dicom_may_say_it_as_enhanced_images_do(tmp_path: Path) -> None:
    measures, group = pydicom.Dataset(), pydicom.Dataset()
    measures.PixelSpacing = [0.005, 0.006]
    group.PixelMeasuresSequence = [measures]
    meta = load(write_dicom(tmp_path / "a.dcm", SharedFunctionalGroupsSequence=[group])).meta
    assert (meta["row_spacing_mm"], meta["column_spacing_mm"]) == (0.005, 0.006)


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
        table: np.ndarray = np.full(256, bright * factor, dtype)
        table[0] = dark * factor
        tables[f"{colour}PaletteColorLookupTableDescriptor"] = [256, 0, bits]
        tables[f"{colour}PaletteColorLookupTableData"] = table.tobytes()
    write_dicom(tmp_path / "a.dcm", indices, "PALETTE COLOR", **tables)
    expect(tmp_path / "a.dcm", np.where(indices[..., None], [200, 150, 100], [10, 20, 30]), tolerance=1e-3)


def test_dicom_of_several_frames_is_refused(tmp_path: Path) -> None:
    path = write_dicom(tmp_path / "a.dcm", NumberOfFrames=2, PixelData=colour_pattern().tobytes() * 2)
    assert "2 frames" in refusal(path)


@pytest.mark.parametrize(
    ("syntax", "packages"),
    [
        (JPEGLossless, "pip install pylibjpeg pylibjpeg-libjpeg,"),
        (JPEGLosslessSV1, "pip install pylibjpeg pylibjpeg-libjpeg,"),
        (JPEGLSLossless, "pip install pyjpegls,"),
        pytest.param(
            HIGH_THROUGHPUT,
            "pip install pylibjpeg pylibjpeg-openjpeg,",
            marks=pytest.mark.skipif(HIGH_THROUGHPUT.name[0] == "1", reason="this pydicom does not know the name"),
        ),
        (MPEG4HP41, "uncompressed"),
    ],
)
def test_dicom_without_a_decoder_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, syntax: Any, packages: str
) -> None:
    monkeypatch.setattr("bundle.data.dicom_pixels.decoders", lambda syntax: ())
    path = write_dicom(tmp_path / "a.dcm", syntax=syntax, PixelData=encapsulate([b"\xff\xd8" * 50]))
    reason = refusal(path)
    assert packages in reason
    assert "copy it again" not in reason


def test_dicom_that_a_decoder_does_not_take(tmp_path: Path) -> None:
    data = encapsulate([b"\xff\xd8" * 50])
    assert "copy it again" in refusal(write_dicom(tmp_path / "a.dcm", syntax=JPEG2000, PixelData=data))
    assert "copy it again" in refusal(write_dicom(tmp_path / "b.dcm", syntax=RLELossless, PixelData=data))


@pytest.mark.parametrize(
    "keyword", ["PhotometricInterpretation", "Rows", "SamplesPerPixel", "BitsStored", "PixelRepresentation"]
)
def test_dicom_that_lacks_an_element(tmp_path: Path, keyword: str) -> None:
    path = write_dicom(tmp_path / "a.dcm")
    dataset = pydicom.dcmread(path)
    delattr(dataset, keyword)
    dataset.save_as(path)
    reason = refusal(path)
    assert keyword in reason
    assert "copy it again" not in reason


def test_dicom_whose_bits_lie_elsewhere_is_refused(tmp_path: Path) -> None:
    values = grey_pattern().astype(np.uint16) * np.uint16(257)
    assert "HighBit" in refusal(write_dicom(tmp_path / "a.dcm", values, "MONOCHROME2", stored=12, HighBit=15))


def test_the_planar_configuration_of_a_code_stream_counts_for_nothing(tmp_path: Path) -> None:
    Image.fromarray(colour_pattern()).save(tmp_path / "a.jpg", quality=98, subsampling=0)
    frame = encapsulate([(tmp_path / "a.jpg").read_bytes()])
    elements: dict[str, Any] = {"PlanarConfiguration": 1, "syntax": JPEGBaseline8Bit, "PixelData": frame}
    expect(write_dicom(tmp_path / "a.dcm", interpretation="YBR_FULL_422", **elements), colour_pattern(), tolerance=12)
    elements = {"PlanarConfiguration": 1, "syntax": JPEG2000Lossless, "PixelData": jpeg_2000(colour_pattern(), mct=1)}
    expect(write_dicom(tmp_path / "b.dcm", interpretation="YBR_RCT", **elements), colour_pattern())


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
