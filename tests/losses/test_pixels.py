"""A loss knows in which epoch it is."""

from __future__ import annotations

import pytest

from bundle.losses.contrast import ContrastLoss
from bundle.losses.transport import TransportLoss
from tests.support.losses import HEIGHT, WIDTH, K, output_of, random
from tests.support.tensors import gradient_of


@pytest.mark.parametrize(
    ("loss", "epochs"),
    [
        (TransportLoss(last_epoch=1), [True, False, False]),
        (ContrastLoss(first_epoch=2, stride=1), [False, True, True]),
        (TransportLoss(), [True, True, True]),
        (ContrastLoss(stride=1), [True, True, True]),
    ],
)
def test_a_photograph_that_returns_begins_the_next_epoch(network, loss, epochs):
    for number, on in enumerate(epochs):
        for batch in (["a", "b"], ["c"]) if number % 2 == 0 else (["c", "a"], ["b"]):
            features = random(len(batch), K, WIDTH, HEIGHT, seed=number).requires_grad_()
            value = loss(output_of(network, features), {"name": batch})
            value.backward()
            assert (value.item() != 0) == on
            assert gradient_of(features).isfinite().all()
