"""Reads photographs and their labels for MONAI's ``LoadImaged``, and refuses what it cannot read in plain words.

``LoadImage`` swallows whatever a reader's ``read`` raises and then tries MONAI's own readers, which decode images that
are refused here. Both readers therefore only pass the path through ``read`` and decode in ``get_data``, from where an
:class:`~bundle.errors.UnreadablePhotographError` reaches the caller.
"""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Hashable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import nibabel
import numpy as np
import pydicom
import torch
from monai.config import PathLike
from monai.data import ImageReader
from monai.data.utils import is_supported_format
from monai.transforms import MapTransform
from monai.utils import MetaKeys, ensure_tuple
from PIL import ImageOps
from PIL.BmpImagePlugin import BmpImageFile
from PIL.ImageFile import ImageFile
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile
from PIL.TiffImagePlugin import TiffImageFile
from pydicom.errors import InvalidDicomError
from pydicom.filereader import read_dataset, read_preamble
from pydicom.uid import DeflatedExplicitVRLittleEndian

from bundle.errors import UnreadablePhotographError
from bundle.folders import DICOM_SUFFIXES, NIFTI_SUFFIXES, PHOTOGRAPH_SUFFIXES, check_label_format, has_dicom_preamble

try:
    from pydicom.pixels import apply_color_lut, pixel_array
except ImportError:
    # MONAI Label's own requirements hold pydicom below 3, whose arrays are still in the stored colour space.
    from pydicom.pixel_data_handlers import apply_color_lut, convert_color_space  # type: ignore[no-redef]

    def pixel_array(dataset: pydicom.FileDataset) -> np.ndarray:  # type: ignore[misc]
        """As in pydicom 3: the stored values, YBR converted to RGB."""
        interpretation = str(dataset.PhotometricInterpretation)
        values: np.ndarray = dataset.pixel_array
        return convert_color_space(values, interpretation, "RGB") if interpretation.startswith("YBR_FULL") else values


__all__ = ["MAX_BYTES", "MAX_PIXELS", "MAX_SIDE", "MIN_SIDE", "LabelReader", "PhotographReader", "SameSized"]

MAX_PIXELS = 25_000_000
"""Photographs of more pixels are refused by their header, before anything is decoded."""

MAX_SIDE = 6_000
"""So are photographs with a longer side, in pixels: the search for the disc pads them to a square."""

MAX_BYTES = 500_000_000
"""So are files in DICOM and NIfTI, which are read as a whole, if they or what they unpack to are larger."""

MIN_SIDE = 16
"""Photographs with a shorter side, in pixels, are refused."""

# The plugins are called directly: Image.open has a limit of its own, which is global, and opens further formats.
_PLUGINS: tuple[tuple[bytes, type[ImageFile]], ...] = (
    (b"\x89PNG\r\n\x1a\n", PngImageFile),
    (b"\xff\xd8\xff", JpegImageFile),
    (b"II*\0", TiffImageFile),
    (b"MM\0*", TiffImageFile),
    (b"II+\0", TiffImageFile),
    (b"MM\0+", TiffImageFile),
    (b"BM", BmpImageFile),
)
_COPY_AGAIN = "copy it again from the camera or archive"
_SAVE_AS_PNG = "save it as an 8-bit RGB PNG"
_DICOM_GREY = {"MONOCHROME1", "MONOCHROME2"}
_DICOM_COLOUR = {"RGB", "YBR_FULL", "YBR_FULL_422", "YBR_ICT", "YBR_RCT", "PALETTE COLOR"}


