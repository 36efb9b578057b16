"""Optic disc and cup segmentation that adapts itself, without labels, to a camera it has never seen.

The submodules are imported here because configs name them as ``bundle.<module>.<name>``.
"""

from bundle import (
    adaptation,
    class_features,
    datasets,
    errors,
    folders,
    handlers,
    inference,
    locator,
    losses,
    measurements,
    network,
    overlays,
    passes,
    phantoms,
    photographs,
    prototypes,
    provenance,
    refinement,
    regions,
    report,
    scores,
    statistics,
    views,
)

__version__ = "0.1.0"
__all__ = [
    "adaptation",
    "class_features",
    "datasets",
    "errors",
    "folders",
    "handlers",
    "inference",
    "locator",
    "losses",
    "measurements",
    "network",
    "overlays",
    "passes",
    "phantoms",
    "photographs",
    "prototypes",
    "provenance",
    "refinement",
    "regions",
    "report",
    "scores",
    "statistics",
    "views",
]
