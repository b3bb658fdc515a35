"""An autoencoder of one layer: by hand, and with linear units against principal components."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from deepen.nn.dropout import drawing_for
from deepen.nn.layer_autoencoder import LayerAutoencoder


def layer(num_inputs=7, num_units=3, seed=0):
    torch.manual_seed(seed)
    return nn.Linear(num_inputs, num_units)


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("inputs", ["gaussian", "binary"])
@pytest.mark.parametrize("activation", ["relu", "sigmoid", "tanh"])
def test_the_loss_is_the_formula(activation, inputs, tied):
    net = LayerAutoencoder(layer(), activation, inputs=inputs, tied=tied).double()
    x = torch.rand(11, 7, dtype=torch.float64)
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.normal_(0, 0.7)
    f = {"relu": torch.relu, "sigmoid": torch.sigmoid, "tanh": torch.tanh}[activation]
    h = f(x @ net.weight.T + net.hidden_bias)
    y = h @ (net.weight if tied else net.decoder.T) + net.visible_bias
    if inputs == "gaussian":
        expected, shown = ((y - x) ** 2).sum(1) / 2, y
    else:
        shown = 1 / (1 + torch.exp(-y))
        expected = -(x * shown.log() + (1 - x) * (1 - shown).log()).sum(1)
    assert torch.allclose(net.loss(x), expected)
    assert torch.allclose(net.reconstruction(x), shown)


@pytest.mark.parametrize("tied", [True, False])
def test_linear_units_reach_the_error_of_principal_components(tied):
    """Baldi and Hornik 1989: the least squared error of a linear autoencoder is what the first H components leave."""
    draw = torch.Generator().manual_seed(1)
    x = torch.randn(401, 7, generator=draw, dtype=torch.float64) @ torch.randn(7, 7, generator=draw).double()
    x = x / x.std()
    x = x + torch.arange(7)  # the visible biases must find the mean
    net = LayerAutoencoder(layer(), "linear", tied=tied).double()
    optimizer = torch.optim.LBFGS(net.parameters(), max_iter=500, line_search_fn="strong_wolfe", tolerance_change=1e-14)

    def closure():
        optimizer.zero_grad()
        loss = net.loss(x).mean()
        loss.backward()
        return loss

    optimizer.step(closure)
    left = torch.linalg.svdvals(x - x.mean(0))[3:].square().sum() / len(x)
    error = (net.reconstruction(x) - x).square().sum(1).mean()
    assert error.item() == pytest.approx(left.item(), rel=1e-4)


def test_masking_hides_inputs_and_never_what_is_to_be_given_back():
    net = LayerAutoencoder(layer(503, 2), "linear", corruption=0.25)
    with torch.no_grad():
        net.weight.copy_(torch.ones(2, 503))
        net.hidden_bias.zero_()
    seen = []
    net.encode = lambda fed: seen.append(fed) or torch.zeros(len(fed), 2)
    x = torch.ones(211, 503)
    loss = net.loss(x)
    assert set(seen[0].unique().tolist()) == {0.0, 1.0}
    assert (seen[0] == 0).float().mean().item() == pytest.approx(0.25, abs=0.006)  # four deviations
    assert torch.allclose(loss, torch.full((211,), 503 / 2))  # of the clean input
    net.eval()
    net.loss(x)
    assert torch.equal(seen[1], x)


def test_what_is_hidden_belongs_to_the_row():
    net = LayerAutoencoder(layer(), "relu", corruption=0.5)
    x, rows = torch.randn(5, 7), np.array([8, 1, 30, 4, 2])
    with drawing_for(3, 1, rows, torch.device("cpu")):
        whole = net.loss(x)
    with drawing_for(3, 1, rows[2:], torch.device("cpu")):
        assert torch.allclose(net.loss(x[2:]), whole[2:], atol=1e-6)


def test_it_begins_with_the_layer_and_leaves_it_alone():
    given = layer()
    before = given.weight.detach().clone()
    net = LayerAutoencoder(given, "relu", tied=False)
    assert torch.equal(net.weight, before) and torch.equal(net.decoder, before.T)
    with torch.no_grad():
        net.weight.zero_()
    assert torch.equal(given.weight, before)
