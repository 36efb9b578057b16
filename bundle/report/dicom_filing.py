"""Where DICOM objects that are made of a photograph belong, and what of its header goes into them.

By default nothing of the patient: a mask names its photograph by SOP class and instance UID, and lies in a study of its
own. With ``keep_study`` it lies in the photograph's study, which takes the elements in ``KEPT``: archives file by them,
and an object of the same study with another patient's identifier is a fault that they report or mend.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pydicom
from pydicom import config
from pydicom.datadict import dictionary_VR, tag_for_keyword
from pydicom.dataelem import DataElement
from pydicom.uid import SecondaryCaptureImageStorage, generate_uid

from bundle.data.dicom_header import header_text, pixel_spacing
from bundle.data.formats import DICOM_SUFFIXES, has_dicom_preamble
from bundle.data.spacing import PixelSpacing
from bundle.report.dicom_codes import coding_scheme

__all__ = ["KEPT", "Filing", "series_of"]

KEPT = (
    *("PatientName", "PatientID", "IssuerOfPatientID", "PatientBirthDate", "PatientSex"),
    *("StudyDate", "StudyTime", "StudyID", "StudyDescription", "AccessionNumber", "ReferringPhysicianName"),
)
"""Elements of patient and study that ``keep_study`` carries over, with the UIDs of study, series and frame of
reference."""
_MAY_BE_MISSING = ("IssuerOfPatientID", "StudyDescription")
_UIDS = ("SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID", "FrameOfReferenceUID")
_READ = ("SpecificCharacterSet", "PixelSpacing", "SharedFunctionalGroupsSequence")


@dataclass(frozen=True)
class Filing:
    """Where the objects made of one photograph belong.

    UIDs that are made here depend on the photograph's own and on the model, so that the same work done twice, or by two
    processes, gives the same UIDs and an archive keeps one copy. If the photograph is not DICOM, they are new.

    Attributes:
        sop_class: of the photograph; empty if it is not DICOM.
        sop_instance: of the photograph; empty if it is not DICOM.
        study: of the objects.
        series: of the photograph, or one that is made up in its place.
        frame_of_reference: of photograph and objects.
        spacing: of the photograph's pixels.
        kept: value by keyword of ``KEPT``; empty by default.
        model: which model drew the contours, in words.
        seed: what the UIDs are made of.

    Example:
        >>> filing = Filing.of(Path("eye.png"))
        >>> filing.sop_instance, filing.kept, filing.uid("mask") == filing.uid("mask")
        ('', {}, True)
    """

    sop_class: str
    sop_instance: str
    study: str
    series: str
    frame_of_reference: str
    spacing: PixelSpacing = PixelSpacing()
    kept: Mapping[str, str] = field(default_factory=dict)
    model: str = ""
    seed: tuple[str, ...] = ()

    @classmethod
    def of(cls, source: Path, keep_study: bool = False, model: str = "") -> Filing:
        """What becomes of a photograph's file.

        Args:
            source: the photograph's file.
            keep_study: take the study's and the patient's elements from it; no effect if it is not DICOM.
            model: which model drew the contours, in words.
        """
        header = _header(source, keep_study)
        uids = {name: header_text(header, name) for name in _UIDS}
        if not (uids["SOPClassUID"] and uids["SOPInstanceUID"]):
            uids = dict.fromkeys(_UIDS, "")
        seed = (uids["SOPInstanceUID"] or generate_uid(), model, str(keep_study))
        new = {name: _made_uid(name, *seed) for name in _UIDS}
        kept = keep_study and bool(uids["SOPInstanceUID"])
        study, series, frame_of_reference = ((uids[name] if kept else "") or new[name] for name in _UIDS[2:])
        return cls(
            sop_class=uids["SOPClassUID"],
            sop_instance=uids["SOPInstanceUID"],
            study=study,
            series=series,
            frame_of_reference=frame_of_reference,
            spacing=pixel_spacing(header),
            kept={name: header_text(header, name) for name in KEPT if name in header} if kept else {},
            model=model,
            seed=seed,
        )

    def uid(self, *of: str | bytes) -> str:
        """A UID for what is made of the photograph; the same for the same.

        Args:
            of: what it is, and for an instance what is in it.
        """
        return _made_uid(*self.seed, *(part if isinstance(part, str) else part.hex() for part in of))

    def stand_in(self) -> pydicom.Dataset:
        """What highdicom takes for the photograph. It copies patient and study from it, so these are empty here, and
        it knows the standard's classes alone, so the true one comes later, with ``finish``."""
        image = pydicom.Dataset()
        image.SOPClassUID = SecondaryCaptureImageStorage
        image.SOPInstanceUID = self.sop_instance or generate_uid()
        image.StudyInstanceUID, image.SeriesInstanceUID = self.study, self.series
        image.FrameOfReferenceUID, image.PositionReferenceIndicator = self.frame_of_reference, ""
        image.Modality = "OP"
        for keyword in KEPT:
            if keyword not in _MAY_BE_MISSING:
                setattr(image, keyword, "")
        return image

    def finish(self, made: pydicom.Dataset) -> None:
        """Let a data set that was made with ``stand_in`` refer to the photograph by its class, and put in what is kept.

        References to a photograph that is not DICOM are to be taken out before.
        """
        texts = [*self.kept.values()]
        for element in made.iterall():
            if element.keyword == "ReferencedSOPClassUID" and element.value == SecondaryCaptureImageStorage:
                element.value = self.sop_class
            elif isinstance(element.value, str):
                texts.append(element.value)
        if not all(map(str.isascii, texts)):
            # Only then, because DCMTK warns of it.
            made.SpecificCharacterSet = "ISO_IR 192"
        made.CodingSchemeIdentificationSequence = [coding_scheme()]
        for keyword, value in self.kept.items():
            # As the photograph has it, odd or not: pydicom's warnings would quote it.
            made[keyword] = DataElement(
                tag_for_keyword(keyword) or 0, dictionary_VR(keyword), value, validation_mode=config.IGNORE
            )


def series_of(sop_instance: str, model: str, keep_study: bool, kind: str) -> str:
    """UID of the series in which a DICOM photograph's results lie.

    Args:
        sop_instance: UID of the photograph.
        model: as in ``Filing.of``.
        keep_study: likewise.
        kind: a mask format or ``dicom_sr``.

    Example:
        >>> series_of("1.2.3", "model.pt", True, "dicom_sr") == series_of("1.2.4", "model.pt", True, "dicom_sr")
        False
    """
    return _made_uid(sop_instance, model, str(keep_study), kind)


def _header(source: Path, keep_study: bool) -> pydicom.Dataset:
    """The elements of a DICOM file that are wanted, and nothing else; empty for any other file."""
    if not (source.name.lower().endswith(DICOM_SUFFIXES) or has_dicom_preamble(source)):
        return pydicom.Dataset()
    wanted = [*_READ, *(_UIDS if keep_study else _UIDS[:2]), *(KEPT if keep_study else ())]
    header = pydicom.dcmread(source, stop_before_pixels=True, specific_tags=wanted)
    for name in _UIDS[:2]:
        # Both stand in the file's head too, where they must be; in the data set some exports leave them out.
        if not header_text(header, name):
            setattr(header, name, str(header.file_meta.get(f"MediaStorage{name}") or ""))
    return header


def _made_uid(*of: str) -> str:
    return str(generate_uid(entropy_srcs=["fundus-bundle", *of]))
