"""What other programs make of the bundle's outputs, and of the same files as inputs: each a row of a table.

``python -m tests.support.readers docs/reference/readers.md`` writes the table; tests/integration/test_readers.py holds
the page to what the programs that are here say now.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
from monai.utils import optional_import
from PIL import Image
from pydicom.uid import UID, SecondaryCaptureImageStorage

from bundle.morphometry.cup_disc import measure
from bundle.morphometry.laterality import Laterality
from bundle.morphometry.rims import measure_rims
from bundle.report.dicom_filing import Filing
from bundle.report.dicom_sr import structured_report
from bundle.report.mask_files import MASK_SUFFIXES, write_mask
from bundle.results import Segmentation
from bundle.uncertainty.interval import Interval
from tests.support.dicom_tools import TOOLS, errors_found, has_tool, run_tool
from tests.support.ophthalmic import write_photograph

START, END = "<!-- readers -->", "<!-- end of readers -->"
PYDICOM_SEG = Path(os.environ.get("FUNDUS_PYDICOM_SEG", "/nowhere"))
"""Python of an environment with pydicom-seg, which needs older packages than ours."""
LABEL = np.zeros((40, 70), np.uint8)
LABEL[5:25, 30:55] = 1
LABEL[8:14, 33:50] = 2
VL_PHOTOGRAPHIC = "1.2.840.10008.5.1.4.1.1.77.1.4"


@dataclass(frozen=True)
class Row:
    """One program and one file.

    Attributes:
        file: what is read, in words.
        program: its name.
        needs: package whose version is shown, or the name of a command.
        outcome: what it makes of the file, from a folder with all of them.
    """

    file: str
    program: str
    needs: str
    outcome: Callable[[Path], str]

    def version(self) -> str:
        """Empty if it is not here."""
        if self.needs == "pydicom-seg":
            ask = "from importlib.metadata import version; print(version('pydicom-seg'))"
            return python_of_pydicom_seg(ask).strip() if PYDICOM_SEG.is_file() else ""
        if self.needs.endswith(" command"):
            name = self.needs.removesuffix(" command")
            # Of those that make test-archive unpacks alone: on a developer's machine may be any version.
            return command_version(name) if TOOLS.is_dir() and has_tool(name) else ""
        try:
            return version(self.needs)
        except PackageNotFoundError:
            return ""


def command_version(name: str) -> str:
    if name == "dciodvfy":
        return "1.00~20220618"
    found = re.search(r"v(\d+\.\d+\.\d+)", run_tool(name, "--version").stdout)
    return found.group(1) if found else "?"


def python_of_pydicom_seg(program: str, *arguments: str) -> str:
    done = subprocess.run([PYDICOM_SEG, "-c", program, *arguments], capture_output=True, text=True, timeout=120)
    return done.stdout if done.returncode == 0 else done.stderr.strip().splitlines()[-1]


def write_files(folder: Path) -> None:
    """Every output of one made-up photograph with oblong pixels, and inputs that state a spacing."""
    write_photograph(folder / "eye.dcm", PixelSpacing=[0.01, 0.02])
    for name, sop_class in (("vl", UID(VL_PHOTOGRAPHIC)), ("sc", SecondaryCaptureImageStorage)):
        dataset = write_photograph(folder / f"{name}.dcm", SOPClassUID=sop_class, PixelSpacing=[0.01, 0.02])
        dataset.file_meta.MediaStorageSOPClassUID = sop_class
        dataset.save_as(folder / f"{name}.dcm", enforce_file_format=True)
    Image.new("RGB", (70, 40)).save(folder / "eye.jpg", dpi=(72, 72))
    filing = Filing.of(folder / "eye.dcm")
    for mask_format, suffix in MASK_SUFFIXES.items():
        mask = write_mask(LABEL, folder / f"{mask_format}{suffix}", mask_format, filing)
        if mask_format == "dicom_seg":
            eye = Laterality("right", "file")
            result = Segmentation(
                "eye.dcm",
                "ok",
                label=LABEL,
                measurements=measure(LABEL),
                rims=measure_rims(LABEL, eye),
                uncertainty=0.03,
                vcdr_interval=Interval(0.2, 0.4),
                spacing=filing.spacing,
                rims_mm=measure_rims(LABEL, eye, spacing=filing.spacing),
            )
            structured_report(result, filing, mask).save_as(folder / "report.dcm", enforce_file_format=True)


def is_label(values: Any) -> str:
    """What an array is, compared with the label."""
    array = np.squeeze(np.asarray(values))
    stacked = np.stack([LABEL >= 1, LABEL == 2])
    for scale in (1, 128, 255):
        if array.shape == stacked.shape and np.array_equal(array, stacked * scale):
            return f"disc and cup as 0/{scale}"
    for shown, name in ((array, "0/1/2"), (array.T, "0/1/2, x before y")):
        if shown.shape == LABEL.shape and np.array_equal(shown, LABEL):
            return name
    return f"other values: shape {array.shape}, {sorted(set(array.ravel().tolist()))[:5]}"


def mm(values: Any) -> str:
    return " x ".join(f"{value:.4g}" for value in values)


def itk(path: Path) -> Any:
    return optional_import("SimpleITK")[0].ReadImage(str(path))


def by_itk(name: str) -> Callable[[Path], str]:
    def outcome(folder: Path) -> str:
        try:
            image = itk(folder / name)
        except RuntimeError as error:
            return "refused: " + ("no reader for it" if "ImageIO" in str(error) else str(error).splitlines()[-1])
        values = optional_import("SimpleITK")[0].GetArrayFromImage(image)
        return f"{is_label(values)}; spacing {mm(image.GetSpacing())}"

    return outcome


def spacing_by_itk(name: str) -> Callable[[Path], str]:
    return lambda folder: f"spacing {mm(itk(folder / name).GetSpacing()[:2])}"


def which_of_two(folder: Path) -> str:
    """Which file is read of two of which one bears the other's name."""
    write_mask(LABEL, folder / "eye.png", "png", Filing.of(folder / "eye.png"))
    write_mask(np.zeros_like(LABEL), folder / "eye.png.nii.gz", "nifti", Filing.of(folder / "eye.png"))
    read = optional_import("SimpleITK")[0].GetArrayFromImage(itk(folder / "eye.png"))
    return "`eye.png`" if read.any() else "`eye.png.nii.gz`"