class PhotographReader(ImageReader):
    """Reads one photograph as three channels, whatever it was stored as.

    PNG, JPEG, TIFF and BMP are told apart by their content, DICOM by its suffix or preamble, NIfTI by its suffix. Grey
    is repeated to three channels, palette and CMYK are converted to RGB, alpha is dropped (not composited) and the
    EXIF orientation is applied. Of an animated PNG or a TIFF of several pages the first image is read. NIfTI arrays
    are taken as stored, first axis from left to right and second axis downwards; their affine is ignored. The metadata
    hold nothing of a DICOM file but its format and which eye it shows, so no patient data.
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

    def get_data(  # type: ignore[override]
        self, img: Sequence[str] | str
    ) -> tuple[torch.Tensor, dict[str, Any]]:
        """Decodes the photograph.

        Args:
            img: what ``read`` returned: one name.

        Returns:
            the photograph, uint8 if it is stored in 8 bits and float32 otherwise, indexed (x, y, channel) and of shape
            (W, H, 3), values 0 to 255 in the order red, green, blue, in any order in memory; and its metadata with
            ``spatial_shape`` (W, H), ``original_channel_dim`` -1 and ``laterality`` (``right`` or ``left`` if the file
            says so, otherwise empty).

        Raises:
            UnreadablePhotographError: whatever the matter is.
        """
        names = ensure_tuple(img)
        if len(names) != 1:
            raise UnreadablePhotographError(names[0] if names else "", "one photograph is read at a time")
        path = Path(names[0])
        with _refusal(path):
            _check_file(path)
            laterality = ""
            if path.name.lower().endswith(NIFTI_SUFFIXES):
                values, stored_as = _nifti(path), "NIfTI"
            elif path.name.lower().endswith(DICOM_SUFFIXES) or has_dicom_preamble(path):
                (values, laterality), stored_as = _dicom(path), "DICOM"
            else:
                values, stored_as = _picture(path)
            if values.ndim == 2:
                values = np.repeat(values[..., None], 3, axis=-1)
            if values.shape[2:] != (3,):
                raise UnreadablePhotographError(path, f"it is stored in {values.shape[-1]} channels: {_SAVE_AS_PNG}")
        # LoadImage copies an array into its own order in memory, a tensor it takes as it is.
        tensor = torch.from_numpy(np.require(values, requirements="W"))
        return tensor, _metadata(path, values, stored_as, -1) | {"laterality": laterality}


class LabelReader(ImageReader):
    """Reads a label of disc and cup. Labels lie in the orientation in which the photograph is displayed.

    NIfTI arrays, which annotation tools such as 3D Slicer write, are taken as ``PhotographReader`` takes them.

    Args:
        label_format: ``index`` (0 background, 1 disc rim, 2 cup; in a palette image the indices count, not the
            colours), ``refuge`` (255, 128, 0) or ``pair`` (two files, disc and cup; what is not 0 is foreground, or
            what exceeds 127 where the maximum is 255).

    Raises:
        CallError: ``label_format`` is none of these.
    """

    def __init__(self, label_format: str = "index") -> None:
        super().__init__()
        check_label_format(label_format)
        self.label_format = label_format

    def verify_suffix(self, filename: Sequence[PathLike] | PathLike) -> bool:
        """Whether every file is a picture or a NIfTI array by its suffix."""
        return bool(is_supported_format(filename, ["png", "bmp", "tif", "tiff", "nii", "nii.gz"]))

    def read(self, data: Sequence[PathLike] | PathLike, **kwargs: Any) -> tuple[str, ...]:
        """The names in ``data``, still to be decoded: one, or ``(disc, cup)`` for ``pair``."""
        return tuple(str(name) for name in ensure_tuple(data))

    def get_data(self, img: Sequence[str] | str) -> tuple[np.ndarray, dict[str, Any]]:
        """Decodes the label.

        Args:
            img: what ``read`` returned.

        Returns:
            the label, uint8, indexed (x, y) and of shape (W, H), values 0 background, 1 disc rim, 2 cup (cup outside
            the disc counts as background); and its metadata with ``spatial_shape`` (W, H) and no channel dimension.

        Raises:
            UnreadablePhotographError: a file cannot be decoded, or holds other values than its format allows.
        """
        names = ensure_tuple(img)
        wanted = 2 if self.label_format == "pair" else 1
        if len(names) != wanted:
            raise UnreadablePhotographError(
                names[0] if names else "",
                f"label_format {self.label_format} takes {wanted} label file(s), not {len(names)}",
            )
        paths = [Path(name) for name in names]
        with _refusal(paths[0]):
            if self.label_format == "pair":
                label = _pair_label(*paths)
            elif self.label_format == "refuge":
                label = _refuge_label(paths[0])
            else:
                label = _index_label(paths[0])
        return label, _metadata(paths[0], label, self.label_format, channel_dim=float("nan"))


class SameSized(MapTransform):
    """Refuses a label whose size is not its photograph's; otherwise passes the data through.

    The sizes are those of the files (``spatial_shape`` in the metadata), where known, otherwise those of the
    channel-first arrays.

    Args:
        keys: the photograph's key, then the label's.
        allow_missing_keys: whether data without one of the keys pass unchecked.
    """

    def __init__(self, keys: Sequence[str] = ("image", "label"), allow_missing_keys: bool = True) -> None:
        super().__init__(keys, allow_missing_keys)
        if len(self.keys) != 2:
            raise ValueError(f"SameSized compares two keys, a photograph and its label, not {self.keys}.")

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Raises ``UnreadablePhotographError`` for the photograph, naming both files and sizes, where sizes differ."""
        found = list(self.key_iterator(data))
        if len(found) == 2:
            (photograph, size), (label, label_size) = (_file_and_size(data[key]) for key in found)
            if size != label_size:
                turned = size == label_size[::-1]
                remedy = "draw it on the photograph as displayed, EXIF orientation applied" if turned else "resize it"
                raise UnreadablePhotographError(
                    photograph,
                    f"the photograph is {_times(size)} pixels but its label {label} is {_times(label_size)}: {remedy}",
                )
        return dict(data)


