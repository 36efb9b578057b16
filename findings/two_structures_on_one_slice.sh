#!/usr/bin/env bash
# A DICOM segmentation of two structures on one and the same slice, as highdicom writes it, is a valid object that
# dcmqi, pydicom and highdicom read. SimpleITK refuses it: its two frames lie at one place, so that it computes a
# spacing of 0 between them. A good guess is that a file of one slice with one structure and a file with two are read
# alike. Seen with highdicom 0.28.2, pydicom 3.0.2 and SimpleITK 2.5.7 (ITK 5.4, GDCM) on 2026-11-28:
#   one structure:  read, size (16, 12, 1), spacing (0.5, 0.5, 1.0)
#   two structures: RuntimeError, "Zero-valued spacing is not supported"
# Remedy: a place of its own for each frame (a micrometre is enough), or one file for each structure.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/python" -m pip install --quiet --disable-pip-version-check \
  highdicom==0.28.2 pydicom==3.0.2 SimpleITK==2.5.7 2> /dev/null
cat > "$folder/try.py" <<'PY'
import sys
from pathlib import Path

import highdicom
import numpy as np
import SimpleITK
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sr.codedict import codes
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid

folder = Path(sys.argv[1])


def slice_of_ct() -> Dataset:
    ct = Dataset()
    ct.file_meta = FileMetaDataset()
    ct.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    ct.SOPClassUID, ct.Modality = CTImageStorage, "CT"
    for name in ("SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID", "FrameOfReferenceUID"):
        setattr(ct, name, generate_uid())
    for name in ("PatientID", "PatientName", "PatientBirthDate", "PatientSex", "StudyID", "StudyDate", "StudyTime"):
        setattr(ct, name, "")
    ct.AccessionNumber = ct.ReferringPhysicianName = ""
    ct.SeriesNumber = ct.InstanceNumber = 1
    ct.Rows, ct.Columns, ct.PixelSpacing, ct.SliceThickness = 12, 16, [0.5, 0.5], 1.0
    ct.ImageOrientationPatient, ct.ImagePositionPatient = [1, 0, 0, 0, 1, 0], [0, 0, 0]
    return ct


def segment(number: int) -> highdicom.seg.SegmentDescription:
    return highdicom.seg.SegmentDescription(
        number,
        f"structure {number}",
        codes.SCT.AnatomicalStructure,
        codes.SCT.Tissue,
        highdicom.seg.SegmentAlgorithmTypeValues.MANUAL,
    )


def read(count: int) -> str:
    mask = np.zeros((1, 12, 16, count), np.uint8)
    mask[0, 2:10, 3:12] = 1
    made = highdicom.seg.Segmentation(
        [slice_of_ct()],
        mask,
        highdicom.seg.SegmentationTypeValues.BINARY,
        [segment(number) for number in range(1, count + 1)],
        generate_uid(),
        1,
        generate_uid(),
        1,
        "maker",
        "model",
        "1",
        "1",
    )
    path = folder / f"{count}.dcm"
    made.save_as(path)
    again = highdicom.seg.segread(path)
    assert again.number_of_segments == count and again.pixel_array.sum() == count * 72
    try:
        image = SimpleITK.ReadImage(str(path))
    except RuntimeError as error:
        return "refused: " + ("Zero-valued spacing" if "ero-valued spacing" in str(error) else str(error))
    return f"read: {image.GetSize()} {image.GetSpacing()}"


for count in (1, 2):
    print(count, read(count))
PY
seen=$("$folder/env/bin/python" "$folder/try.py" "$folder" 2> /dev/null)
echo "$seen"
expected='1 read: (16, 12, 1) (0.5, 0.5, 1.0)
2 refused: Zero-valued spacing'
[ "$seen" = "$expected" ] || { echo "this has changed; expected:"; echo "$expected"; exit 1; }
