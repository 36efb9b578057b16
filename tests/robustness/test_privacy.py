"""What a file says of its patient stays in it: planted in the input, searched for in everything that comes out."""

from __future__ import annotations

import base64
import gzip
import io
import logging
import re
import warnings
from pathlib import Path

import pydicom
import pytest
from PIL import Image
from pydicom.uid import ExplicitVRLittleEndian, OphthalmicPhotography8BitImageStorage, generate_uid

from bundle.stages import run_stage
from bundle.synthetic.phantoms.photographs import make_crop

SECRETS = {
    "PatientName": "Quetzal^Zinnia",
    "PatientID": "PID8839071",
    "PatientBirthDate": "19310203",
    "OtherPatientNames": "Xylander",
    "StudyDate": "19980706",
    "AcquisitionDateTime": "19980706113355",
    "StudyTime": "113355",
    "AccessionNumber": "ACC5512907",
    "StudyID": "STU771204",
    "InstitutionName": "Nightingale Wharf",
    "ReferringPhysicianName": "Ottokar",
    "OperatorsName": "Philomena",
    "DeviceSerialNumber": "SER901177",
    "PatientComments": "Keeps bees since 1931",
    # Not a date: pydicom quotes what it finds when it warns of it.
    "SeriesDate": "Feb 3rd 1998",
}
WORDS = {word for value in SECRETS.values() for word in re.split(r"[\^ ]", value) if len(word) > 4} | {"1931", "1998"}


def write_dicom(path: Path, seed: int) -> Path:
    phantom = make_crop(seed, size=128)
    meta = pydicom.dataset.FileMetaDataset()
    meta.MediaStorageSOPClassUID = OphthalmicPhotography8BitImageStorage
    meta.MediaStorageSOPInstanceUID = generate_uid()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset = pydicom.dataset.FileDataset(path, {}, file_meta=meta, preamble=b"\0" * 128)
    dataset.SOPClassUID, dataset.SOPInstanceUID = meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for keyword, value in SECRETS.items():
            setattr(dataset, keyword, value)
    dataset.Rows, dataset.Columns = phantom.label.shape
    dataset.SamplesPerPixel, dataset.PlanarConfiguration, dataset.PhotometricInterpretation = 3, 0, "RGB"
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = 8, 8, 7, 0
    dataset.PixelData = phantom.image.tobytes()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        dataset.save_as(path, enforce_file_format=True)
    return path


def write_jpeg(path: Path) -> Path:
    exif = Image.Exif()
    exif[0x010E], exif[0x013B], exif[0x0132] = "Quetzal, Zinnia", "Philomena", "1998:07:06 11:33:55"
    Image.fromarray(make_crop(4, size=128).image).save(path, exif=exif, comment=b"PID8839071")
    return path


def contents(path: Path) -> bytes:
    """A file's bytes, and what is packed inside it."""
    content = path.read_bytes()
    if path.suffix == ".gz":
        return content + gzip.decompress(content)
    if path.suffix == ".png":
        with Image.open(path) as picture:
            picture.load()
            return content + repr(picture.info).encode() + repr(dict(picture.getexif())).encode()
    if path.suffix == ".html":
        pictures = [base64.b64decode(data) for data in re.findall(rb"base64,([A-Za-z0-9+/=]+)", content)]
        assert pictures
        for embedded in pictures:
            with Image.open(io.BytesIO(embedded)) as opened:
                assert not opened.getexif()
        return re.sub(rb"base64,[A-Za-z0-9+/=]+", b"", content) + b"".join(pictures)
    return content


def found_in(content: bytes) -> set[str]:
    digit = {"ascii": rb"[0-9]", "utf-16-le": rb"[0-9]\0"}
    found = {(word, coding) for word in WORDS for coding in digit if word.encode(coding) in content}
    # A year inside a longer number is no date: the random digits of a UID hold it now and then.
    return {
        word
        for word, coding in found
        if len(word) > 4 or re.search(b"(?<!%b)%b(?!%b)" % (digit[coding], word.encode(coding), digit[coding]), content)
    }


def test_the_search_finds_what_is_there(tmp_path: Path) -> None:
    assert found_in(contents(write_dicom(tmp_path / "a.dcm", 1))) == WORDS
    assert {"Quetzal", "Philomena", "1998", "PID8839071"} <= found_in(contents(write_jpeg(tmp_path / "a.jpg")))
    (tmp_path / "a.gz").write_bytes(gzip.compress(b"Xylander"))
    assert found_in(contents(tmp_path / "a.gz")) == {"Xylander"}
    assert found_in("in 1931.".encode("utf-16-le")) == found_in(b"19310203 1931-02") - {"19310203"} == {"1931"}
    assert found_in(b"1.2.826.0.1.51931774") == set()
    assert found_in(b"1.2.826.0.1.5193102039") == {"19310203"}


KEPT_WORDS = {"Quetzal", "Zinnia", "PID8839071", "19310203", "19980706", "113355"}
KEPT_WORDS |= {"ACC5512907", "STU771204", "Ottokar"}
"""What ``keep_study`` carries over, as docs/how-to/segment_photographs.md says."""


@pytest.mark.parametrize("mask_format", ["png", "nifti", "dicom_seg", "dicom_labelmap", "keep_study"])
def test_nothing_of_the_patient_comes_out(mask_format, tmp_path, capfd, caplog) -> None:
    options = {"mask_format": mask_format}
    if mask_format not in ("png", "nifti"):
        pytest.importorskip("highdicom")
        options["report_format"] = "dicom_sr"
    if mask_format == "keep_study":
        options |= {"mask_format": "dicom_seg", "keep_study": True}
    folder, out = tmp_path / "in", tmp_path / "out"
    folder.mkdir()
    write_dicom(folder / "a.dcm", 1)
    write_jpeg(folder / "b.jpg")
    content = write_dicom(folder / "cut.dcm", 2).read_bytes()
    (folder / "cut.dcm").write_bytes(content[: len(content) // 2])
    (folder / "head.dcm").write_bytes(content[:420])
    broken = pydicom.dcmread(folder / "a.dcm")
    broken.Rows = 127
    with warnings.catch_warnings(record=True) as caught, caplog.at_level(logging.DEBUG):
        warnings.simplefilter("always")
        broken.save_as(folder / "broken.dcm")
        caught.clear()
        caplog.clear()
        capfd.readouterr()
        status = run_stage("inference", dataset_dir=str(folder), output_dir=str(out), view="crop", **options)
    assert status == 1
    names = sorted(path.relative_to(out).as_posix() for path in out.rglob("*") if path.is_file())
    assert {"overlays/a.png", "report.csv", "report.html", "measurements.csv"} <= set(names)
    assert sum(name.startswith("masks/") for name in names) >= 2
    said = "".join([*capfd.readouterr(), caplog.text, *(str(warning.message) for warning in caught)])
    assert "unreadable" in said
    assert found_in(said.encode()) == set()
    for path in out.rglob("*"):
        assert found_in(path.name.encode()) == set()
        if path.is_file():
            filed = mask_format == "keep_study" and path.suffix == ".dcm" and path.stem != "b"
            assert found_in(contents(path)) == (KEPT_WORDS if filed else set()), path