def _metadata(path: Path, values: np.ndarray, stored_as: str, channel_dim: float) -> dict[str, Any]:
    return {
        MetaKeys.SPATIAL_SHAPE.value: np.asarray(values.shape[:2]),
        MetaKeys.ORIGINAL_CHANNEL_DIM.value: channel_dim,
        "filename_or_obj": str(path),
        "format": stored_as,
    }


def _file_and_size(image: Any) -> tuple[str, tuple[int, ...]]:
    meta = getattr(image, "meta", {})
    size = meta.get(MetaKeys.SPATIAL_SHAPE.value, image.shape[1:])
    return str(meta.get("filename_or_obj", "")), tuple(int(side) for side in size)


def _times(size: Sequence[int]) -> str:
    return " x ".join(map(str, size))


@contextmanager
def _refusal(path: Path) -> Iterator[None]:
    """Turns whatever the libraries raise into an ``UnreadablePhotographError`` for ``path``."""
    try:
        yield
    except UnreadablePhotographError:
        raise
    except Exception as error:
        raise UnreadablePhotographError(path, _reason(error)) from error


def _reason(error: Exception) -> str:
    if isinstance(error, FileNotFoundError):
        return "the file does not exist (or is a link to nowhere): copy it anew"
    if isinstance(error, PermissionError):
        return "the file may not be read: change its permissions"
    if isinstance(error, MemoryError):
        return "there is not enough memory to decode it: reduce it or use a larger machine"
    if isinstance(error, OSError) and error.errno is not None:
        return f"the file cannot be read: {error.strerror}"
    message = str(error).lower()
    if isinstance(error, EOFError) or any(sign in message for sign in ("truncated", "not large enough", "bytes, got")):
        return f"the file is truncated: {_COPY_AGAIN}"
    return f"the file is damaged, or of a variant that is not supported: {_COPY_AGAIN}, or {_SAVE_AS_PNG}"


def _check_file(path: Path) -> None:
    size = path.stat().st_size
    if not path.is_file():
        raise UnreadablePhotographError(path, "this is not a file")
    if size == 0:
        raise UnreadablePhotographError(path, f"the file is empty: {_COPY_AGAIN}")


def _check_size(path: Path, width: int, height: int) -> None:
    if width * height > MAX_PIXELS:
        raise UnreadablePhotographError(
            path, f"{width} x {height} pixels exceed the limit of {MAX_PIXELS // 10**6} megapixels: reduce the image"
        )
    if max(width, height) > MAX_SIDE:
        raise UnreadablePhotographError(
            path, f"{width} x {height} pixels exceed the limit of {MAX_SIDE} pixels a side: reduce the image"
        )
    if min(width, height) < MIN_SIDE:
        raise UnreadablePhotographError(
            path,
            f"{width} x {height} pixels are too few, each side needs {MIN_SIDE}: "
            "export the photograph itself, not a thumbnail",
        )


