"""Optic disc and cup segmentation that adapts itself, without labels, to a camera it has never seen.

``load``, ``segment`` and ``adapt`` are for scripts and notebooks. The submodules are imported here because configs name
them as ``bundle.<module>.<name>``.
"""

import logging
import warnings

# MONAI warns of these at every start; they are its own affairs and hide what a user should read.
warnings.filterwarnings("ignore", message="NvImgCodecPydicomReader", category=UserWarning)
warnings.filterwarnings("ignore", message=".*always_return_as_numpy", category=FutureWarning)
logging.getLogger("monai.data.nvimgcodec_pydicom_plugin").setLevel(logging.ERROR)
# A stage that was interrupted after its last photograph has none left.
warnings.filterwarnings("ignore", message="`dataloader` is empty", category=UserWarning)

from bundle import (  # noqa: E402
    adaptation,
    api,
    cameras,
    class_features,
    comparison,
    consensus,
    contrast,
    cup_sizes,
    datasets,
    distributed,
    errors,
    folders,
    handlers,
    inference,
    label_shift,
    laterality,
    locator,
    losses,
    mask_files,
    measurements,
    network,
    overlays,
    passes,
    peer_losses,
    phantoms,
    photographs,
    prototypes,
    provenance,
    records,
    refinement,
    regions,
    report,
    rims,
    scores,
    shifts,
    stages,
    statistics,
    suitability,
    tracking,
    views,
)
from bundle.api import Adaptation, Model, Segmentation, adapt, load, segment  # noqa: E402

__version__ = "0.1.0"
__all__ = [
    "Adaptation",
    "Model",
    "Segmentation",
    "adapt",
    "adaptation",
    "api",
    "cameras",
    "class_features",
    "comparison",
    "consensus",
    "contrast",
    "cup_sizes",
    "datasets",
    "distributed",
    "errors",
    "folders",
    "handlers",
    "inference",
    "label_shift",
    "laterality",
    "load",
    "locator",
    "losses",
    "mask_files",
    "measurements",
    "network",
    "overlays",
    "passes",
    "peer_losses",
    "phantoms",
    "photographs",
    "prototypes",
    "provenance",
    "records",
    "refinement",
    "regions",
    "report",
    "rims",
    "scores",
    "segment",
    "shifts",
    "stages",
    "statistics",
    "suitability",
    "tracking",
    "views",
]
