"""Mixtures: their sums by hand, their balance by hand, and rows that do not meet."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from deepen.nn.dropout import drawing_for
from deepen.nn.experts import Experts, chosen_experts, importance_loss, switch_loss
from deepen.nn.extra_loss import collecting


def built(num_experts=5, **options):
    torch.manual_seed(0)
    return Experts((3, 7, 2), num_experts, **options).eval()


def test_a_soft_gate_is_the_weighted_sum():
    mixture = built()
    x = torch.randn(11, 3)
    scores = x @ mixture.gate.weight.T
    p = scores.exp() / scores.exp().sum(1, keepdim=True)
    each = [
        torch.relu(x @ first + b) @ second + c
        for first, b, second, c in zip(
            mixture.experts.layers[0].weight,
            mixture.experts.layers[0].bias,
            mixture.experts.layers[1].weight,
            mixture.experts.layers[1].bias,
            strict=True,
        )
    ]
    by_hand = sum(p[:, e, None] * output for e, output in enumerate(each))
    assert torch.allclose(mixture(x), by_hand, atol=1e-5)


def test_choosing_all_is_a_soft_gate():
    x = torch.randn(11, 3)
    assert torch.allclose(built(top=5)(x), built()(x), atol=1e-5)
    assert torch.allclose(built(2, top=2)(x), built(2)(x), atol=1e-5)


@pytest.mark.parametrize("shape", [(1,), (11,), (2, 13)])
def test_the_best_answer_by_their_weights(shape):
    x = torch.randn(*shape, 3)
    one, two = built(top=1), built(top=2)
    p = one.gate(x).softmax(-1)
    outputs = one.experts(x)
    best, place = p.max(-1)
    own = outputs.gather(-2, place[..., None, None].expand(*shape, 1, 2))[..., 0, :]
    assert torch.allclose(one(x), best[..., None] * own, atol=1e-5)
    kept = p.masked_fill(p < p.topk(2, -1).values[..., -1:], 0)
    kept = kept / kept.sum(-1, keepdim=True)
    assert torch.allclose(two(x), (kept[..., None] * outputs).sum(-2), atol=1e-5)


def test_two_of_three_by_hand():
    weights, which = chosen_experts(torch.tensor([[0.5, 0.2, 0.3]]), 2)
    assert which.tolist() == [[0, 2]] and weights[0].tolist() == pytest.approx([0.625, 0.375])
    weights, which = chosen_experts(torch.tensor([[0.5, 0.2, 0.3]]), 1)
    assert which.tolist() == [[0]] and weights[0].tolist() == [0.5]


def test_the_balance_by_hand():
    p = torch.tensor([[0.7, 0.3], [0.6, 0.4], [0.2, 0.8], [0.1, 0.9]])
    which = p.argmax(1, keepdim=True)
    shown = torch.tensor([True, True, True, False])
    # f = (2/3, 1/3), P = (1.5 / 3, 1.5 / 3)
    assert float(switch_loss(p, which, shown)) == pytest.approx(2 * (2 / 3 * 0.5 + 1 / 3 * 0.5))
    # P of all four = (0.4, 0.6), f = (1/2, 1/2)
    assert float(switch_loss(p, which, torch.ones(4, dtype=torch.bool))) == pytest.approx(1.0)
    everything = torch.tensor([[1.0, 0.0, 0.0]] * 5)
    assert float(switch_loss(everything, torch.zeros(5, 1, dtype=torch.int64), torch.ones(5) > 0)) == pytest.approx(3.0)
    # importance 0.7 + 0.6 + 0.2 = 1.5 and 1.5; of all four 1.6 and 2.4: deviation 0.4, mean 2
    assert float(importance_loss(p, shown)) == pytest.approx(0.0, abs=1e-10)
    assert float(importance_loss(p, torch.ones(4) > 0)) == pytest.approx((0.4 / 2) ** 2)


@pytest.mark.parametrize("balancing", ["switch", "importance"])
@pytest.mark.parametrize("top", [None, 1, 2])
def test_following_the_balance_alone_spreads_the_rows(top, balancing):
    mixture = built(top=top, balance=1.0, balancing=balancing).train()
    with torch.no_grad():
        mixture.gate.weight.zero_()
        mixture.gate.weight[1, 0] = 3.0  # as the first number is always 1, nearly everything goes there
        mixture.gate.weight[:, 1:].normal_()
    torch.manual_seed(1)
    x = torch.cat([torch.ones(211, 1), torch.randn(211, 2)], 1)

    def loads():
        return mixture.gate(x).detach().softmax(1).mean(0)

    before = float(loads().max())
    optimizer = torch.optim.Adam(mixture.gate.parameters(), 0.05)
    for _ in range(80):
        with collecting() as found:
            mixture(x)
        optimizer.zero_grad()
        sum(found).backward()
        optimizer.step()
    assert before > 0.6 and float(loads().max()) < 0.4


def test_a_balance_is_asked_for_in_training_alone():
    x = torch.randn(11, 3)
    for mixture, number in ((built(top=1), 0), (built(top=1).train(), 1), (built(top=1, balance=0.0).train(), 0)):
        with collecting() as found:
            mixture(x)
        assert len(found) == number


@pytest.mark.parametrize("top", [None, 1, 2])
def test_rows_do_not_meet_however_many_want_one_expert(top):
    mixture = built(top=top, dropout=0.5)
    x = torch.randn(1, 3).repeat(13, 1) + 0.01 * torch.randn(13, 3)
    whole = mixture(x)
    assert torch.allclose(whole, torch.cat([mixture(row) for row in x.split(1)]), atol=1e-5)
    mixture.train()

    def answers(rows):
        with drawing_for(3, 2, rows, x.device):
            return mixture(x[rows])

    parts = torch.cat([answers(np.arange(4)), answers(np.arange(4, 13))])
    assert torch.allclose(answers(np.arange(13)), parts, atol=1e-5)


@pytest.mark.parametrize("top", [1, 2])
def test_what_is_hidden_gets_nothing_and_counts_for_nothing(top):
    mixture = built(top=top).train()
    x, mask = torch.randn(5, 7, 3), torch.rand(5, 7) < 0.6
    with collecting() as (found):
        y = mixture(x, mask)
    assert not y[~mask].any()
    with collecting() as alone:
        expected = mixture(x[mask])
    assert torch.allclose(y[mask], expected, atol=1e-5) and torch.allclose(found[0], alone[0], atol=1e-6)


@pytest.mark.parametrize("top", [None, 1, 2])
def test_every_parameter_gets_a_gradient(top):
    mixture = built(top=top).train()
    mixture(torch.randn(101, 3)).square().sum().backward()
    assert all(p.grad is not None and p.grad.any() for p in mixture.parameters())


@pytest.mark.parametrize("top", [1, 2])
def test_a_graph_answers_as_the_network(top):
    mixture = built(top=top)
    x, mask = torch.randn(5, 7, 3), torch.ones(5, 7, dtype=torch.bool)
    graph = torch.export.export(mixture, (x, mask), dynamic_shapes=({0: torch.export.Dim("rows")},) * 2)
    x, mask = torch.randn(3, 7, 3), torch.ones(3, 7, dtype=torch.bool)
    assert torch.allclose(graph.module()(x, mask), mixture(x, mask), atol=1e-5)