def by_monai(name: str) -> Callable[[Path], str]:
    return lambda folder: is_label(optional_import("monai.transforms")[0].LoadImage(image_only=True)(folder / name))


def by_nibabel(folder: Path) -> str:
    image = optional_import("nibabel")[0].load(folder / "nifti.nii.gz")
    return f"{is_label(image.dataobj)}; spacing {mm(image.header.get_zooms())}"


def by_highdicom(name: str) -> Callable[[Path], str]:
    def outcome(folder: Path) -> str:
        mask = optional_import("highdicom")[0].seg.segread(folder / name)
        (planes,) = mask.get_pixels_by_source_instance([pydicom.dcmread(folder / "eye.dcm").SOPInstanceUID])
        rim_or_disc = "disc" if np.array_equal(planes[..., 0], LABEL >= 1) else "rim"
        assert np.array_equal(planes[..., 1], LABEL == 2)
        return f"{rim_or_disc} and cup of the photograph that it refers to"

    return outcome


def by_dcmqi(name: str) -> Callable[[Path], str]:
    def outcome(folder: Path) -> str:
        with tempfile.TemporaryDirectory() as out:
            done = run_tool(
                Path(sys.executable).with_name("segimage2itkimage").as_posix(),
                *("--inputDICOM", folder / name, "--outputDirectory", out),
            )
            warned = [line for line in (done.stdout + done.stderr).splitlines() if line.startswith(("W:", "E:"))]
            files = sorted(Path(out).glob("*.nrrd"))
            if not files:
                return "refused"
            read = [itk(path) for path in files]
            arrays = [optional_import("SimpleITK")[0].GetArrayFromImage(image) for image in read]
            values = (
                np.squeeze(np.stack([np.asarray(array) > 0 for array in arrays])) if len(arrays) == 2 else arrays[0]
            )
            said = f", {len(warned)} warnings" if warned else ""
            return f"NRRD files: {len(files)}; {is_label(values)}; spacing {mm(read[0].GetSpacing())}{said}"

    return outcome


