"""The tree: its sum by hand, the leaf it chooses, its losses by hand, and what it learns."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from deepen.models import neural_tree
from deepen.models.neural_tree import PAPER, Options, balance_loss, build, hardening_loss
from deepen.nn.extra_loss import collecting
from deepen.nn.shapes import ImageShape, TableShape

HIDDEN = [0, 7]


def built(depth=3, hidden=0, **options):
    torch.manual_seed(0)
    net = build("neural-tree", ImageShape(1, 3, 5), 11, Options(depth=depth, leaf_hidden=hidden, **options))
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    return net.eval()


def leaf_answers(net, x):
    """[B, leaves, K]: the distribution of every leaf."""
    leaves = net.tree.leaves
    if hasattr(leaves, "logits"):
        return leaves.logits.softmax(1).expand(len(x), -1, -1)
    return leaves(x.flatten(1)).softmax(2)


def test_parameters_are_the_derivation():
    net = build("neural-tree", ImageShape(*PAPER["neural-tree"].inputs), 10)
    assert sum(p.numel() for p in net.parameters()) == PAPER["neural-tree"].parameters == 838_735
    net = build("neural-tree", ImageShape(1, 28, 28), 10, Options(depth=7, leaf_hidden=0))
    assert sum(p.numel() for p in net.parameters()) == 127 * 785 + 128 * 10


@pytest.mark.parametrize("hidden", HIDDEN)
def test_training_is_the_sum_over_all_ways(hidden):
    net = built(hidden=hidden).train()
    x = torch.randn(13, 1, 3, 5)
    right = torch.sigmoid(x.flatten(1) @ net.tree.nodes.weight.T + net.tree.nodes.bias)
    q = leaf_answers(net, x)
    mixed = torch.zeros(13, 11)
    for leaf in range(8):
        node, way = 0, torch.ones(13)
        for turn in (leaf >> 2 & 1, leaf >> 1 & 1, leaf & 1):
            way = way * (right[:, node] if turn else 1 - right[:, node])
            node = 2 * node + 1 + turn
        mixed += way[:, None] * q[:, leaf]
    assert torch.allclose(net(x).exp(), mixed, atol=1e-6)
    assert torch.allclose(mixed.sum(1), torch.ones(13), atol=1e-5)


@pytest.mark.parametrize("hidden", HIDDEN)
@pytest.mark.parametrize("fetched", [1, 9])
def test_answering_is_the_chosen_leaf(hidden, fetched, monkeypatch):
    monkeypatch.setattr(neural_tree, "FETCHED_DEPTH", fetched)
    net = built(hidden=hidden)
    x = torch.randn(101, 1, 3, 5)
    questions = x.flatten(1) @ net.tree.nodes.weight.T + net.tree.nodes.bias
    leaves = []
    for answers in questions.tolist():
        node = 0
        for _ in range(3):
            node = 2 * node + (2 if answers[node] > 0 else 1)
        leaves.append(node - 7)
    assert net.tree.leaf_of(x.flatten(1)).tolist() == leaves and len(set(leaves)) > 4
    expected = leaf_answers(net, x)[torch.arange(101), torch.tensor(leaves)]
    with torch.no_grad():
        assert torch.allclose(net(x).exp(), expected, atol=1e-5)
        assert torch.allclose(net(x[7:8]), net(x)[7:8], atol=1e-5)


def test_firm_questions_make_both_routings_one():
    hard, soft = built(), built(routing="soft")
    x = torch.randn(101, 1, 3, 5)
    assert not torch.allclose(hard(x), soft(x), atol=1e-2)
    with torch.no_grad():
        for net in (hard, soft):
            net.tree.nodes.weight *= 1e4
            net.tree.nodes.bias *= 1e4
    assert torch.allclose(hard(x), soft(x), atol=1e-3)


def test_the_losses_by_hand():
    reached = torch.tensor([[1.0, 0.2, 0.8], [1.0, 0.6, 0.4]])
    right = torch.tensor([[0.8, 0.5, 0.9], [0.4, 0.1, 0.5]])
    shares = (0.6, (0.1 + 0.06) / 0.8, (0.72 + 0.2) / 1.2)
    each = [-0.5 * (math.log(2 * a) + math.log(2 - 2 * a)) for a in shares]
    assert float(balance_loss(reached, right)) == pytest.approx(each[0] + (each[1] + each[2]) / 2, rel=1e-5)
    assert float(balance_loss(reached, torch.full((2, 3), 0.5))) == pytest.approx(0.0, abs=1e-6)

    def entropy(p):
        return -p * math.log(p) - (1 - p) * math.log(1 - p)

    rows = [
        sum(r * entropy(p) for r, p in zip(*row, strict=True))
        for row in zip(reached.tolist(), right.tolist(), strict=True)
    ]
    assert float(hardening_loss(reached, right)) == pytest.approx(np.mean(rows), rel=1e-5)


def test_the_losses_reach_training_by_their_weights():
    x = torch.randn(13, 1, 3, 5)
    net = built(balance=0.3, hardening=0.6).train()
    with collecting() as found, torch.no_grad():
        net(x)
    nodes, _ = net.tree.path_probabilities(x.flatten(1))
    right = torch.sigmoid(net.tree.nodes(x.flatten(1)).detach())
    nodes = nodes.detach()
    assert float(found[0]) == pytest.approx(0.3 * float(balance_loss(nodes, right)), rel=1e-5)
    assert float(found[1]) == pytest.approx(0.2 * float(hardening_loss(nodes, right)), rel=1e-5)
    for quiet in (net.eval(), built(balance=0.0, hardening=0.0).train()):
        with collecting() as found:
            quiet(x)
        assert not found


@pytest.mark.parametrize("hidden", HIDDEN)
def test_a_gradient_by_the_input_is_the_soft_trees(hidden):
    hard, soft = built(hidden=hidden), built(hidden=hidden, routing="soft")
    x = torch.randn(5, 1, 3, 5, requires_grad=True)
    assert torch.equal(hard(x).detach(), hard(x.detach()))
    (found,) = torch.autograd.grad(hard(x)[:, 3].sum(), x)
    (expected,) = torch.autograd.grad(soft(x)[:, 3].sum(), x)
    assert torch.allclose(found, expected, atol=1e-6) and found.any()


@pytest.mark.parametrize("inputs", [TableShape(5, (3, 29)), TableShape(5), TableShape(0, (3, 7))])
@pytest.mark.parametrize("hidden", HIDDEN)
def test_every_parameter_gets_a_gradient(inputs, hidden):
    torch.manual_seed(0)
    net = build("neural-tree", inputs, 7, Options(leaf_hidden=hidden))
    numbers = torch.randn(101, inputs.numbers)
    categories = torch.stack([torch.randint(0, n, (101,)) for n in inputs.categories] or [torch.empty(101)], 1).long()
    net(numbers, categories).square().sum().backward()
    assert all(p.grad is not None and p.grad.any() for p in net.parameters())


@pytest.mark.parametrize("hidden", HIDDEN)
def test_it_learns_a_table_of_cases_and_loses_nothing_by_hard_decisions(hidden):
    torch.manual_seed(0)
    net = build("neural-tree", TableShape(2), 2, Options(depth=3, leaf_hidden=hidden)).train()
    x = torch.randn(307, 2)
    label = (x[:, 0] * x[:, 1] > 0).long()  # XOR of two signs: no single question tells it
    categories = torch.empty(307, 0, dtype=torch.int64)
    optimizer = torch.optim.Adam(net.parameters(), 0.05)
    for _ in range(200):
        with collecting() as found:
            loss = F.cross_entropy(net(x, categories), label) + sum(found)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    with torch.no_grad():
        hard = net.eval()(x, categories).argmax(1)
    assert float((hard == label).float().mean()) > 0.93


@pytest.mark.parametrize(("hidden", "depth"), [(0, 3), (7, 3), (0, 9)])
def test_a_graph_answers_as_the_network(hidden, depth):
    net = built(depth, hidden)
    graph = torch.export.export(net, (torch.randn(5, 1, 3, 5),), dynamic_shapes=({0: torch.export.Dim("rows")},))
    x = torch.randn(3, 1, 3, 5)
    assert torch.allclose(graph.module()(x), net(x), atol=1e-5)
