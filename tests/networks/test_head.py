"""The head is dropout and a pointwise convolution, and what enters it is kept while it is asked for."""

from __future__ import annotations

import torch

from bundle.networks.head import HeadInput, classifier_of, dropout_of


def test_a_head_is_dropout_and_a_pointwise_convolution(network):
    assert dropout_of(network.segmentation_head) == 0.25
    assert classifier_of(network.segmentation_head) is list(network.segmentation_head)[1]


def test_head_input_lets_go_of_the_network(network, make_images):
    with HeadInput(network) as head_input, torch.no_grad():
        network(make_images(1))
    kept = head_input.features
    network(make_images(2))
    assert head_input.features is kept
