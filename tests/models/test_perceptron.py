"""The perceptron: its loss gives the rule of 1958, step for step, and it finds a line where there is one."""

from __future__ import annotations

import math

import pytest
import torch

from deepen.core.errors import OptionError
from deepen.models.perceptron import CERTAIN, PAPER, build, decided
from deepen.nn.shapes import ImageShape, TableShape
from deepen.ops.losses import cross_entropy_sum


def no_categories(rows):
    return torch.empty(rows, 0, dtype=torch.int64)


def trained(x, y, classes, passes, rate=1.0):
    """By cross-entropy and gradient descent, one sample at a time; the number of mistakes in each pass."""
    net = build("perceptron", TableShape(x.shape[1]), classes)
    optimizer = torch.optim.SGD(net.parameters(), lr=rate)
    mistakes = []
    for _ in range(passes):
        mistakes.append(0)
        for row in range(len(x)):
            optimizer.zero_grad()
            loss = cross_entropy_sum(net(x[row : row + 1], no_categories(1)), y[row : row + 1])
            loss.backward()
            optimizer.step()
            mistakes[-1] += round(loss.item() / CERTAIN)
    return net, mistakes


def by_the_rule(x, y, classes, passes, rate=1.0):
    """A loop over samples that corrects after a mistake and does nothing otherwise."""
    weights, biases = torch.zeros(classes, x.shape[1]), torch.zeros(classes)
    for _ in range(passes):
        for features, right in zip(x, y, strict=True):
            answered = int((weights @ features + biases).argmax())
            if answered != right:
                weights[right] += rate * features
                weights[answered] -= rate * features
                biases[right] += rate
                biases[answered] -= rate
    return weights, biases


@pytest.mark.parametrize("classes", [2, 5])
def test_the_tasks_loss_is_the_rule_of_1958_bit_for_bit(classes):
    torch.manual_seed(0)
    x, y = torch.randn(31, 7), torch.randint(0, classes, (31,))
    net, _ = trained(x, y, classes, passes=3, rate=0.5)
    weights, biases = by_the_rule(x, y, classes, passes=3, rate=0.5)
    assert torch.equal(net.output.weight, weights) and torch.equal(net.output.bias, biases)


def test_two_classes_are_the_single_unit_with_a_threshold():
    """w += r (t - o) x with o = [w x + b > 0] is what W[1] - W[0] does, at twice the rate."""
    torch.manual_seed(1)
    x, y = torch.randn(29, 3), torch.randint(0, 2, (29,))
    net, _ = trained(x, y, 2, passes=2)
    w, b = torch.zeros(3), torch.zeros(())
    for _ in range(2):
        for features, target in zip(x, y, strict=True):
            output = (w @ features + b > 0).float()
            w, b = w + 2 * (target - output) * features, b + 2 * (target - output)
    assert torch.allclose(net.output.weight[1] - net.output.weight[0], w, atol=1e-5)
    assert torch.allclose(net.output.bias[1] - net.output.bias[0], b, atol=1e-5)


def test_where_there_is_a_line_it_stops_after_no_more_mistakes_than_novikoff_allows():
    torch.manual_seed(2)
    truth = torch.tensor([0.6, -0.8])
    x = torch.randn(211, 2)
    x = x[(x @ truth).abs() > 0.1]
    y = (x @ truth > 0).long()
    _, mistakes = trained(x, y, 2, passes=40)
    longest = float((x.square().sum(1) + 1).max())  # the bias is an input that is always 1
    margin = float((x @ truth).abs().min())
    assert mistakes[-1] == 0 and sum(mistakes) <= longest / margin**2


def test_xor_is_never_learned_at_any_of_many_passes():
    x, y = torch.tensor([[0.0, 0], [0, 1], [1, 0], [1, 1]]), torch.tensor([0, 1, 1, 0])
    net, mistakes = trained(x, y, 2, passes=50)
    assert min(mistakes[2:]) > 0
    assert (net(x, no_categories(4)).argmax(1) == y).sum() < 4


def test_an_output_is_certain_of_one_class_and_its_derivative_is_one():
    z = torch.tensor([[0.5, 3.0, -1.0], [0.25, 0.25, 0.0]], requires_grad=True)
    out = decided(z)
    assert out.tolist() == [[0, CERTAIN, 0], [CERTAIN, 0, 0]]
    cross_entropy_sum(out, torch.tensor([1, 2])).backward()
    assert z.grad is not None and z.grad.tolist() == [[0, 0, 0], [1, 0, -1]]
    assert math.exp(-CERTAIN) > 0 and float(torch.tensor(-CERTAIN).exp()) == 0


def test_the_sizes_are_one_weight_per_input_and_class():
    assert sum(p.numel() for p in build("perceptron", ImageShape(1, 28, 28), 10).parameters()) == 7_850
    assert PAPER["perceptron"].parameters == 7_850
    net = build("perceptron", TableShape(5, (3, 29)), 7)
    assert sum(p.numel() for p in net.parameters()) == (5 + 3 + 29 + 1) * 7
    assert net(torch.randn(11, 5), torch.zeros(11, 2, dtype=torch.int64)).shape == (11, 7)


def test_one_output_is_refused():
    with pytest.raises(OptionError, match=r"--model perceptron: .*but 1 number is wanted; choose linear-regression"):
        build("perceptron", TableShape(5), 1)
