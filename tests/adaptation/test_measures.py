"""What is measured without labels is what NumPy finds."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from ignite.engine import Engine

from bundle.adaptation.measures import MeasuresWithoutLabels
from bundle.uncertainty.view_consensus import ViewConsensus
from tests.support.evaluation import evaluate


def test_measures_without_labels_are_those_that_numpy_finds(network, batches):
    measures = MeasuresWithoutLabels()
    _, outputs = evaluate(network, batches, val_handlers=[measures])
    rows = []
    for output in outputs:
        logits = output["pred"].numpy().astype(np.float64)
        p = np.exp(logits) / np.exp(logits).sum(axis=0)
        entropy = -(p * np.log(p)).sum(axis=0).mean()
        rows.append([*output["agreement"].tolist(), entropy, (p[1] + p[2] > 0.5).mean(), (p[2] > 0.5).mean()])
    means = np.mean(rows, axis=0)
    found = measures.summary
    assert found["photographs"] == 3
    assert found["predicted_dice"] == pytest.approx({"optic_disc": means[0], "optic_cup": means[1]})
    assert found["pass_agreement"] == found["predicted_dice"]
    assert found["entropy"] == pytest.approx(means[2], rel=1e-4)
    assert found["area_share"] == pytest.approx({"optic_disc": means[3], "optic_cup": means[4]}, abs=1e-6)
    assert 0 < means[4] < means[3] < 1
    assert found["uncertainty"] == pytest.approx(np.median([1 - min(output["expected_dice"]) for output in outputs]))


def test_views_predict_the_dice_where_there_are_views(network, batches):
    views = ViewConsensus(((), (2,), (3,)))
    measures = MeasuresWithoutLabels()
    _, outputs = evaluate(network, batches, views=views, val_handlers=[measures])
    images = torch.cat([batches[0]["image"], batches[2]["image"]])
    with torch.no_grad():
        expected = views.agreement(images, network)
    for i, output in enumerate(outputs):
        assert output["view_agreement"].tolist() == pytest.approx(expected[i].tolist(), abs=2e-3)
    means = expected.mean(dim=0).tolist()
    assert list(measures.summary["predicted_dice"].values()) == pytest.approx(means, abs=2e-3)
    assert measures.summary["pass_agreement"] != measures.summary["predicted_dice"]


def test_a_second_run_forgets_the_first(network, batches):
    measures = MeasuresWithoutLabels()
    evaluator, _ = evaluate(network, batches, val_handlers=[measures])
    evaluator.run()
    assert measures.summary["photographs"] == 3


def test_nothing_measured_is_not_a_number():
    measures = MeasuresWithoutLabels()
    measures.summarise(Engine(lambda *_: None))
    assert measures.summary["photographs"] == 0
    assert math.isnan(measures.summary["entropy"])