def by_pydicom_seg(name: str) -> Callable[[Path], str]:
    program = (
        "import pydicom, pydicom_seg, sys, json\n"
        "read = pydicom_seg.SegmentReader().read(pydicom.dcmread(sys.argv[1]))\n"
        "print(json.dumps([[read.segment_data(n)[0].tolist() for n in (1, 2)], read.segment_image(1).GetSpacing()]))"
    )

    def outcome(folder: Path) -> str:
        said = python_of_pydicom_seg(program, str(folder / name))
        if not said.startswith("["):
            return f"refused: {said.partition(': ')[2]}"
        planes, spacing = json.loads(said)
        return f"{is_label(planes)}; spacing {mm(spacing)}"

    return outcome


def by_dcm2pnm(name: str) -> Callable[[Path], str]:
    def outcome(folder: Path) -> str:
        frames = []
        for number in (1, 2):
            target = folder / f"{name}.{number}.pgm"
            run_tool("dcm2pnm", "--write-raw-pnm", "--frame", str(number), folder / name, target)
            if not target.is_file():
                break
            with Image.open(target) as picture:
                frames.append(np.asarray(picture))
        return is_label(np.stack(frames) if len(frames) == 2 else frames[0]) if frames else "refused"

    return outcome


def by_dciodvfy(name: str) -> Callable[[Path], str]:
    def outcome(folder: Path) -> str:
        errors = errors_found(folder / name)
        return f"errors: {'; '.join(error.removeprefix('Error - ') for error in errors)}" if errors else "no error"

    return outcome


def report_by_highdicom(folder: Path) -> str:
    content = optional_import("highdicom")[0].sr.srread(folder / "report.dcm").content
    regions = content.get_volumetric_roi_measurement_groups()
    groups = [*content.get_image_measurement_groups(), *regions]
    count = sum(len(group.get_measurements()) for group in groups)
    return f"{len(groups)} groups, {len(regions)} with a segment, {count} measurements"


def report_by_dsrdump(folder: Path) -> str:
    done = run_tool("dsrdump", folder / "report.dcm")
    return f"{done.stdout.count(' NUM:')} measurements, {len(done.stderr.splitlines())} warnings"


def report_by_dcmqi(folder: Path) -> str:
    target = folder / "report.json"
    reader = Path(sys.executable).with_name("tid1500reader").as_posix()
    run_tool(reader, "--inputDICOM", folder / "report.dcm", "--outputMetadata", target)
    groups = json.loads(target.read_text(encoding="utf-8"))["Measurements"]
    return f"{len(groups)} groups, {sum(len(group['measurementItems']) for group in groups)} measurements"