@contextmanager
def _opened_picture(path: Path) -> Iterator[ImageFile]:
    """The decoded picture, its size checked before. PNG's checksums are checked too, which decoding ignores."""
    with path.open("rb") as file:
        head = file.read(8)
    plugin = next((plugin for signature, plugin in _PLUGINS if head.startswith(signature)), None)
    if plugin is None:
        raise UnreadablePhotographError(
            path, f"the content is not that of a PNG, JPEG, TIFF, BMP, DICOM or NIfTI file: {_SAVE_AS_PNG}"
        )
    with plugin(path) as picture:
        _check_size(path, *picture.size)
        if plugin is PngImageFile:
            with plugin(path) as copy:
                copy.verify()
        picture.load()
        yield picture


def _picture(path: Path) -> tuple[np.ndarray, str]:
    """A PNG, JPEG, TIFF or BMP as (W, H) or (W, H, 3) in 0 to 255, and the format's name."""
    with _opened_picture(path) as picture:
        stored_as = str(picture.format)
        try:
            picture.getexif()
        except Exception:
            # Viewers show a photograph with damaged EXIF as stored, and the masks are compared with what they show.
            picture._exif = None
        else:
            picture.info.clear()  # Spares encoding the EXIF anew, which fails for some makers' notes.
            ImageOps.exif_transpose(picture, in_place=True)
        picture.info.clear()  # Transparency has no part in the conversion.
        if picture.mode.startswith("I;16"):
            values = np.asarray(picture).astype(np.float32) / 257
        elif picture.mode in ("I", "F"):
            values = _in_byte_range(path, np.asarray(picture))
        elif picture.mode == "LAB":
            raise UnreadablePhotographError(path, f"its colours are stored as CIE Lab: {_SAVE_AS_PNG}")
        else:
            # Plane by plane, for so they are searched; Pillow parts them sooner than whoever needs them apart would.
            colour = picture if picture.mode == "RGB" else picture.convert("RGB")
            values = np.moveaxis(np.stack([np.asarray(plane) for plane in colour.split()]), 0, -1)
    return np.swapaxes(values, 0, 1), stored_as


def _in_byte_range(path: Path, values: np.ndarray) -> np.ndarray:
    """Values of any real type in 0 to 255, as float32 unless they are bytes.

    Floats up to 1 count as fractions and values up to 255 as they are; larger ones are scaled, uint16 by its range and
    others by their maximum.
    """
    _check_kind(path, values.dtype)
    if values.dtype == np.uint8:
        return values
    top = float(values.max())
    # The maximum of a wider type than float64 may be finite there alone.
    if not np.isfinite(top) or (values.dtype.kind == "f" and not np.isfinite(values).all()):
        raise UnreadablePhotographError(path, "it holds values that are not finite (NaN or infinity): replace them")
    if values.min() < 0:
        raise UnreadablePhotographError(path, "it holds values below 0: scale them to 0 to 255")
    if top <= 255:
        factor = 255.0 if values.dtype.kind == "f" and top <= 1 else 1.0
    else:
        factor = 1 / 257 if values.dtype == np.uint16 else 255 / top
    # In float64, but without an array of it, which would be the largest of all.
    scaled = np.empty(values.shape, np.float32)
    return np.multiply(values, factor, out=scaled, dtype=np.float64, casting="unsafe")


def _check_kind(path: Path, kind: np.dtype) -> None:
    if kind.kind not in "buif":
        raise UnreadablePhotographError(path, f"values of type {kind} are not a picture's: {_SAVE_AS_PNG}")


def _dicom(path: Path) -> tuple[np.ndarray, str]:
    """A DICOM image as (W, H) or (W, H, 3) in 0 to 255, and which eye it says that it shows."""
    try:
        _check_bytes(path)
        dataset = pydicom.dcmread(path)
        return _dicom_values(path, dataset), _dicom_laterality(dataset)
    except (UnreadablePhotographError, MemoryError):
        raise
    except InvalidDicomError:
        raise UnreadablePhotographError(
            path, "it has no DICOM preamble: export it again as a DICOM file (part 10)"
        ) from None
    except Exception as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise
        # Without the cause: pydicom's messages may quote the file's elements, hence patient data.
        raise UnreadablePhotographError(path, f"the DICOM file is damaged: {_COPY_AGAIN}") from None


