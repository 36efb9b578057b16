"""Start MONAI Label's server with this bundle. Run by ``make label-server``.

python -m bundle.annotation.label_server --studies FOLDER
    [--model adapted/model.pt] [--train batch_size=2] [--port 8000]
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

from monai.bundle import ConfigParser

from bundle.annotation.label_app import NAME, build_app
from bundle.data.formats import NIFTI_SUFFIXES, PICTURE_SUFFIXES
from bundle.errors import CallError
from bundle.networks.weights import load_weights
from bundle.stages import BUNDLE_ROOT

__all__ = ["main", "temporary_folder"]

# MONAI Label's default leaves out formats that the bundle reads; it heeds case, which cameras do not.
EXTENSIONS = tuple(
    written for suffix in (*PICTURE_SUFFIXES, *NIFTI_SUFFIXES) for written in (suffix[1:], suffix[1:].upper())
)


def main(arguments: Sequence[str] | None = None) -> None:
    """Build the app and replace this process by its server.

    Raises:
        CallError: there is no such folder or file, a model does not fit, or a training key is unknown.
    """
    call = parse(arguments)
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


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description="Serve the bundle with MONAI Label.")
    parser.add_argument("--studies", type=Path, required=True, help="folder of photographs; labels are saved below it")
    parser.add_argument("--model", type=Path, action="append", default=[], help="another model.pt to offer; repeatable")
    parser.add_argument("--train", action="append", default=[], metavar="KEY=VALUE", help="a key of configs/train.json")
    parser.add_argument(
        "--app", type=Path, default=BUNDLE_ROOT / "output" / "label_server", help="where the app is made"
    )
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on; other than loopback needs care")
    parser.add_argument("--port", type=int, default=8000)
    return parser.parse_args(arguments)


def check_weights(path: Path) -> None:
    """Check weights before the server starts, which would notice a missing or unsuitable file late or never.

    Raises:
        CallError: the file is missing or does not fit the network.
    """
    parser = ConfigParser()
    parser.read_config(BUNDLE_ROOT / "configs" / "inference.json")
    load_weights(parser.get_parsed_content("network_def"), path)


def temporary_folder(folder: Path) -> Path:
    """Make an empty folder for the server's temporary files that only this user can open.

    MONAI Label does not delete an uploaded photograph that it cannot read from the temporary folder.
    """
    temporary = folder / "temporary"
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(mode=0o700, parents=True)
    return temporary


if __name__ == "__main__":
    main()
