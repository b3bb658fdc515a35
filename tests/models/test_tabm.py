"""TabM: its size, its formula, and what it answers."""

import math

import pytest
import torch

from deepen.models.tabm import PAPER, Options, averaged, build
from deepen.nn.shapes import TableShape

SHAPE = TableShape(5, (3, 7))
SMALL = Options(members=3, width=11, depth=2, parts=2, dropout=0.0)


def rows(count=13):
    numbers = torch.randn(count, 5)
    return numbers, torch.stack([torch.randint(0, 3, (count,)), torch.randint(0, 7, (count,))], dim=1)


def test_parameters_are_the_derivation():
    net = build("tabm", TableShape(3), 1)
    weights = [p for name, p in net.named_parameters() if name.endswith("weight")]
    assert sum(p.numel() for p in net.parameters()) == PAPER["tabm"].parameters
    assert sum(p.numel() for p in weights) == PAPER["tabm"].multiply_adds


def test_it_is_the_formula():
    torch.manual_seed(0)
    net = build("tabm", SHAPE, 2, SMALL)
    numbers, categories = rows(1)
    inner = 0.0  # the one edge of two parts: the median of a normal
    codes = []
    for x in numbers[0].tolist():
        codes += [min(max((x + 4) / (inner + 4), 0), 1), min(max((x - inner) / (4 - inner), 0), 1)]
    hot = [float(k == categories[0, 0]) for k in range(3)] + [float(k == categories[0, 1]) for k in range(7)]
    x = torch.tensor([*numbers[0].tolist(), *codes, *hot])
    answers = net(numbers, categories)
    assert answers.shape == (1, 3, 2)
    for m in range(3):
        h = x
        for layer in net.hidden:
            h = torch.relu(h @ layer.weight[m] + layer.bias[m, 0])
        expected = h @ net.output.weight[m] + net.output.bias[m, 0] + net.straight.weight @ x + net.straight.bias
        assert torch.allclose(answers[0, m], expected, atol=1e-5)


def test_members_answer_together():
    members = torch.randn(5, 3, 7)
    expected = members.softmax(2).mean(1).log()
    assert torch.allclose(averaged(members), expected, atol=1e-6)
    assert torch.allclose(averaged(members[:, :, :1])[:, 0], members[:, :, 0].mean(1))


def test_a_row_does_not_depend_on_its_neighbours_and_eval_is_deterministic():
    torch.manual_seed(0)
    net = build("tabm", SHAPE, 2).eval()
    numbers, categories = rows()
    whole = net(numbers, categories)
    assert whole.shape == (13, 2) and torch.equal(whole, net(numbers, categories))
    assert torch.allclose(net(numbers[4:5], categories[4:5]), whole[4:5], atol=1e-6)


@pytest.mark.parametrize("shape", [SHAPE, TableShape(5), TableShape(0, (3, 7))])
def test_every_parameter_gets_a_gradient(shape):
    torch.manual_seed(0)
    net = build("tabm", shape, 2)
    numbers, categories = rows(101)
    net(numbers[:, : shape.numbers], categories[:, : len(shape.categories)]).square().sum().backward()
    assert all(p.grad is not None and p.grad.any() for p in net.parameters())


def test_codes_grow_with_the_rows():
    widths = [build("tabm", TableShape(1, rows=count), 1).inputs.width for count in (0, 4_000, 16_000, 10**6)]
    assert widths == [1 + 8, 1 + 10, 1 + 40, 1 + 64]
    assert build("tabm", TableShape(3), 1, Options(parts=0)).inputs.width == 3


def test_weights_start_with_the_variance_that_relu_needs():
    torch.manual_seed(0)
    net = build("tabm", TableShape(97), 1)
    assert float(net.hidden[0].weight.detach().std()) == pytest.approx(math.sqrt(2 / net.inputs.width), rel=0.05)