def _dicom_values(path: Path, dataset: pydicom.FileDataset) -> np.ndarray:
    if "PixelData" not in dataset:
        raise UnreadablePhotographError(
            path, f"the DICOM file holds no image, or is truncated before it: {_COPY_AGAIN}, or leave it out"
        )
    frames = int(dataset.get("NumberOfFrames") or 1)
    if frames != 1:
        raise UnreadablePhotographError(
            path, f"the DICOM file holds {frames} frames: export the one to be segmented as a file of its own"
        )
    _check_size(path, int(dataset.Columns), int(dataset.Rows))
    interpretation = str(dataset.PhotometricInterpretation)
    if interpretation not in _DICOM_GREY | _DICOM_COLOUR:
        raise UnreadablePhotographError(path, "its DICOM photometric interpretation is not supported: export it as RGB")
    values, bits = _dicom_pixels(path, dataset), int(dataset.BitsStored)
    if interpretation == "PALETTE COLOR":
        values = apply_color_lut(values, dataset)[..., :3]
        bits = min(8 * values.dtype.itemsize, int(dataset.RedPaletteColorLookupTableDescriptor[2]))
    elif dataset.get("PixelRepresentation") == 1:
        values = values.astype(np.int64) + 2 ** (bits - 1)
    scaled = values
    if bits != 8 or values.dtype != np.uint8:
        scaled = np.clip(values.astype(np.float32) * np.float32(255 / (2**bits - 1)), 0, 255)
    if interpretation == "MONOCHROME1":
        scaled = 255 - scaled
    return np.swapaxes(scaled, 0, 1)


def _dicom_laterality(dataset: pydicom.Dataset) -> str:
    """``right``, ``left``, or empty if the file does not say, says both, or contradicts itself."""
    datasets = [dataset]
    for sequence in ("SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence"):
        datasets += [
            anatomy for group in dataset.get(sequence) or () for anatomy in group.get("FrameAnatomySequence", ())
        ]
    keywords = ("ImageLaterality", "FrameLaterality", "Laterality")
    found = {str(part.get(keyword) or "") for part in datasets for keyword in keywords} - {""}
    return {"R": "right", "L": "left"}.get(found.pop(), "") if len(found) == 1 else ""


def _dicom_pixels(path: Path, dataset: pydicom.FileDataset) -> np.ndarray:
    """The stored values, (H, W) or (H, W, 3), YBR converted to RGB."""
    try:
        return pixel_array(dataset)
    except MemoryError:
        raise
    except Exception:
        syntax = dataset.file_meta.TransferSyntaxUID
        remedy = "export it uncompressed, or as JPEG baseline" if syntax.is_compressed else _COPY_AGAIN
        raise UnreadablePhotographError(
            path, f"the pixels cannot be decoded (truncated, or a compression that is not supported): {remedy}"
        ) from None


def _nifti(path: Path) -> np.ndarray:
    """A NIfTI image as (W, H) or (W, H, 3) in 0 to 255."""
    return _in_byte_range(path, _nifti_values(path))


def _nifti_values(path: Path) -> np.ndarray:
    """A NIfTI image's values as stored, (W, H) or (W, H, 3)."""
    # Before nibabel reads the header, which may announce extensions of any length.
    _check_bytes(path)
    image: Any = nibabel.load(path)
    shape = tuple(image.shape)
    size, rest = shape[:2], tuple(side for side in shape[2:] if side != 1)
    in_fields = image.get_data_dtype().names
    if len(size) < 2 or rest not in ((), (3,), (4,)) or (rest and in_fields):
        raise UnreadablePhotographError(
            path, f"a NIfTI array of {_times(shape)} is no photograph: save one of width x height, or x 3 for colour"
        )
    _check_size(path, *size)
    _check_kind(path, np.dtype(np.uint8) if in_fields else image.get_data_dtype())
    values = np.asanyarray(image.dataobj).reshape(size + rest)
    if in_fields:
        values = np.stack([values[field] for field in in_fields], axis=-1)
    return values[..., :3] if values.ndim == 3 else values


def _check_bytes(path: Path) -> None:
    """Refuses a file that is too large to be read as a whole, or unpacks to more than that."""
    _check_count(path, path.stat().st_size)
    if path.name.lower().endswith(".gz"):
        with gzip.open(path) as packed:
            _check_length(path, packed)
    elif not path.name.lower().endswith(NIFTI_SUFFIXES):
        with path.open("rb") as file:
            read_preamble(file, force=False)
            meta = read_dataset(file, False, True, stop_when=lambda tag, representation, length: tag >> 16 != 2)
            if meta.get("TransferSyntaxUID") == DeflatedExplicitVRLittleEndian:
                _check_length(path, _Inflated(file))


