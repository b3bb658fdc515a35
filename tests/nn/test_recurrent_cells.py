"""Cells against PyTorch's with the same weights, and their start."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from deepen.nn.recurrent_cells import STEPS, GRUCell, LSTMCell, RNNCell, start_orthogonal

B, D, H = 3, 5, 7
CELLS = {"rnn": (RNNCell, nn.RNNCell), "gru": (GRUCell, nn.GRUCell), "lstm": (LSTMCell, nn.LSTMCell)}


@pytest.mark.parametrize("kind", CELLS)
def test_a_cell_is_pytorchs_with_the_same_weights(kind):
    torch.manual_seed(0)
    ours, theirs = (cell(D, H) for cell in CELLS[kind])
    theirs.load_state_dict(ours.state_dict())
    x, state = torch.randn(B, D), tuple(torch.randn(B, H) for _ in range(2 if kind == "lstm" else 1))
    for given, expected in ((state, theirs(x, state if kind == "lstm" else state[0])), (None, theirs(x))):
        expected = expected if kind == "lstm" else (expected,)
        for one, other in zip(ours(x, given), expected, strict=True):
            assert torch.allclose(one, other, atol=1e-6)


@pytest.mark.parametrize("kind", CELLS)
def test_a_mask_of_ones_changes_nothing_and_one_of_zeros_hides_the_state_from_the_matrix(kind):
    cell = CELLS[kind][0](D, H)
    x, state = torch.randn(B, len(cell.bias_ih)), tuple(torch.randn(B, H) for _ in range(2 if kind == "lstm" else 1))
    step = STEPS[kind]
    plain = step(x, state, cell.weight_hh, cell.bias_hh)
    for one, other in zip(step(x, state, cell.weight_hh, cell.bias_hh, torch.ones(B, H)), plain, strict=True):
        assert torch.equal(one, other)
    hidden = step(x, state, cell.weight_hh, cell.bias_hh, torch.zeros(B, H))
    blind = step(x, state, torch.zeros_like(cell.weight_hh), cell.bias_hh)
    for one, other in zip(hidden, blind, strict=True):
        assert torch.allclose(one, other)


def test_a_state_is_kept_by_gates_that_are_shut():
    """By hand: z = 1 leaves a GRU's h, f = 1 and i = 0 an LSTM's c."""
    h, c = torch.randn(B, H), torch.randn(B, H)
    u = torch.zeros(3 * H, H)
    x = torch.cat([torch.zeros(H), torch.full((H,), 1e4), torch.ones(H)]).expand(B, -1)
    assert torch.allclose(STEPS["gru"](x, (h,), u, torch.zeros(3 * H))[0], h, atol=1e-6)
    x = torch.cat([torch.full((H,), -1e4), torch.full((H,), 1e4), torch.ones(2 * H)]).expand(B, -1)
    new_h, new_c = STEPS["lstm"](x, (h, c), torch.zeros(4 * H, H), torch.zeros(4 * H))
    assert torch.equal(new_c, c) and torch.allclose(new_h, torch.sigmoid(torch.tensor(1.0)) * c.tanh())


@pytest.mark.parametrize("kind", CELLS)
def test_the_orthogonal_start(kind):
    for layer in (CELLS[kind][0](D, H), {"rnn": nn.RNN, "gru": nn.GRU, "lstm": nn.LSTM}[kind](D, H)):
        start_orthogonal(layer, kind, forget_bias=1.5)
        found = {name.removesuffix("_l0"): parameter for name, parameter in layer.named_parameters()}
        for part in found["weight_hh"].split(H):
            assert torch.allclose(part @ part.T, torch.eye(H), atol=1e-5)
        assert float(found["weight_ih"].detach().abs().max()) <= (6 / (D + H)) ** 0.5
        bias = found["bias_ih"] + found["bias_hh"]
        assert bias.tolist() == ([0.0] * H + [1.5] * H + [0.0] * 2 * H if kind == "lstm" else [0.0] * len(bias))
