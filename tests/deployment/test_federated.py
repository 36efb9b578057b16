"""A site of a federation: its learning rate, its weights, and what it answers when it cannot train.

The server is played here; ``make federated-demo`` runs NVFlare's.
"""

from __future__ import annotations

from typing import Any

import pytest
import torch
from monai.fl.utils.constants import ExtraItems, ModelType
from monai.fl.utils.exchange_object import ExchangeObject

from bundle.deployment.federated import FederatedSite
from bundle.errors import CallError
from bundle.synthetic.phantoms.photographs import write_dataset

SMALL: dict[str, Any] = {
    "network_def#backbone": "efficientnet-lite0-small",
    "network_def#decoder_channels": [16, 16, 8, 8],
    "pretrained": False,
    "image_size": 32,
    "batch_size": 2,
    "learning_rate": 0.01,
    "device": torch.device("cpu"),
}
ROUNDS = 4


@pytest.fixture
def site(tmp_path, _determinism):
    write_dataset(tmp_path / "data", 6, kind="crop", size=48, seed=5)
    found = FederatedSite(str(tmp_path / "data"), str(tmp_path / "out"), ROUNDS, settings=SMALL)
    found.initialize({ExtraItems.CLIENT_NAME: "hospital-1"})
    return found


def global_weights(site: FederatedSite, factor: float = 1.0) -> ExchangeObject:
    assert site.trainer is not None
    state = site.trainer.network.state_dict()
    return ExchangeObject(weights={name: (value * factor).numpy() for name, value in state.items()})


def test_the_learning_rate_falls_once_over_all_rounds(site):
    rates = []
    for _ in range(ROUNDS):
        site.train(global_weights(site))
        assert site.get_weights().weights
        rates.append(site.trainer.optimizer.param_groups[0]["lr"])
    assert rates == sorted(rates, reverse=True)
    assert rates[0] > rates[2] > 0.001
    assert rates[-1] == pytest.approx(0, abs=1e-4)


def test_every_round_starts_from_the_server_s_weights_and_nothing_is_resumed(site, tmp_path):
    site.train(global_weights(site))
    (tmp_path / "out" / "resume.pt").write_bytes(b"of an earlier run")
    sent = global_weights(site, factor=0.5)
    assert sent.weights is not None
    site.trainer.optimizer.param_groups[0]["lr"] = 0.0
    for group in site.trainer.optimizer.param_groups:
        group["initial_lr"] = 0.0
    site.train_workflow.parser.get_parsed_content("lr_scheduler").base_lrs = [0.0]
    site.train(sent)
    learned = dict(site.trainer.network.named_parameters())
    assert all(torch.equal(learned[name].cpu(), torch.from_numpy(sent.weights[name])) for name in learned)


def test_the_best_model_is_the_site_s_own(site, tmp_path):
    metrics = site.evaluate(global_weights(site)).metrics
    assert metrics["mean_dice"] == pytest.approx((metrics["optic_disc_dice"] + metrics["optic_cup_dice"]) / 2)
    best = site.get_weights({ExtraItems.MODEL_TYPE: ModelType.BEST_MODEL}).weights
    stored = torch.load(tmp_path / "out" / "best.pt", weights_only=True)
    assert best.keys() == stored.keys() == site.trainer.network.state_dict().keys()
    site.best = 2.0
    (tmp_path / "out" / "best.pt").unlink()
    site.evaluate(global_weights(site))
    assert not (tmp_path / "out" / "best.pt").exists()


def test_a_site_without_photographs_answers_every_task_with_its_error(tmp_path, caplog):
    (tmp_path / "empty").mkdir()
    site = FederatedSite(str(tmp_path / "empty"), str(tmp_path / "out"), ROUNDS, settings=SMALL)
    site.initialize({ExtraItems.CLIENT_NAME: "hospital-2"})
    for task in (site.train, site.evaluate):
        with pytest.raises(CallError, match="there are no photographs in .*empty"):
            task(ExchangeObject(weights={}))
    assert not (tmp_path / "out").exists()


def test_a_key_that_training_does_not_have_is_refused(tmp_path):
    with pytest.raises(CallError, match="no key 'batchsize'"):
        FederatedSite(str(tmp_path), str(tmp_path / "out"), ROUNDS, settings={"batchsize": 2})
