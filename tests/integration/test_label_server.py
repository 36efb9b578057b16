"""MONAI Label's real server with the bundle in it, asked over REST and with its own client; see ``make test-label``."""

from __future__ import annotations

import csv
import io
import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from bundle.stages import BUNDLE_ROOT
from bundle.synthetic.phantoms.photographs import make_crop, make_photograph, write_dataset

pytest.importorskip("monailabel", reason="needs MONAI Label's own environment: make test-label")

import psutil
import requests
import SimpleITK as sitk  # noqa: N813
from monailabel.client import MONAILabelClient

MODEL = "optic_disc_cup_segmentation"
TRAINED = "model_trained.pt"
STARTS_WITHIN = 300
ENDS_WITHIN = 600
# The first test waits for a server, an adaptation and the command line, each of which first imports everything.
pytestmark = pytest.mark.timeout(1200)


def off_centre() -> Any:
    """A photograph that is not square, its disc in the upper right."""
    phantom = make_photograph(23, size=(720, 480))
    return phantom.image[90:], phantom.label[90:]


def write_photographs(folder: Path) -> None:
    photograph, _ = off_centre()
    crop = make_crop(3, size=(400, 300), camera="cool_hazy").image
    Image.fromarray(photograph).save(folder / "photograph.png")
    Image.fromarray(crop).save(folder / "crop.png")
    Image.fromarray(make_crop(5).image).save(folder / "camera.jpg", quality=95)
    Image.fromarray(photograph).save(folder / "long_suffix.jpeg", quality=95)
    alpha = np.tile(np.linspace(0, 255, crop.shape[1]).astype(np.uint8), (crop.shape[0], 1))
    Image.fromarray(np.dstack([crop, alpha])).save(folder / "transparent.png")
    Image.fromarray(photograph).convert("L").save(folder / "grey.png")


@dataclass
class Server:
    """A running server and what it was given."""

    url: str
    studies: Path
    models: Path
    process: subprocess.Popen

    def request(self, method: str, path: str, **kwargs: Any) -> requests.Response:
        return requests.request(method, f"{self.url}/{path}", timeout=ENDS_WITHIN, **kwargs)

    def infer(self, image: str = "", file: Path | None = None, **params: Any) -> requests.Response:
        form: dict[str, Any] = {"params": (None, json.dumps({"device": "cpu"} | params))}
        if file is not None:
            form["file"] = (file.name, file.read_bytes())
        return self.request("POST", f"infer/{MODEL}", params={"image": image, "output": "image"}, files=form)

    def mask(self, *args: Any, **kwargs: Any) -> np.ndarray:
        response = self.infer(*args, **kwargs)
        assert response.status_code == 200, response.text
        return decoded(response.content)

    def wait(self, path: str) -> dict[str, Any]:
        """The outcome of the background task whose status is at ``path``."""
        end = time.monotonic() + ENDS_WITHIN
        while (task := self.request("GET", path).json())["status"] in ("SUBMITTED", "RUNNING"):
            assert time.monotonic() < end, task
            time.sleep(0.5)
        assert task["status"] == "DONE", "\n".join(task["details"])
        return task


def decoded(content: bytes) -> np.ndarray:
    with Image.open(io.BytesIO(content)) as picture:
        assert (picture.format, picture.mode) == ("PNG", "L")
        return np.asarray(picture)


def read(path: Path) -> np.ndarray:
    return decoded(Path(path).read_bytes())


def dice(a: np.ndarray, b: np.ndarray) -> float:
    return float(2 * np.count_nonzero(a & b) / (np.count_nonzero(a) + np.count_nonzero(b)))


def command_line(stage: str, config: str, dataset: Path, output: Path, *more: str) -> None:
    command = [sys.executable, "-m", "monai.bundle", "run", stage, "--config_file", f"configs/{config}.json"]
    command += ["--dataset_dir", str(dataset), "--output_dir", str(output), *more]
    done = subprocess.run(command, cwd=BUNDLE_ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]


@pytest.fixture(scope="module")
def photographs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("photographs")
    write_photographs(folder)
    return folder


