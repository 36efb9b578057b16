"""Print the distances of made-up pairs of masks by every library that is installed here.

    python scripts/compare_metrics.py

A row is a pair, a column a library. A cell holds ASSD and HD95 in pixels, or the error that the library ends with.
"""

from __future__ import annotations

import argparse
import importlib
from collections.abc import Callable, Sequence
from importlib.metadata import distributions

import numpy as np

Mask = np.typing.NDArray[np.bool_]
Distances = tuple[float, float]


def pairs() -> dict[str, tuple[Mask, Mask]]:
    """Prediction and label of each pair, 128 x 128."""
    x, y = np.mgrid[:128, :128]

    def disc(radius: float, left: int = 64) -> Mask:
        return (x - left) ** 2 + (y - 64) ** 2 <= radius**2

    spur = (abs(y - 64) <= 1) & (x >= 64) & (x < 64 + 40 + 20)  # 20 pixels out of the disc
    return {
        "moved by 5": (disc(40, 69), disc(40)),
        "smaller by 4": (disc(36), disc(40)),
        "with a thin spur": (disc(40) | spur, disc(40)),
        **{"missed": (x < 0, disc(40)), "both empty": (x < 0, x < 0)},
    }


def by_bundle(prediction: Mask, label: Mask) -> Distances:
    """The bundle's scores of the disc."""
    scores, torch = map(importlib.import_module, ("bundle.evaluation.scores", "torch"))
    row = scores.score_image(*(torch.from_numpy(np.stack((mask, mask))) for mask in (prediction, label)))
    return row["optic_disc_assd_px"], row["optic_disc_hd95_px"]


def by_monai(prediction: Mask, label: Mask) -> Distances:
    """MONAI's functions, on masks with a batch and a channel."""
    metrics, torch = map(importlib.import_module, ("monai.metrics", "torch"))
    p, y = (torch.from_numpy(mask)[None, None].float() for mask in (prediction, label))
    assd = metrics.compute_average_surface_distance(p, y, include_background=True, symmetric=True)
    return assd.item(), metrics.compute_hausdorff_distance(p, y, include_background=True, percentile=95).item()


def by_medpy(prediction: Mask, label: Mask) -> Distances:
    """MedPy's ``assd`` and ``hd95``."""
    binary = importlib.import_module("medpy.metric.binary")
    return binary.assd(prediction, label), binary.hd95(prediction, label)


def by_surface_distance(prediction: Mask, label: Mask) -> Distances:
    """The mean of both directions' means, since the library gives the two, and the robust Hausdorff distance."""
    metrics = importlib.import_module("surface_distance")
    found = metrics.compute_surface_distances(label, prediction, spacing_mm=(1, 1))
    return np.mean(metrics.compute_average_surface_distance(found)), metrics.compute_robust_hausdorff(found, 95)


def by_seg_metrics(prediction: Mask, label: Mask) -> Distances:
    """``msd`` and ``hd95``."""
    module, y, p = importlib.import_module("seg_metrics.seg_metrics"), np.uint8(label), np.uint8(prediction)
    found = module.write_metrics(labels=[1], gdth_img=y, pred_img=p, metrics=["msd", "hd95"])[0]
    return found["msd"][0], found["hd95"][0]


LIBRARIES: dict[str, tuple[str, Callable[[Mask, Mask], Distances]]] = {
    "bundle": ("fundus-bundle", by_bundle),
    "MONAI": ("monai", by_monai),
    "MedPy": ("medpy", by_medpy),
    "surface-distance": ("surface-distance-based-measures", by_surface_distance),
    "seg-metrics": ("seg-metrics", by_seg_metrics),
}


def cell(measured: Callable[[Mask, Mask], Distances], prediction: Mask, label: Mask) -> str:
    """The text of a cell."""
    try:
        return ", ".join(f"{value:.2f}" for value in measured(prediction, label))
    except Exception as error:  # noqa: BLE001
        return type(error).__name__


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the table."""
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter).parse_args(arguments)
    here = {each.metadata["Name"].lower().replace("_", "-"): each.version for each in distributions()}
    columns = {f"{name} {here[of]}": measured for name, (of, measured) in LIBRARIES.items() if of in here}
    print(f"| ASSD, HD95 | {' | '.join(columns)} |\n|---|{'---|' * len(columns)}")
    for name, (prediction, label) in pairs().items():
        print(f"| {name} | {' | '.join(cell(measured, prediction, label) for measured in columns.values())} |")


if __name__ == "__main__":
    main()
