"""Networks side by side: each on its own rows is what all of them are on every row."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from deepen.nn.dropout import drawing_for
from deepen.nn.members import MemberNetworks


def built(members=5, widths=(3, 7, 11, 2), **options):
    torch.manual_seed(0)
    network = MemberNetworks(members, widths, **options)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    return network.eval()


@pytest.mark.parametrize("activation", ["relu", "sigmoid", "tanh"])
def test_a_member_is_an_ordinary_network(activation):
    network = built(activation=activation)
    x = torch.randn(13, 3)
    for m in range(5):
        h = x
        for place, layer in enumerate(network.layers):
            h = F.linear(h, layer.weight[m].T, layer.bias[m, 0])
            h = getattr(torch, activation)(h) if place < 2 else h
        assert torch.allclose(network(x)[:, m], h, atol=1e-5)


@pytest.mark.parametrize("shape", [(1,), (13,), (2, 17)])
@pytest.mark.parametrize("k", [1, 3])
def test_the_chosen_are_a_selection_of_all_and_nobody_is_nothing(shape, k):
    network = built()
    x, which = torch.randn(*shape, 3), torch.randint(0, 6, (*shape, k))
    everyone = torch.cat([network(x), torch.zeros(*shape, 1, 2)], -2)
    expected = everyone.gather(-2, which[..., None].expand(*which.shape, 2))
    assert torch.allclose(network.chosen(x, which), expected, atol=1e-5)


def test_gradients_of_the_chosen_are_those_of_the_selection():
    network = built()
    x, which = torch.randn(13, 3), torch.randint(0, 4, (13, 2))  # nobody asks for the last member
    network.chosen(x, which).square().sum().backward()
    found = [p.grad.clone() for p in network.parameters()]
    network.zero_grad()
    network(x).gather(1, which[..., None].expand(13, 2, 2)).square().sum().backward()
    for own, parameter in zip(found, network.parameters(), strict=True):
        assert torch.allclose(own, parameter.grad, atol=1e-4)
    assert not found[0][4].any() and found[0][3].any()


@pytest.mark.parametrize("way", ["all", "chosen"])
def test_dropout_is_a_row_s_own(way):
    network = built(dropout=0.5).train()
    x, which = torch.randn(11, 3), torch.randint(0, 5, (11, 2))

    def answers(rows):
        with drawing_for(3, 2, rows, x.device):
            return network(x[rows]) if way == "all" else network.chosen(x[rows], which[rows])

    whole = answers(np.arange(11))
    parts = torch.cat([answers(np.arange(4)), answers(np.arange(4, 11))])
    assert torch.allclose(whole, parts, atol=1e-6)
    network.eval()
    assert not torch.allclose(whole, answers(np.arange(11)), atol=1e-3)