@pytest.fixture(scope="module")
def expected(photographs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The command line's masks."""
    output = tmp_path_factory.mktemp("expected")
    command_line("inference", "inference", photographs, output)
    return output / "masks"


@pytest.fixture(scope="module")
def adapted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Weights adapted to another camera."""
    folder = tmp_path_factory.mktemp("target")
    write_dataset(folder, 4, kind="crop", cameras=("cool_hazy",), size=256, seed=300, labels=False)
    output = folder / "adapted"
    command_line("adaptation", "adapt", folder, output, "--recipe", "bn", "--view", "crop")
    return output / "model.pt"


@pytest.fixture(scope="module")
def server(photographs: Path, adapted: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("server")
    shutil.copytree(photographs, folder / "studies")
    (folder / "studies" / "broken.png").write_bytes((photographs / "crop.png").read_bytes()[:5000])
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command: list[str | Path] = [
        sys.executable,
        "-m",
        "bundle.annotation.label_server",
        "--studies",
        folder / "studies",
    ]
    command += ["--app", folder / "app", "--port", str(port), "--model", adapted]
    command += ["--train", "learning_rate=0.0001", "--train", "batch_size=2"]
    environment = {key: value for key, value in os.environ.items() if not key.startswith("MONAI_")}
    with (folder / "log.txt").open("w") as log:
        process = subprocess.Popen(command, cwd=folder, env=environment, stdout=log, stderr=subprocess.STDOUT)
    models = folder / "app" / "monaibundle" / "model" / MODEL / "models"
    running = Server(f"http://127.0.0.1:{port}", folder / "studies", models, process)
    try:
        end = time.monotonic() + STARTS_WITHIN
        while True:
            try:
                requests.get(f"{running.url}/info/", timeout=5).raise_for_status()
                break
            except requests.RequestException:
                late = process.poll() is not None or time.monotonic() > end
                assert not late, (folder / "log.txt").read_text()[-3000:]
                time.sleep(0.5)
        yield running
    finally:
        process.terminate()
        try:
            process.wait(timeout=30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@pytest.fixture(scope="module")
def client(server: Server, tmp_path_factory: pytest.TempPathFactory) -> MONAILabelClient:
    return MONAILabelClient(server.url, tmpdir=str(tmp_path_factory.mktemp("client")))


PHOTOGRAPHS = ("photograph.png", "crop.png", "camera.jpg", "long_suffix.jpeg", "transparent.png", "grey.png")


def test_it_listens_on_loopback_only(server: Server) -> None:
    listening = [c for c in psutil.Process(server.process.pid).net_connections() if c.status == psutil.CONN_LISTEN]
    assert {connection.laddr.ip for connection in listening} == {"127.0.0.1"}


def test_info_lists_the_labels_with_the_values_of_the_masks(server: Server, client: MONAILabelClient) -> None:
    info = client.info()
    model = info["models"][MODEL]
    assert model["labels"] == {"disc_rim": 1, "optic_cup": 2}
    assert info["labels"] == ["disc_rim", "optic_cup"]
    assert (model["type"], model["dimension"]) == ("segmentation", 2)
    assert model["config"]["model_filename"][0] == "model.pt"
    assert "model_adapted.pt" in model["config"]["model_filename"]
    assert set(info["trainers"]) == {MODEL}
    # The values mean what the names say: of a phantom, the disc's outline and the cup's.
    mask, (_, label) = server.mask("photograph"), off_centre()
    assert set(np.unique(mask)) == {0, 1, 2}
    assert dice(mask > 0, label > 0) > 0.9
    assert dice(mask == 2, label == 2) > 0.7


def test_the_datastore_holds_every_format(server: Server, client: MONAILabelClient) -> None:
    assert {Path(name).stem for name in (*PHOTOGRAPHS, "broken.png")} <= set(client.datastore()["objects"])


@pytest.mark.parametrize("name", PHOTOGRAPHS)
def test_inference_by_id_equals_the_command_line(name: str, server: Server, expected: Path) -> None:
    mask = server.mask(Path(name).stem)
    with Image.open(server.studies / name) as picture:
        assert mask.shape == picture.size[::-1]
    assert mask.any()
    np.testing.assert_array_equal(mask, read(expected / f"{Path(name).stem}.png"))


@pytest.mark.parametrize("name", PHOTOGRAPHS)
def test_inference_by_upload_equals_the_command_line(
    name: str, server: Server, photographs: Path, expected: Path
) -> None:
    mask = server.mask(file=photographs / name)
    np.testing.assert_array_equal(mask, read(expected / f"{Path(name).stem}.png"))


def test_the_client_gets_the_same(client: MONAILabelClient, photographs: Path, expected: Path) -> None:
    for source in ({"image_id": "photograph"}, {"image_id": "", "file": str(photographs / "photograph.png")}):
        path, params = client.infer(MODEL, params={"device": "cpu"}, **source)
        assert params["label_names"] == {"disc_rim": 1, "optic_cup": 2}
        np.testing.assert_array_equal(read(path), read(expected / "photograph.png"))


def test_batch_inference_saves_the_same_masks(server: Server, client: MONAILabelClient, expected: Path) -> None:
    wanted = ["camera", "grey", "photograph"]
    params = {"device": "cpu", "multi_gpu": False, "max_workers": 1, "label_tag": "original", "images": wanted}
    assert server.request("POST", f"batch/infer/{MODEL}", json=params).status_code == 200
    server.wait("batch/infer")
    for name in wanted:
        np.testing.assert_array_equal(read(client.download_label(name, "original")), read(expected / f"{name}.png"))


@pytest.mark.parametrize("by", ["id", "upload"])
def test_a_broken_photograph_costs_only_its_own_answer(by: str, server: Server, expected: Path) -> None:
    response = server.infer("broken") if by == "id" else server.infer(file=server.studies / "broken.png")
    assert response.status_code == 500
    assert not response.content.startswith(b"\x89PNG")
    np.testing.assert_array_equal(server.mask("crop"), read(expected / "crop.png"))


def test_the_model_is_chosen_by_its_file(
    server: Server, photographs: Path, adapted: Path, expected: Path, tmp_path: Path
) -> None:
    command_line("inference", "inference", photographs, tmp_path, "--checkpoint", str(adapted))
    source, own = read(expected / "crop.png"), read(tmp_path / "masks" / "crop.png")
    assert (source != own).any()
    np.testing.assert_array_equal(server.mask("crop", model_filename="model_adapted.pt"), own)
    np.testing.assert_array_equal(server.mask("crop", model_filename="model.pt"), source)
    np.testing.assert_array_equal(server.mask("crop"), source)
    # As docs/monai_label.md warns.
    np.testing.assert_array_equal(server.mask("crop", model_filename="model_missing.pt"), source)


def test_a_model_of_another_kind_is_refused(server: Server, expected: Path) -> None:
    assert server.infer("crop", model_filename="locator.pt").status_code == 500
    np.testing.assert_array_equal(server.mask("crop"), read(expected / "crop.png"))


@pytest.fixture(scope="module")
def labelled(server: Server, client: MONAILabelClient, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, ...]:
    """Photographs uploaded and a label of each saved, as clients do: PNG from a script, NIfTI from 3D Slicer.

    The last is a whole photograph, the others are crops.
    """
    folder = tmp_path_factory.mktemp("labelled")
    names = tuple(f"labelled_{number}" for number in range(4))
    for number, name in enumerate(names):
        phantom = make_crop(60 + number, size=(300, 260), camera="dim_blurred")
        image, label = off_centre() if name == names[-1] else (phantom.image, phantom.label)
        Image.fromarray(image).save(folder / f"{name}.png")
        Image.fromarray(label).save(folder / f"{name}_label.png")
        assert client.upload_image(str(folder / f"{name}.png"), name) == {"image": name}
        path = folder / f"{name}_label.png"
        if number % 2:
            # What 3D Slicer does: the picture is a volume of one slice.
            volume = sitk.JoinSeries(sitk.ReadImage(str(path)))
            path = path.with_name(f"{name}_label.nii.gz")
            sitk.WriteImage(volume, str(path))
        assert client.save_label(name, str(path))["label"] == name
        assert Path(client.download_label(name, "final")).read_bytes() == path.read_bytes()
    return names


def test_training_on_saved_labels_makes_a_model_to_choose(
    server: Server,
    client: MONAILabelClient,
    labelled: tuple[str, ...],
    photographs: Path,
    expected: Path,
    tmp_path: Path,
) -> None:
    assert client.info()["datastore"]["completed"] == len(labelled)
    # 3D Slicer sends every option that the server lists, the first of each choice.
    options = client.info()["trainers"][MODEL]["config"]
    params = {key: value[0] if isinstance(value, list) else value for key, value in options.items()}
    client.train_start(MODEL, params | {"max_epochs": 2})
    task = server.wait("train/")
    assert sum("Engine run finished" in line for line in task["details"]) == 2, "\n".join(task["details"])
    # The held-out photograph was searched for its disc, and its NIfTI label lay where the disc is.
    with (server.models.parent / "output" / "training" / "metrics.csv").open(newline="") as file:
        (scores,) = csv.DictReader(file)
    assert scores["image"] == f"{labelled[-1]}.png"
    assert float(scores["optic_disc_dice"]) > 0.9

    command_line("inference", "inference", photographs, tmp_path, "--checkpoint", str(server.models / TRAINED))
    source, trained = read(expected / "photograph.png"), read(tmp_path / "masks" / "photograph.png")
    np.testing.assert_array_equal(server.mask("photograph", model_filename=TRAINED), trained)
    np.testing.assert_array_equal(server.mask("photograph"), source)
    # Two epochs at a low rate change the weights, but not by much: they started from the source's.
    assert dice(trained > 0, source > 0) > 0.9
    weights = [torch.load(server.models / name, weights_only=True) for name in ("model.pt", TRAINED)]
    head = [state["segmentation_head.1.weight"] for state in weights]
    assert 0 < (head[0] - head[1]).abs().max() < 0.05


def test_one_label_is_enough_to_train(server: Server, client: MONAILabelClient, labelled: tuple[str, ...]) -> None:
    for name in labelled[1:]:
        server.request("DELETE", "datastore/label", params={"id": name, "tag": "final"})
    # The server notices by watching its folder.
    end = time.monotonic() + 60
    while client.info()["datastore"]["completed"] > 1:
        assert time.monotonic() < end, client.datastore()
        time.sleep(0.5)
    trained = server.models / TRAINED
    before = trained.stat().st_mtime_ns if trained.exists() else 0
    client.train_start(MODEL, {"device": "cpu", "max_epochs": 1, "model_filename": "model_adapted.pt"})
    server.wait("train/")
    assert trained.stat().st_mtime_ns > before
