"""The setup that all runs of the benchmark share: folders, photographs, source model, code and machine."""

from __future__ import annotations

import os
import platform
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import torch

from bundle.benchmark.plan import CONFIG, CONFIG_FILE, REAL, config_with
from bundle.data.listing import list_photographs
from bundle.data.splits import split_source
from bundle.stages import BUNDLE_ROOT

__all__ = ["CHECKPOINT", "IMAGE_SIZE", "Setup", "chosen_photographs", "provenance"]

CHECKPOINT = BUNDLE_ROOT / "models" / "refuge.pt"
"""The model of one camera, to which every other one here is new."""
IMAGE_SIZE: int = CONFIG["image_size"]
Labels = Literal["none", "optional", "required"]


def provenance() -> dict[str, Any]:
    """Describe the commit and the machine. A commit that ends in ``+`` had uncommitted changes.

    Example:
        >>> sorted(provenance())
        ['commit', 'cores', 'gpu', 'machine', 'torch']
    """
    command = ["git", "describe", "--always", "--exclude=*", "--dirty=+"]
    commit = subprocess.run(command, cwd=BUNDLE_ROOT, capture_output=True, text=True, check=False).stdout.strip()
    return {
        "commit": commit or "unknown",
        "torch": torch.__version__,
        "cores": os.cpu_count(),
        "machine": platform.machine(),
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
    }


@dataclass(frozen=True)
class Setup:
    """The setup that all runs share.

    Args:
        data: folder with ``drishti_gs/train``, ``drishti_gs/test`` and ``refuge/train``.
        output: the benchmark's output folder.
        images: largest number of photographs of each set; None for all.
        checkpoint: the source model.
        image_size: side of the network's input in pixels.
        provenance: see the function of that name.
        own: a file of somebody's own recipes, see ``config_with``; None for none.

    Example:
        >>> setup = Setup(Path("data"), Path("output"))
        >>> setup.adaptation_set("drishti_gs").as_posix(), setup.scored_set("phantoms").as_posix()
        ('data/drishti_gs/train', 'output/targets/phantoms/score')
    """

    data: Path
    output: Path
    images: int | None = None
    checkpoint: Path = CHECKPOINT
    image_size: int = IMAGE_SIZE
    provenance: Mapping[str, Any] = field(default_factory=dict)
    own: Path | None = None

    @property
    def source_set(self) -> Path:
        """Folder of the labelled photographs of the source."""
        return self.data / "refuge" / "train"

    def adaptation_set(self, target: str) -> Path:
        """Folder of the photographs to adapt to, with labels."""
        return self.data / REAL / "train" if target == REAL else self.output / "targets" / target / "adapt"

    def scored_set(self, target: str) -> Path:
        """Folder of the photographs to score, with labels."""
        return self.data / REAL / "test" if target == REAL else self.output / "targets" / target / "score"

    def size(self) -> dict[str, int]:
        """The config override that every stage gets."""
        return {"image_size": self.image_size}

    def is_own(self, recipe: str) -> bool:
        """Whether a recipe is one of the file ``own``."""
        return recipe in config_with(self.own)["recipes"] and recipe not in CONFIG["recipes"]

    def config_files(self, recipe: str) -> list[str]:
        """The config files of an adaptation: what ``own`` holds is laid over the stage's for its own recipes alone."""
        return [str(CONFIG_FILE), *([str(self.own)] if self.is_own(recipe) else [])]

    def items(self, labels: Labels = "none", held_out: bool = False) -> dict[str, Any]:
        """The config's component that lists the photographs in ``dataset_dir``, see ``chosen_photographs``."""
        component = f"{chosen_photographs.__module__}.{chosen_photographs.__qualname__}"
        chosen = {"labels": labels, "held_out": held_out, "most": self.images}
        return {"_target_": component, "folder": "@dataset_dir", **chosen}


def chosen_photographs(
    folder: str | Path, labels: Labels = "none", held_out: bool = False, most: int | None = None
) -> list[dict[str, Any]]:
    """List the first photographs of a folder.

    Args:
        folder: see ``list_photographs``.
        labels: see ``list_photographs``.
        held_out: whether to list only those that training holds out by default.
        most: largest number of photographs; None for all.

    Returns:
        See ``list_photographs``.

    Example:
        >>> import tempfile
        >>> from bundle.synthetic.phantoms.photographs import write_dataset
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     _ = write_dataset(folder, 2, kind="crop", size=64)
        ...     [item["name"] for item in chosen_photographs(folder, "required", most=1)]
        ['phantom_plain_0000']
    """
    items = list_photographs(folder, labels=labels)
    return (split_source(items, 0.2, 0)[1] if held_out else items)[:most]
