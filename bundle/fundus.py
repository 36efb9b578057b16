"""The command ``fundus``: segment photographs, adapt to a camera and score a model, from any folder.

    fundus segment DIR [OUT]     masks, overlays, tables and a page of the photographs in DIR
    fundus adapt DIR OUT         adapt the model to the camera that took DIR, without labels, and segment them with it
    fundus evaluate DIR OUT      score a model on photographs with labels
    fundus refine DIR OUT        pseudo-labels of photographs
    fundus train DIR OUT         train a model on photographs with labels

Every key of a stage's config is an option, such as --checkpoint FILE, --view crop or --device cuda:0; for a nested one,
give the path to it, such as --train#optimizer#lr 1e-4. fundus COMMAND --help lists them. --config FILE merges a JSON or
YAML file over the stage's config (several with commas between them); --args_file FILE reads options from such a file.

Status: 0 done; 1 some photographs were unreadable and all others are done; 2 a wrong call; any other, something
unexpected happened.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

from monai.bundle import ConfigParser, ConfigWorkflow

from bundle._version import __version__
from bundle.arguments import Arguments, config_content, read_arguments
from bundle.command_line import end_in_one_line
from bundle.errors import CallError
from bundle.handlers.bar import job_at_work
from bundle.settings import SETTINGS, check_overrides, first_part, known_keys, nearest
from bundle.stages import BUNDLE_ROOT, STAGES, run_stage
from bundle.terminal import Terminal

__all__ = ["main"]

COMMANDS = {
    "segment": "inference",
    "adapt": "adaptation",
    "evaluate": "evaluation",
    "refine": "refinement",
    "train": "training",
}
"""Stage of each command."""
_NOT_HERE = ("config_file", "run_id", "init_id", "final_id", "meta_file", "logging_file")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command.

    Args:
        arguments: those of the command line, without the program; this process's by default.

    Returns:
        Exit status, see the module.

    Raises:
        CallError: a wrong call; a process ends with its line and status 2.
    """
    end_in_one_line()
    call = read_arguments(sys.argv[1:] if arguments is None else arguments)
    if "version" in call.flags:
        print(f"fundus {__version__}")
        return 0
    wants_help = "help" in call.flags or "h" in call.flags
    if not call.words:
        print(__doc__)
        return 0
    command = call.words[0]
    if command not in COMMANDS:
        raise CallError(
            f"there is no command {command!r}{nearest(command, COMMANDS)}.", f"Say one of {', '.join(COMMANDS)}."
        )
    if wants_help:
        print(_help(command))
        return 0
    files, settings = _settings(call, COMMANDS[command])
    settings |= _folders(call, settings)
    end_in_one_line(Path(os.path.expanduser(settings["output_dir"])))  # noqa: PTH111
    stages = ["adaptation", "inference"] if command == "adapt" else [COMMANDS[command]]
    terminal = Terminal(Path(os.path.expanduser(settings["output_dir"])), stages)  # noqa: PTH111
    with ExitStack() as open_until_the_end, terminal.at_work():

        def ready(workflow: ConfigWorkflow) -> None:
            if job_at_work() is None:
                open_until_the_end.enter_context(terminal.plan(workflow))

        run = partial(run_stage, ready=ready, logging_file=False)
        if command == "adapt":
            status = _adapt(run, files, settings)
        else:
            status = run(COMMANDS[command], config_file=files, **settings)
    terminal.sum_up()
    return status


def _help(command: str) -> str:
    """The options of a command, with their defaults."""
    line = next(line for line in (__doc__ or "").splitlines() if line.startswith(f"    fundus {command} "))
    stages = ("adaptation", "inference") if command == "adapt" else (COMMANDS[command],)
    defaults = dict(item for stage in reversed(stages) for item in config_content([_config(stage)]).items())
    lines = [line.strip(), ""]
    for key, setting in SETTINGS.items():
        if key in defaults and key not in ("bundle_root", "dataset_dir", "output_dir"):
            default = defaults[key]
            computed = default is None or isinstance(default, dict) or str(default).startswith("$")
            allowed = setting.allowed().removesuffix(", or null") + ("" if computed else f"; by default {default}")
            lines += [f"  --{key}: {setting.description}", f"      {allowed}"]
    return "\n".join(lines)


def _settings(call: Arguments, stage: str) -> tuple[list[str], dict[str, Any]]:
    """The config files, the bundle's own first, and the values of the options."""
    values = call.values()
    args_file = values.pop("args_file", None)
    if args_file is not None:
        values = config_content([args_file]) | values
    overlays = [each for each in str(values.pop("config", "")).split(",") if each]
    config_content([_config(stage), *overlays])
    unknown = [key for key in values if key in _NOT_HERE]
    if unknown:
        raise CallError(f"fundus has no option --{unknown[0]}.", "Pass --config to merge a file over the stage's own.")
    return [_config(stage), *overlays], values


def _folders(call: Arguments, settings: dict[str, Any]) -> dict[str, str]:
    """The folders of photographs and of results that the command names.

    Raises:
        CallError: one is missing, named twice, or there are more.
    """
    command, *folders = call.words
    if len(folders) > 2:
        raise CallError(f"{folders[2]!r} belongs to no option.", "Put a name that holds spaces into quotes.")
    named = dict(zip(("dataset_dir", "output_dir"), folders, strict=False))
    for key in named:
        if key in settings:
            raise CallError(f"{key} is given twice.", f"Say fundus {command} DIR OUT.")
    given = {**named, **settings}
    if command == "segment" and "dataset_dir" in given and "output_dir" not in given:
        folder = Path(os.path.expanduser(given["dataset_dir"])).absolute()  # noqa: PTH111
        named["output_dir"] = f"{folder.name or 'photographs'}_segmented"
    elif missing := [key for key in ("dataset_dir", "output_dir") if key not in given]:
        where = "DIR [OUT]" if command == "segment" else "DIR OUT"
        raise CallError(f"{missing[0]} is missing.", f"Say fundus {command} {where}.")
    return named


def _adapt(run: Callable[..., int], files: list[str], settings: dict[str, Any]) -> int:
    """Adapt, then segment with the model that this has written."""
    known = {"adaptation": known_keys(files), "inference": known_keys([_config("inference")])}
    check_overrides("fundus adapt", settings, [*known["adaptation"], *known["inference"]])
    its = {stage: {key: settings[key] for key in settings if first_part(key) in known[stage]} for stage in known}
    of_files = {key: value for path in files[1:] for key, value in ConfigParser.load_config_file(path).items()}
    for key, value in of_files.items():
        # Of what is laid over the adaptation, plain settings and the network are those of the segmentation too.
        if first_part(key) in known["inference"] and (key in SETTINGS or first_part(key) == "network_def"):
            its["inference"].setdefault(key, value)
    run("adaptation", config_file=files, **its["adaptation"])
    model = Path(os.path.expanduser(settings["output_dir"])) / "model.pt"  # noqa: PTH111
    return run("inference", **its["inference"] | {"checkpoint": str(model)})


def _config(stage: str) -> str:
    return str(BUNDLE_ROOT / "configs" / f"{STAGES[stage]}.json")


if __name__ == "__main__":
    sys.exit(main())
