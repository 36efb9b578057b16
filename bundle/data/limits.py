"""What is too large, too small or too damaged to be read, and what to do about it."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import numpy as np
from pydicom.filereader import read_dataset, read_preamble
from pydicom.uid import DeflatedExplicitVRLittleEndian

from bundle.data.formats import NIFTI_SUFFIXES
from bundle.errors import UnreadablePhotographError

__all__ = [
    "COPY_AGAIN",
    "MAX_BYTES",
    "MAX_PIXELS",
    "MAX_SIDE",
    "MIN_SIDE",
    "SAVE_AS_PNG",
    "check_bytes",
    "check_file",
    "check_kind",
    "check_size",
    "refusal",
    "size_text",
]

MAX_PIXELS = 25_000_000
"""Photographs of more pixels are refused by their header, before anything is decoded."""
MAX_SIDE = 6_000
"""So are photographs with a longer side, in pixels: the search for the disc pads them to a square."""
MAX_BYTES = 500_000_000
"""So are files in DICOM and NIfTI, which are read as a whole, if they or what they unpack to are larger."""
MIN_SIDE = 16
"""Photographs with a shorter side, in pixels, are refused."""
COPY_AGAIN = "copy it again from the camera or archive"
SAVE_AS_PNG = "save it as an 8-bit RGB PNG"


def size_text(size: Sequence[int]) -> str:
    return " x ".join(map(str, size))


@contextmanager
def refusal(path: Path) -> Iterator[None]:
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
        return f"the file is truncated: {COPY_AGAIN}"
    return f"the file is damaged, or of a variant that is not supported: {COPY_AGAIN}, or {SAVE_AS_PNG}"


def check_file(path: Path) -> None:
    size = path.stat().st_size
    if not path.is_file():
        raise UnreadablePhotographError(path, "this is not a file")
    if size == 0:
        raise UnreadablePhotographError(path, f"the file is empty: {COPY_AGAIN}")


def check_size(path: Path, width: int, height: int) -> None:
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


def check_kind(path: Path, kind: np.dtype) -> None:
    if kind.kind not in "buif":
        raise UnreadablePhotographError(path, f"values of type {kind} are not a picture's: {SAVE_AS_PNG}")


def check_bytes(path: Path) -> None:
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
            path, f"it holds more than {MAX_BYTES // 10**6} megabytes, more than one photograph needs: {SAVE_AS_PNG}"
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
