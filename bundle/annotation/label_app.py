"""MONAI Label's app ``monaibundle``, set up with this bundle."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bundle.errors import CallError
from bundle.stages import BUNDLE_ROOT

__all__ = ["NAME", "TRAINED", "build_app", "link_models", "training_settings"]

# MONAI Label derives a model's task from its name.
NAME = "optic_disc_cup_segmentation"
TRAINED = "model_trained.pt"
"""File that the server's training writes, next to the models that it starts from."""


def build_app(folder: Path, models: Sequence[Path] = (), train: Sequence[str] = ()) -> Path:
    """Make or renew the app; models that were trained in it are kept.

    Args:
        folder: receives MONAI Label's app as ``monaibundle``, with the bundle in ``model/<NAME>``.
        models: weights to offer besides the source model, each as ``model_<its folder's name>.pt``.
        train: ``key=value`` for keys at the top of ``configs/train.json``; a value that is not JSON is text.

    Returns:
        Folder of the app.

    Raises:
        CallError: a training key is unknown, or two models would have the same name.
    """
    app = folder / "monaibundle"
    if not (app / "main.py").is_file():
        download = ["apps", "--download", "--name", app.name, "--output", str(folder)]
        subprocess.run([sys.executable, "-m", "monailabel.main", *download], check=True)
    root = app / "model" / NAME
    for part in ("configs", "models"):
        (root / part).mkdir(parents=True, exist_ok=True)
    configs = BUNDLE_ROOT / "configs"
    for name in ("inference.json", "metadata.json", "logging.conf"):
        shutil.copyfile(configs / name, root / "configs" / name)
    settings = training_settings(json.loads((configs / "train.json").read_text(encoding="utf-8")), train)
    (root / "configs" / "train.json").write_text(json.dumps(settings, indent=2) + "\n", encoding="utf-8")
    link_models(root / "models", models)
    return app


def training_settings(config: Mapping[str, Any], changes: Sequence[str]) -> dict[str, Any]:
    """``train.json`` for the server: the trained model can be chosen there, and every request trains from the start.

    The server passes the items, crops and whole photographs alike. 3D Slicer gives no run id, and MONAI then evaluates
    everything in the config: all that lists a data set is therefore removed, and one of the two names of the run. A
    photograph that cannot be used is logged and left out, but does not end the server's task with a status.

    Args:
        config: the content of ``configs/train.json``.
        changes: ``key=value`` for its keys.

    Raises:
        CallError: a key is unknown.

    Example:
        >>> settings = training_settings({"items": [], "batch_size": 8, "view": "crop"}, ["batch_size=2"])
        >>> settings["batch_size"], settings["view"], "items" in settings
        (2, 'auto', False)
    """
    settings = {key: value for key, value in config.items() if key not in ("items", "split", "training")}
    settings |= {"model_file": f"$@bundle_root + '/models/{TRAINED}'", "resume": False, "view": "auto"}
    if "run" in config:
        settings["run"] = [step for step in config["run"] if "exit_status" not in step]
    for change in changes:
        key, _, text = change.partition("=")
        if key not in config:
            raise CallError(f"--train {change}: configs/train.json has no key {key}.", "Pass --train KEY=VALUE.")
        try:
            settings[key] = json.loads(text)
        except json.JSONDecodeError:
            settings[key] = text
    return settings


def link_models(folder: Path, models: Sequence[Path]) -> None:
    """Put links to the shipped models and to ``models`` into ``folder``, in place of those of earlier calls.

    Args:
        folder: of the app's models.
        models: weights to offer besides the shipped ones.

    Raises:
        CallError: two of them would have the same name.
    """
    for path in folder.iterdir():
        if path.is_symlink():
            path.unlink()
    # By default MONAI Label uses the model with the shortest name, so all others need longer ones.
    links = {path.name: path for path in (BUNDLE_ROOT / "models").glob("*.pt")}
    for path in models:
        name = f"model_{path.absolute().parent.name}.pt"
        if name in links or name == TRAINED:
            raise CallError(f"--model {path}: there is already a {name}.", "Rename the folder that holds it.")
        links[name] = path.absolute()
    for name, path in links.items():
        (folder / name).symlink_to(path)
