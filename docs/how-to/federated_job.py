"""A federated training of two made-up hospitals on this machine, over loopback.

    python docs/how-to/federated_job.py [--output output/federated] [--rounds 6]

Makes labelled photographs of one camera for each hospital, lets NVFlare train one model at both, and scores the model
before and after on new photographs of both cameras. Research use only.
"""

from __future__ import annotations

import argparse
import json
import shutil
from collections.abc import Sequence
from pathlib import Path

import torch
from monai_nvflare.client_algo_executor import ClientAlgoExecutor
from nvflare.apis.dxo import DataKind
from nvflare.app_common.aggregators import InTimeAccumulateWeightedAggregator
from nvflare.app_common.shareablegenerators import FullModelShareableGenerator
from nvflare.app_common.workflows.scatter_and_gather import ScatterAndGather
from nvflare.app_opt.pt.job_config.base_fed_job import BaseFedJob
from nvflare.app_opt.pt.job_config.model import PTModel

from bundle.deployment.federated import FederatedSite
from bundle.networks.unet import DiscCupUNet
from bundle.networks.weights import save_weights
from bundle.stages import run_stage
from bundle.synthetic.phantoms.photographs import write_dataset

HOSPITALS = {"hospital-1": "plain", "hospital-2": "cool_hazy"}
SETTINGS = {"image_size": 128, "batch_size": 4, "learning_rate": 0.002}


def federate(data: dict[str, Path], output: Path, rounds: int, start: Path) -> None:
    """Train the network at all sites together, from the weights in ``start``; ``output/server`` receives the result."""
    job = BaseFedJob(name="disc_and_cup", min_clients=len(data), key_metric="mean_dice")
    # NVFlare builds the network anew on the server, so its weights come from a file.
    ids = job.to_server(PTModel(DiscCupUNet(), initial_ckpt=str(start)))
    job.to_server(InTimeAccumulateWeightedAggregator(expected_data_kind=DataKind.WEIGHT_DIFF), id="aggregator")
    job.to_server(FullModelShareableGenerator(), id="generator")
    # A site that fails ends the job with its error; NVFlare's newer FedAvg does not take what MONAI's executor sends.
    workflow = ScatterAndGather(
        min_clients=len(data),
        num_rounds=rounds,
        wait_time_after_min_received=0,
        aggregator_id="aggregator",
        persistor_id=ids["persistor_id"],
        shareable_generator_id="generator",
        train_timeout=0,
    )
    job.to_server(workflow)
    for site, folder in data.items():
        algo = FederatedSite(str(folder), str(output / site), rounds, settings=SETTINGS)
        job.to(algo, site, id="algo")
        job.to(ClientAlgoExecutor(client_algo_id="algo", key_metric="mean_dice"), site, tasks=["train"])
    job.simulator_run(str(output / "server"), threads=len(data))


def main(arguments: Sequence[str] | None = None) -> None:
    """Make the hospitals, train, and print scores."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, default=Path("output/federated"))
    parser.add_argument("--rounds", type=int, default=6)
    parser.add_argument("--photographs", type=int, default=20, help="of each hospital")
    parser.add_argument("--empty", choices=HOSPITALS, help="a hospital without photographs, to see how the job ends")
    call = parser.parse_args(arguments)
    output = call.output.absolute()
    data = {site: output / "data" / site for site in HOSPITALS}
    for seed, (site, camera) in enumerate(HOSPITALS.items()):
        write_dataset(data[site], call.photographs, kind="crop", cameras=(camera,), size=160, seed=100 * seed)
        write_dataset(output / "new" / site, 8, kind="crop", cameras=(camera,), size=160, seed=1000 + seed)
    if call.empty:
        shutil.rmtree(data[call.empty])
        data[call.empty].mkdir()
    torch.manual_seed(0)
    network = DiscCupUNet(pretrained=True)
    save_weights(network, output / "start.pt")
    federate(data, output, call.rounds, output / "start.pt")
    found = list((output / "server").rglob("FL_global_model.pt"))
    if not found:
        raise SystemExit("the federation ended without a model; the lines above say why.")
    save_weights(_with(network, found[0]), output / "federated.pt")
    for name in ("start", "federated"):
        print(name, {site: score(output, site, name) for site in HOSPITALS})


def _with(network: torch.nn.Module, path: Path) -> torch.nn.Module:
    network.load_state_dict(torch.load(path, map_location="cpu", weights_only=True)["model"])
    return network


def score(output: Path, site: str, name: str) -> dict[str, float]:
    """Dice of disc and cup on new photographs of a site's camera."""
    folder = output / "scores" / f"{name}_{site}"
    settings = {"dataset_dir": output / "new" / site, "output_dir": folder, "view": "crop", "image_size": 128}
    run_stage("evaluation", checkpoint=str(output / f"{name}.pt"), logging_file=False, **settings)
    metrics = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))
    return {key: round(metrics[key]["dice"], 3) for key in ("optic_disc", "optic_cup")}


if __name__ == "__main__":
    main()