def _check_length(path: Path, stream: gzip.GzipFile | _Inflated) -> None:
    """Reads to the end, unless that is too far off. Only there does gzip compare its checksum; nibabel does not go so
    far."""
    count = 0
    while part := stream.read(1 << 20):
        count += len(part)
        _check_count(path, count)


def _check_count(path: Path, count: int) -> None:
    if count > MAX_BYTES:
        raise UnreadablePhotographError(
            path, f"it holds more than {MAX_BYTES // 10**6} megabytes, more than one photograph needs: {_SAVE_AS_PNG}"
        )


class _Inflated:
    """Unpacks the rest of a file, which is raw deflate, piece by piece."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._inflate = zlib.decompressobj(-zlib.MAX_WBITS)

    def read(self, size: int) -> bytes:
        """At most ``size`` bytes, none at the end."""
        while not self._inflate.eof:
            packed = self._inflate.unconsumed_tail or self._file.read(1 << 16)
            part = self._inflate.decompress(packed, size)
            if part or not packed:
                return part
        return b""


def _label_values(path: Path, indices: bool) -> np.ndarray:
    """A label's values, (W, H), or (W, H, 3) if in colour; ``indices`` prefers a palette's indices to its colours."""
    with _refusal(path):
        _check_file(path)
        if path.name.lower().endswith(NIFTI_SUFFIXES):
            return _nifti_values(path)
        with _opened_picture(path) as picture:
            picture.info.clear()
            single = picture.mode in ("1", "L", "I", "F") or picture.mode.startswith("I;16")
            stored = picture if single or (indices and picture.mode == "P") else picture.convert("RGB")
            values = np.swapaxes(np.asarray(stored), 0, 1)
    if values.ndim == 3 and (values == values[..., :1]).all():
        return values[..., 0]
    return values


def _values_found(path: Path, indices: bool) -> tuple[np.ndarray, set[float]]:
    values = _label_values(path, indices)
    if values.ndim == 3:
        raise UnreadablePhotographError(path, "the label is a colour image: save it as grey values 0, 1 and 2")
    return values, {value.item() for value in np.unique(values)}


def _listed(found: set[float]) -> str:
    shown = [f"{value:g}" for value in sorted(found)]
    return ", ".join(shown[:8]) + (f" and {len(shown) - 8} more" if len(shown) > 8 else "")


def _index_label(path: Path) -> np.ndarray:
    values, found = _values_found(path, indices=True)
    if found <= {0, 1, 2}:
        return values.astype(np.uint8)
    if found <= {0, 128, 255}:
        remedy = "pass --label_format refuge if 0 is the cup, 128 the rim and 255 the background"
    else:
        remedy = "save 0 for background, 1 for disc rim and 2 for cup"
    raise UnreadablePhotographError(path, f"the label holds the values {_listed(found)}: {remedy}")


def _refuge_label(path: Path) -> np.ndarray:
    values, found = _values_found(path, indices=False)
    if found <= {0, 128, 255}:
        return np.select([values == 0, values == 128], [2, 1], default=0).astype(np.uint8)
    remedy = "pass --label_format index" if found <= {0, 1, 2} else "REFUGE labels hold 0, 128 and 255 only"
    raise UnreadablePhotographError(path, f"the label holds the values {_listed(found)}: {remedy}")


def _pair_label(disc_path: Path, cup_path: Path) -> np.ndarray:
    disc, cup = _foreground(disc_path), _foreground(cup_path)
    if disc.shape != cup.shape:
        raise UnreadablePhotographError(
            disc_path, f"the disc is {_times(disc.shape)} pixels but the cup {cup_path} is {_times(cup.shape)}"
        )
    return disc.astype(np.uint8) + (disc & cup)


def _foreground(path: Path) -> np.ndarray:
    values = _label_values(path, indices=False)
    if values.ndim == 3:
        values = values.max(axis=-1)
    return values > (127 if values.max() == 255 else 0)
