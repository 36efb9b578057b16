"""Start MONAI Label's stock app ``monaibundle`` with this bundle in it. Run by ``make label-server``.

Usage: python -m bundle.annotation.label_server --studies FOLDER
    [--model adapted/model.pt] [--train batch_size=2] [--port 8000]
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from monai.bundle import ConfigParser

from bundle.errors import CallError
from bundle.networks.weights import load_weights
from bundle.stages import BUNDLE_ROOT

# MONAI Label tells a model's task by its name.
NAME = "optic_disc_cup_segmentation"
TRAINED = "model_trained.pt"
# The defaults leave out formats that the bundle reads.
EXTENSIONS = ("png", "jpg", "jpeg", "tif", "tiff", "bmp", "nii", "nii.gz")


def main(arguments: Sequence[str] | None = None) -> None:
    """Build the app and become its server.

    Raises:
        CallError: there is no such folder or file, a model does not fit, or a training key is unknown.
    """
    parser = argparse.ArgumentParser(description="Serve the bundle with MONAI Label.")
    parser.add_argument("--studies", type=Path, required=True, help="folder of photographs; labels are saved below it")
    parser.add_argument("--model", type=Path, action="append", default=[], help="another model.pt to offer; repeatable")
    parser.add_argument("--train", action="append", default=[], metavar="KEY=VALUE", help="a key of configs/train.json")
    parser.add_argument(
        "--app", type=Path, default=BUNDLE_ROOT / "output" / "label_server", help="where the app is made"
    )
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on; other than loopback needs care")
    parser.add_argument("--port", type=int, default=8000)
    call = parser.parse_args(arguments)
    if not call.studies.is_dir():
        raise CallError(f"the folder {call.studies} does not exist.", "Pass a folder of photographs with --studies.")
    for path in call.model:
        check_weights(path)
    app = build_app(call.app.absolute(), call.model, call.train)
    os.environ.setdefault("MONAI_LABEL_DATASTORE_FILE_EXT", json.dumps([f"*.{suffix}" for suffix in EXTENSIONS]))
    os.environ["TMPDIR"] = str(temporary_folder(call.app.absolute()))
    command = [sys.executable, "-m", "monailabel.main", "start_server"]
    command += ["--app", str(app), "--studies", str(call.studies.absolute())]
    command += ["--host", call.host, "--port", str(call.port)]
    command += ["--conf", "models", NAME, "--conf", "zoo_source", "local", "--conf", "sam2", "false"]
    os.execv(sys.executable, command)


def build_app(folder: Path, models: Sequence[Path] = (), train: Sequence[str] = ()) -> Path:
    """Make or renew the app; what was trained in it is kept.

    Args:
        folder: receives the stock app as ``monaibundle``, in it the bundle as ``model/<NAME>``.
        models: weights to offer beside the source model, each as ``model_<its folder's name>.pt``.
        train: ``key=value`` for keys at the top of ``configs/train.json``; values in JSON, or else text.

    Returns:
        The app.
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


def temporary_folder(folder: Path) -> Path:
    """A folder for the server's temporary files that no other user may enter, emptied.

    MONAI Label leaves an uploaded photograph that cannot be read in the temporary folder.
    """
    temporary = folder / "temporary"
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(mode=0o700, parents=True)
    return temporary


def training_settings(config: dict[str, Any], changes: Sequence[str]) -> dict[str, Any]:
    """``train.json`` for the server: the result becomes a model to choose, and every request starts anew.

    The server brings the items, of crops and whole photographs alike. 3D Slicer names no run id, which makes MONAI
    evaluate everything there is: what lists a data set must go, and what runs may be there only once.
    """
    settings = {key: value for key, value in config.items() if key not in ("items", "split", "training")}
    settings |= {"model_file": f"$@bundle_root + '/models/{TRAINED}'", "resume": False, "view": "auto"}
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
    """Put links to the source model, the locator and ``models`` into ``folder``, and remove those of earlier calls."""
    for path in folder.iterdir():
        if path.is_symlink():
            path.unlink()
    # MONAI Label takes the model with the shortest name unless it is told which, so all others need longer ones.
    links = {path.name: path for path in (BUNDLE_ROOT / "models").glob("*.pt")}
    for path in models:
        name = f"model_{path.absolute().parent.name}.pt"
        if name in links or name == TRAINED:
            raise CallError(f"--model {path}: there is already a {name}.", "Rename the folder that holds it.")
        links[name] = path.absolute()
    for name, path in links.items():
        (folder / name).symlink_to(path)


def check_weights(path: Path) -> None:
    """Refuse weights that are not there or do not fit, which the server would notice late or not at all."""
    parser = ConfigParser()
    parser.read_config(BUNDLE_ROOT / "configs" / "inference.json")
    load_weights(parser.get_parsed_content("network_def"), path)


if __name__ == "__main__":
    main()
