"""The bundle's say in ``python -m monai.bundle run``.

MONAI's command line ignores keys that a config does not have and takes values apart (``bundle.arguments``). Every
stage's config therefore calls ``settle`` before all else, and ``begin`` before it writes.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from inspect import signature
from typing import Any

import monai.bundle

from bundle.arguments import added_recipes, config_content, read_arguments, read_by_fire, settled
from bundle.data.names import with_names
from bundle.errors import CallError
from bundle.io.output_folder import claim
from bundle.settings import SETTINGS, check_overrides, known_keys, nearest
from bundle.stages import STAGES, run_stage

__all__ = ["begin", "settle"]

_OF_RUN = [name for name in signature(monai.bundle.run).parameters if name not in ("override", "tracking")]
_taken_over: list[str] = []


def settle(stage: str) -> None:
    """Check the command line that started this process, and run the stage with what was typed where MONAI reads another
    thing into it. In a process that ``monai.bundle run`` did not start, and in a stage that this one runs, do nothing.

    Args:
        stage: the one that the config is of.

    Raises:
        CallError: the command line names a stage or key that the config does not have, a value that is not allowed, or
            something that belongs to no key.
        SystemExit: with the stage's status, where it was run here.
    """
    main = getattr(sys.modules["__main__"], "__spec__", None)
    if _taken_over or main is None or main.name not in ("monai.bundle", "monai.bundle.__main__"):
        return
    call = read_arguments(sys.argv[1:])
    given = call.values()
    files, values = _merged(given)
    _check_words(call.words[1:], stage, given.get("run_id"), files)
    overrides = {key: value for key, value in values.items() if key not in _OF_RUN}
    check_overrides(stage, overrides, known_keys(files))
    wanted = _from_home(config_content(files)) | overrides
    held = {key: _as_monai_reads(call.flags.get(key), values.get(key)) for key in wanted}
    if settled(wanted) != held or added_recipes(files, overrides):
        _taken_over.append(stage)
        ours = {key: values[key] for key in ("meta_file", "logging_file", "init_id", "final_id") if key in values}
        raise SystemExit(run_stage(stage, config_file=files, **ours, **wanted))


def begin(stage: str, output_dir: str | os.PathLike[str], items: Sequence[Any]) -> None:
    """The first step of a stage that costs anything: find the photographs, then ``claim`` the output folder.

    Args:
        stage: the one that the config is of.
        output_dir: its output folder.
        items: the photographs, which a config that passes them has found before the output folder is made. None of
            them is read.

    Raises:
        CallError: see ``bundle.io.output_folder.claim``, and ``with_names`` of items that another program has made.
    """
    with_names(items)
    claim(output_dir, stage)


def _merged(given: Mapping[str, Any]) -> tuple[list[str], dict[str, Any]]:
    """The config files, and all values, those of ``args_file`` among them."""
    of_file = config_content([given["args_file"]]) if "args_file" in given else {}
    values = {**of_file, **given}
    files = values.get("config_file") or []
    if isinstance(files, str):
        files = [files] if os.path.isfile(files) else files.split(",")  # noqa: PTH113
    return [str(path) for path in files], values


def _check_words(words: list[str], stage: str, run_id: str | None, files: list[str]) -> None:
    """Refuse what belongs to no key. Otherwise a name with a space, not quoted, would be cut at it in silence."""
    asked = words[0] if words else run_id or "run"
    if words[1:]:
        raise CallError(f"{words[1]!r} belongs to no key.", "Put a value that holds spaces into quotes.")
    if asked in (stage, "run"):
        return
    names = ", ".join(files)
    if asked in STAGES:
        raise CallError(f"{names} is not of the stage {asked}.", f"Pass --config_file configs/{STAGES[asked]}.json.")
    if asked not in config_content(files):
        raise CallError(f"{names} has no stage {asked!r}{nearest(asked, STAGES)}.", f"Say run {stage}.")


def _from_home(config: Mapping[str, Any]) -> dict[str, str]:
    """The paths in the user's config files that start with ``~``, which MONAI leaves as they are."""
    paths = {key: value for key, value in config.items() if key in SETTINGS and SETTINGS[key].kind == "path"}
    return {key: value for key, value in paths.items() if isinstance(value, str) and value.startswith("~")}


def _as_monai_reads(text: str | None, value: Any) -> Any:
    """What MONAI's config holds of a key: what Fire reads into a flag's text, or a file's value as it is."""
    return value if text is None else read_by_fire(text)