PNG, NIFTI = "`masks/*.png`", "`masks/*.nii.gz` (`nifti`)"
SEG, LABELMAP = "`masks/*.dcm` (`dicom_seg`)", "`masks/*.dcm` (`dicom_labelmap`)"
REPORT = "`structured_reports/*.dcm`"
ROWS = [
    Row(PNG, "Pillow", "pillow", lambda folder: is_label(Image.open(folder / "png.png"))),
    Row(
        PNG,
        "scikit-image",
        "scikit-image",
        lambda folder: is_label(optional_import("skimage.io")[0].imread(folder / "png.png")),
    ),
    Row(PNG, "SimpleITK", "simpleitk", by_itk("png.png")),
    Row(PNG, "MONAI `LoadImage`", "monai", by_monai("png.png")),
    Row(NIFTI, "nibabel", "nibabel", by_nibabel),
    Row(NIFTI, "SimpleITK", "simpleitk", by_itk("nifti.nii.gz")),
    Row(NIFTI, "MONAI `LoadImage`", "monai", by_monai("nifti.nii.gz")),
    Row(SEG, "pydicom", "pydicom", lambda folder: is_label(pydicom.dcmread(folder / "dicom_seg.dcm").pixel_array)),
    Row(SEG, "highdicom", "highdicom", by_highdicom("dicom_seg.dcm")),
    Row(SEG, "SimpleITK", "simpleitk", by_itk("dicom_seg.dcm")),
    Row(SEG, "dcmqi `segimage2itkimage`", "dcmqi", by_dcmqi("dicom_seg.dcm")),
    Row(SEG, "pydicom-seg", "pydicom-seg", by_pydicom_seg("dicom_seg.dcm")),
    Row(SEG, "DCMTK `dcm2pnm`", "dcm2pnm command", by_dcm2pnm("dicom_seg.dcm")),
    Row(SEG, "dicom3tools `dciodvfy`", "dciodvfy command", by_dciodvfy("dicom_seg.dcm")),
    Row(
        LABELMAP,
        "pydicom",
        "pydicom",
        lambda folder: is_label(pydicom.dcmread(folder / "dicom_labelmap.dcm").pixel_array),
    ),
    Row(LABELMAP, "highdicom", "highdicom", by_highdicom("dicom_labelmap.dcm")),
    Row(LABELMAP, "SimpleITK", "simpleitk", by_itk("dicom_labelmap.dcm")),
    Row(LABELMAP, "dcmqi `segimage2itkimage`", "dcmqi", by_dcmqi("dicom_labelmap.dcm")),
    Row(LABELMAP, "pydicom-seg", "pydicom-seg", by_pydicom_seg("dicom_labelmap.dcm")),
    Row(LABELMAP, "DCMTK `dcm2pnm`", "dcm2pnm command", by_dcm2pnm("dicom_labelmap.dcm")),
    Row(LABELMAP, "dicom3tools `dciodvfy`", "dciodvfy command", by_dciodvfy("dicom_labelmap.dcm")),
    Row(REPORT, "highdicom", "highdicom", report_by_highdicom),
    Row(REPORT, "DCMTK `dsrdump`", "dsrdump command", report_by_dsrdump),
    Row(REPORT, "dcmqi `tid1500reader`", "dcmqi", report_by_dcmqi),
    Row(REPORT, "dicom3tools `dciodvfy`", "dciodvfy command", by_dciodvfy("report.dcm")),
    Row("ophthalmic photograph, spacing 0.01\\0.02", "SimpleITK", "simpleitk", spacing_by_itk("eye.dcm")),
    Row("VL photograph, spacing 0.01\\0.02", "SimpleITK", "simpleitk", spacing_by_itk("vl.dcm")),
    Row("secondary capture, spacing 0.01\\0.02", "SimpleITK", "simpleitk", spacing_by_itk("sc.dcm")),
    Row("`eye.png` beside `eye.png.nii.gz`", "SimpleITK", "simpleitk", which_of_two),
    Row("JPEG of 72 dpi", "SimpleITK", "simpleitk", spacing_by_itk("eye.jpg")),
]


def shown(row: Row, outcome: str, of: str) -> str:
    return f"| {row.file} | {row.program} | {of} | {outcome} |"


def main(page: Path) -> None:
    """Write the table; every program must be here."""
    lines = ["| file | program | version | what it makes of it |", "| --- | --- | --- | --- |"]
    with tempfile.TemporaryDirectory() as name:
        write_files(Path(name))
        for row in ROWS:
            of = row.version()
            assert of, f"{row.program} is not here"
            lines.append(shown(row, row.outcome(Path(name)), of))
    text = page.read_text(encoding="utf-8")
    before, _, rest = text.partition(START)
    page.write_text(f"{before}{START}\n\n" + "\n".join(lines) + f"\n\n{END}{rest.partition(END)[2]}", encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
