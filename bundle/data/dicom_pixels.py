"""The pixels of DICOM files, decoded by pydicom."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pydicom
from pydicom.uid import JPEG2000, UID, JPEG2000Lossless, JPEGBaseline8Bit, RLELossless

from bundle.data.limits import COPY_AGAIN
from bundle.errors import UnreadablePhotographError

try:
    from pydicom.pixels import apply_color_lut, get_decoder
    from pydicom.pixels import pixel_array as _pixel_array

    def pixel_array(dataset: pydicom.FileDataset, plugin: str) -> np.ndarray:
        """The stored values, YBR converted to RGB, by one plugin, or by any if it is empty."""
        return _pixel_array(dataset, decoding_plugin=plugin)

    def decoders(syntax: UID) -> tuple[str, ...]:
        """What is installed that decodes a transfer syntax."""
        try:
            return tuple(get_decoder(syntax).available_plugins)
        except NotImplementedError:
            return ()

except ImportError:
    # MONAI Label's own requirements hold pydicom below 3, whose arrays are still in the stored colour space.
    from pydicom.config import pixel_data_handlers
    from pydicom.pixel_data_handlers import apply_color_lut, convert_color_space  # type: ignore[no-redef]

    def pixel_array(dataset: pydicom.FileDataset, plugin: str) -> np.ndarray:
        """As with pydicom 3, whatever the plugin."""
        interpretation = str(dataset.PhotometricInterpretation)
        values: np.ndarray = dataset.pixel_array
        return convert_color_space(values, interpretation, "RGB") if interpretation.startswith("YBR_FULL") else values

    def decoders(syntax: UID) -> tuple[str, ...]:
        """As with pydicom 3."""
        return tuple(
            handler.HANDLER_NAME.lower()
            for handler in pixel_data_handlers
            if handler.is_available() and handler.supports_transfer_syntax(syntax)
        )


__all__ = ["decoded_pixels", "indexed_colours"]

_BY_PILLOW = (JPEGBaseline8Bit, JPEG2000, JPEG2000Lossless)
"""Decoded by Pillow, also where another decoder is installed, so that the values do not depend on it."""
_PACKAGES = {
    "JPEG Lossless": "pylibjpeg pylibjpeg-libjpeg",
    "JPEG Extended": "pylibjpeg pylibjpeg-libjpeg",
    "JPEG-LS": "pyjpegls",
    "High-Throughput JPEG 2000": "pylibjpeg pylibjpeg-openjpeg",
    "JPEG 2000": "pylibjpeg pylibjpeg-openjpeg",
}
"""What decodes the compressions that the bundle's own dependencies do not, by the beginning of their names."""


def decoded_pixels(path: Path, dataset: pydicom.FileDataset) -> np.ndarray:
    """The stored values, (H, W) or (H, W, 3), YBR converted to RGB.

    Raises:
        UnreadablePhotographError: a decoder must be installed first, or the pixels are damaged.
    """
    syntax = dataset.file_meta.TransferSyntaxUID
    if syntax.is_compressed and syntax != RLELossless and "PlanarConfiguration" in dataset:
        # The code stream has an order of its own; some devices leave the element as it was before they compressed.
        dataset.PlanarConfiguration = 0
    plugins = ("pillow", "") if syntax in _BY_PILLOW else ("",)
    for plugin in plugins:
        try:
            return pixel_array(dataset, plugin)
        except MemoryError:
            raise
        except Exception:
            continue
    raise UnreadablePhotographError(path, _reason(syntax)) from None


def _reason(syntax: UID) -> str:
    packages = next((packages for begin, packages in _PACKAGES.items() if syntax.name.startswith(begin)), "")
    # Without the processes and selection values that follow in some names.
    name, installed = syntax.name.partition(" (")[0].partition(",")[0], decoders(syntax)
    if not syntax.is_compressed:
        return f"the pixels cannot be decoded (truncated, or stored in an odd way): {COPY_AGAIN}"
    if not installed and not packages:
        return f"no decoder is known for its compression ({name}): export it uncompressed, or as JPEG baseline"
    if not installed:
        return f"its compression ({name}) needs a decoder: pip install {packages}, or export it uncompressed"
    if packages and installed == ("pillow",):
        return (
            f"the pixels cannot be decoded (truncated, or a variant of {name} that needs another decoder): "
            f"{COPY_AGAIN}, or pip install {packages}"
        )
    return f"the pixels cannot be decoded (truncated, or a variant of {name} that is not read): {COPY_AGAIN}"


def indexed_colours(values: np.ndarray, dataset: pydicom.Dataset) -> np.ndarray:
    """Indices as the colours of the file's tables, (H, W, 3) in 0 to 255."""
    colours = apply_color_lut(values, dataset)[..., :3]
    bits = min(8 * colours.dtype.itemsize, int(dataset.RedPaletteColorLookupTableDescriptor[2]))
    if bits == 8 and colours.dtype == np.uint8:
        return colours
    return np.clip(colours.astype(np.float32) * np.float32(255 / (2**bits - 1)), 0, 255)
