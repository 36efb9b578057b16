"""Run a stage of the bundle from Python, as ``python -m monai.bundle run`` does."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from inspect import signature
from os import PathLike
from typing import Any

import ignite.distributed as idist
from monai.bundle import ConfigWorkflow
from monai.utils import ensure_tuple

from bundle._root import BUNDLE_ROOT
from bundle.arguments import added_recipes, settled
from bundle.command_line import is_command, log_without_call_errors
from bundle.errors import CallError, SomeUnreadableError, bare_call_errors
from bundle.io.output_folder import release
from bundle.settings import check_overrides, known_keys

__all__ = ["BUNDLE_ROOT", "STAGES", "exit_status", "run_stage"]


STAGES = {
    "training": "train",
    "refinement": "refine",
    "adaptation": "adapt",
    "evaluation": "evaluate",
    "inference": "inference",
}
"""Config file (without suffix) of each stage."""


def exit_status(unreadable: Collection[str]) -> None:
    """Say that some photographs were unreadable, if so; the last step of a stage.

    A command ends with status 1. In any other program, such as a worker of a process pool, which an exit would end
    without a word, an exception says so. Each of several processes waits for the others, because torchrun ends them
    all when the first one fails.

    Args:
        unreadable: names of these photographs.

    Raises:
        SystemExit: with status 1, in a command.
        SomeUnreadableError: in any other program.
    """
    idist.barrier()
    release()
    if unreadable:
        raise SystemExit(1) if is_command() else SomeUnreadableError(unreadable)


def run_stage(
    stage: str,
    config_file: str | PathLike[str] | Sequence[str] = (),
    ready: Callable[[ConfigWorkflow], None] = lambda workflow: None,
    **overrides: Any,
) -> int:
    """Run a stage in this process.

    Args:
        stage: a name of ``STAGES``.
        config_file: its config, or several that are merged; the bundle's own by default. ``recipes`` add up.
        ready: called with the stage's workflow before it runs.
        overrides: keys of its config; nested ones with ``#``, such as ``**{"train#optimizer#lr": 1e-4}``.
            ``logging_file=False`` leaves logging as it is.

    Returns:
        Exit status: 0, or 1 if some photographs were unreadable and all others are done.

    Raises:
        CallError: when the call cannot succeed.
        ValueError: when there is no such stage.

    Example:
        >>> run_stage("adaptation", recip="bn")
        Traceback (most recent call last):
        ...
        bundle.errors.CallError: adaptation has no key 'recip' (did you mean recipe?). Its keys: docs/reference/keys.md.
    """
    if stage not in STAGES:
        raise ValueError(f"stage is {stage!r}; allowed are {', '.join(STAGES)}.")
    configs = BUNDLE_ROOT / "configs"
    files = [str(path) for path in ensure_tuple(config_file)] or [str(configs / f"{STAGES[stage]}.json")]
    of_workflow = signature(ConfigWorkflow.__init__).parameters
    keys = {key: value for key, value in overrides.items() if key not in of_workflow or key == "tracking"}
    check_overrides(stage, keys, known_keys(files))
    recipes = added_recipes(files, keys)
    settings: dict[str, Any] = {
        "meta_file": str(configs / "metadata.json"),
        "logging_file": str(configs / "logging.conf"),
        # Before all others, so that an override such as recipes#mine#max_epochs finds its recipe.
        **recipes,
        **overrides,
        **settled(keys),
        **recipes,
    }
    try:
        workflow = ConfigWorkflow(config_file=files, run_id=stage, **settings)
    except KeyError as error:
        nested = [key for key in keys if "#" in key or "::" in key]
        remedy = "A nested key is the path to it in the stage's config."
        raise CallError(f"{stage} lacks a part of {', '.join(nested)} ({error.args[0]}).", remedy) from None
    if settings["logging_file"] is not False:
        log_without_call_errors()
    try:
        with bare_call_errors():
            workflow.initialize()
            ready(workflow)
            workflow.run()
    except SomeUnreadableError:
        return 1
    except SystemExit as end:
        # The last step of a stage ends a command with this.
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    finally:
        release()
    return 0
