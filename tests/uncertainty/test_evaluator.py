"""The evaluator adds to each prediction how good it is likely to be."""

from __future__ import annotations

import pytest
import torch
from monai.data import DataLoader, Dataset, MetaTensor
from monai.inferers import SimpleInferer
from monai.transforms import Activationsd

from bundle.data.dataset import collate_readable
from bundle.uncertainty.agreement import agreement, expected_dice
from bundle.uncertainty.dropout_passes import channel_masks, stochastic_log_odds, stochastic_logits
from bundle.uncertainty.norm_distance import NormDistances
from tests.support.evaluation import evaluate


def test_agreement_is_added_and_empty_batches_are_passed_over(network, batches):
    evaluator, outputs = evaluate(network, batches)
    assert len(outputs) == 3
    images = torch.cat([batches[0]["image"], batches[2]["image"]])
    with torch.no_grad():
        logits, features = network(images), network.features(images)
        masks = channel_masks(["a", "b", "c"], 4, 8, 0.25, seed=3)
        expected = agreement(stochastic_log_odds(stochastic_logits(network.segmentation_head, features, masks)))
    for i, output in enumerate(outputs):
        torch.testing.assert_close(torch.as_tensor(output["pred"]), logits[i], rtol=1e-4, atol=1e-4)
        assert output["agreement"].tolist() == pytest.approx(expected[i].tolist(), abs=2e-3)
    assert not network.segmentation_head._forward_pre_hooks
    assert isinstance(evaluator.inferer, SimpleInferer)
    assert (expected < 1).any()


def test_without_passes_the_expected_dice_is_all(network, batches):
    processing = Activationsd("pred", softmax=True)
    outputs = evaluate(network, batches, passes=0, postprocessing=processing)[1]
    with torch.no_grad():
        expected = expected_dice(network(torch.cat([batches[0]["image"], batches[2]["image"]])))
    for i, output in enumerate(outputs):
        assert "agreement" not in output
        assert output["expected_dice"].tolist() == pytest.approx(expected[i].tolist(), abs=1e-4)


def test_postprocessing_does_not_change_the_agreement(network, batches):
    plain = evaluate(network, batches)[1]
    processed = evaluate(network, batches, postprocessing=Activationsd("pred", softmax=True))[1]
    assert torch.as_tensor(processed[0]["pred"]).sum(dim=0).allclose(torch.ones(64, 32))
    for one, other in zip(plain, processed, strict=True):
        assert torch.equal(one["agreement"], other["agreement"])


def test_each_photograph_has_a_distance_of_its_own(network, make_images):
    images = make_images(3)
    images[2] += 1
    items = [{"image": MetaTensor(image), "name": str(i)} for i, image in enumerate(images)]
    loader = DataLoader(Dataset(items), batch_size=3, collate_fn=collate_readable)
    _, outputs = evaluate(network, loader, passes=0, epoch_length=1)
    distances = [float(output["norm_distance"]) for output in outputs]
    with torch.no_grad(), NormDistances(network) as found:
        network(images)
    assert found.first is not None
    assert distances == pytest.approx(found.first.tolist())
    over_all = [float(output["fundus_distance"]) for output in outputs]
    assert over_all == pytest.approx(found.over_all().tolist(), rel=1e-4)
    assert distances[2] > 2 * max(distances[:2])
