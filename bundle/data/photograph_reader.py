"""Reads photographs for MONAI's ``LoadImaged``, and refuses what it cannot read in plain words.

``LoadImage`` swallows whatever a reader's ``read`` raises and then tries MONAI's own readers, which decode images that
are refused here. The reader therefore only passes the path through ``read`` and decodes in ``get_data``, from where an
:class:`~bundle.errors.UnreadablePhotographError` reaches the caller.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from monai.config import PathLike
from monai.data import ImageReader
from monai.data.utils import is_supported_format
from monai.utils import ensure_tuple

from bundle.data.colour import is_colourless
from bundle.data.dicom import read_dicom
from bundle.data.eye_names import eye_by_name
from bundle.data.formats import DICOM_SUFFIXES, NIFTI_SUFFIXES, PHOTOGRAPH_SUFFIXES, has_dicom_preamble
from bundle.data.items import image_metadata
from bundle.data.limits import SAVE_AS_PNG, check_file, refusal
from bundle.data.nifti import read_nifti
from bundle.data.pictures import read_picture
from bundle.data.spacing import PixelSpacing
from bundle.errors import UnreadablePhotographError

__all__ = ["PhotographReader"]


class PhotographReader(ImageReader):
    """Reads one photograph as three channels, whatever it was stored as.

    Pictures are told apart by their content, DICOM by its suffix or preamble, NIfTI by its suffix;
    docs/reference/formats.md lists what is read. Grey is repeated to three channels, palette and CMYK are converted to
    RGB, alpha is dropped (not composited) and the EXIF orientation is applied. Of an animated PNG the first picture is
    read, of a TIFF the only page of full size. NIfTI arrays are taken as stored, first axis from left to right and
    second axis downwards; their affine is ignored. The metadata hold nothing of a DICOM file but its format, which eye
    it shows, how far its pixels are apart and whether it has colour, so no patient data.
    """

    def verify_suffix(self, filename: Sequence[PathLike] | PathLike) -> bool:
        """Whether every file has a suffix that is read here, or a DICOM preamble instead of one."""
        return all(
            is_supported_format(name, [suffix.lstrip(".") for suffix in PHOTOGRAPH_SUFFIXES])
            or has_dicom_preamble(Path(name))
            for name in ensure_tuple(filename)
        )

    def read(self, data: Sequence[PathLike] | PathLike, **kwargs: Any) -> tuple[str, ...]:
        """The names in ``data``, still to be decoded (see the module's docstring for why)."""
        return tuple(str(name) for name in ensure_tuple(data))

    def get_data(self, img: Sequence[str] | str) -> tuple[torch.Tensor, dict[str, Any]]:  # type: ignore[override]
        """Decodes the photograph.

        Args:
            img: what ``read`` returned: one name.

        Returns:
            the photograph, uint8 if it is stored in 8 bits and float32 otherwise, indexed (x, y, channel) and of shape
            (W, H, 3), values 0 to 255 in the order red, green, blue, in any order in memory; and its metadata with
            ``spatial_shape`` (W, H), ``original_channel_dim`` -1, ``laterality`` (``right`` or ``left`` if the file or
            its name says so, otherwise empty), ``laterality_source`` (``file``, ``name`` or empty), ``colourless``
            (see ``is_colourless``), ``row_spacing_mm`` and ``column_spacing_mm`` (NaN if the file does not say).

        Raises:
            UnreadablePhotographError: whatever the matter is.
        """
        names = ensure_tuple(img)
        if len(names) != 1:
            raise UnreadablePhotographError(names[0] if names else "", "one photograph is read at a time")
        path = Path(names[0])
        with refusal(path):
            check_file(path)
            laterality, spacing = "", PixelSpacing()
            if path.name.lower().endswith(NIFTI_SUFFIXES):
                values, stored_as = read_nifti(path), "NIfTI"
            elif path.name.lower().endswith(DICOM_SUFFIXES) or has_dicom_preamble(path):
                (values, laterality, spacing), stored_as = read_dicom(path), "DICOM"
            else:
                values, stored_as = read_picture(path)
            if values.ndim == 2:
                values = np.repeat(values[..., None], 3, axis=-1)
            if values.shape[2:] != (3,):
                raise UnreadablePhotographError(path, f"it is stored in {values.shape[-1]} channels: {SAVE_AS_PNG}")
        # LoadImage copies an array into its own order in memory, a tensor it takes as it is.
        tensor = torch.from_numpy(np.require(values, requirements="W"))
        source = "file" if laterality else "name"
        laterality = laterality or eye_by_name(path)
        meta = image_metadata(path, values, stored_as, -1) | {
            "laterality": laterality,
            "laterality_source": source if laterality else "",
            "colourless": is_colourless(values),
            "row_spacing_mm": spacing.row,
            "column_spacing_mm": spacing.column,
        }
        return tensor, meta
