"""Run a stage of the bundle from Python, as ``python -m monai.bundle run`` does."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from monai.bundle import ConfigWorkflow

__all__ = ["BUNDLE_ROOT", "STAGES", "run_stage"]

BUNDLE_ROOT = Path(__file__).resolve().parents[1]

STAGES = {
    "training": "train",
    "refinement": "refine",
    "adaptation": "adapt",
    "evaluation": "evaluate",
    "inference": "inference",
}
"""Config file (without suffix) of each stage."""


def run_stage(stage: str, **overrides: Any) -> int:
    """Run a stage in this process.

    Args:
        stage: a name of ``STAGES``.
        overrides: keys of its config; nested ones with ``#``, such as ``**{"train#optimizer#lr": 1e-4}``.
            ``logging_file=False`` leaves logging as it is.

    Returns:
        Exit status: 0, or 1 if some photographs were unreadable and all others are done.

    Raises:
        CallError: when the call cannot succeed.
        ValueError: when there is no such stage.
    """
    if stage not in STAGES:
        raise ValueError(f"stage is {stage!r}; allowed are {', '.join(STAGES)}.")
    configs = BUNDLE_ROOT / "configs"
    files = {"meta_file": str(configs / "metadata.json"), "logging_file": str(configs / "logging.conf")}
    workflow = ConfigWorkflow(
        config_file=str(configs / f"{STAGES[stage]}.json"),
        run_id=stage,
        **files | {"bundle_root": str(BUNDLE_ROOT)} | overrides,
    )
    workflow.initialize()
    try:
        workflow.run()
    except SystemExit as end:
        if end.__class__ is not SystemExit:
            raise
        return int(end.code or 0)
    return 0
