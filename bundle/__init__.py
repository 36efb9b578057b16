"""Optic disc and cup segmentation that adapts itself, without labels, to a camera it has never seen.

The submodules are imported here because configs name them as ``bundle.<module>.<name>``.
"""

import warnings

# MONAI warns of these at every start; they are its own affairs and hide what a user should read.
warnings.filterwarnings("ignore", message="NvImgCodecPydicomReader", category=UserWarning)
warnings.filterwarnings("ignore", message=".*always_return_as_numpy", category=FutureWarning)
# A stage that was interrupted after its last photograph has none left.
warnings.filterwarnings("ignore", message="`dataloader` is empty", category=UserWarning)

from bundle import (  # noqa: E402
    adaptation,
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
    views,
)

__version__ = "0.1.0"
__all__ = [
    "adaptation",
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
    "shifts",
    "stages",
    "statistics",
    "views",
]
