import pytest
import torch

from deepen.core.errors import OptionError
from deepen.models.mlp import PAPER, Options, build
from deepen.nn.shapes import ImageShape, TableShape


def test_parameters_are_the_derivation():
    net = build("mlp", ImageShape(*PAPER["mlp"].inputs), 10)
    assert sum(p.numel() for p in net.parameters()) == PAPER["mlp"].parameters == 235_146
    assert sum(p.numel() for p in net.parameters() if p.ndim == 2) == PAPER["mlp"].multiply_adds


def test_it_is_the_formula():
    torch.manual_seed(0)
    net = build("mlp", ImageShape(3, 5, 7), 11, Options(hidden=(13, 17))).eval()
    x = torch.randn(2, 3, 5, 7)
    first, second, last = (layer for layer in net.layers if isinstance(layer, torch.nn.Linear))
    h = torch.relu(x.flatten(1) @ first.weight.T + first.bias)
    h = torch.relu(h @ second.weight.T + second.bias)
    assert torch.allclose(net(x), h @ last.weight.T + last.bias, atol=1e-5)


@pytest.mark.parametrize("activation", ["relu", "sigmoid", "tanh"])
def test_the_stack_is_the_hidden_layers_with_the_nonlinearity_after_each(activation):
    torch.manual_seed(0)
    for inputs, x in ((ImageShape(3, 5, 7), (torch.randn(2, 3, 5, 7),)), (TableShape(5, (3,)), _row())):
        net = build("mlp", inputs, 11, Options(hidden=(13, 17, 19), activation=activation)).eval()
        stack = net.stack()
        assert [layer.out_features for layer in stack.layers] == [13, 17, 19] and stack.activation == activation
        h = net.features(*x) if len(x) == 2 else x[0].flatten(1)
        for layer in stack.layers:
            h = getattr(torch, activation)(layer(h))
        last = [layer for layer in net.layers if isinstance(layer, torch.nn.Linear)][-1]
        assert torch.allclose(net(*x), last(h), atol=1e-5)


def _row():
    return torch.randn(2, 5), torch.tensor([[0], [2]])


@pytest.mark.parametrize("inputs", [ImageShape(1, 8, 8), ImageShape(3, 64, 48), TableShape(5, (3, 29)), TableShape(5)])
def test_every_parameter_gets_a_gradient(inputs):
    torch.manual_seed(0)
    net = build("mlp", inputs, 7)
    if isinstance(inputs, ImageShape):
        arguments = (torch.randn(11, inputs.channels, inputs.height, inputs.width),)
    else:
        categories = [torch.randint(0, count, (11, 1)) for count in inputs.categories]
        arguments = (torch.randn(11, 5), torch.cat([torch.empty(11, 0, dtype=torch.int64), *categories], dim=1))
    out = net(*arguments)
    assert out.shape == (11, 7)
    out.square().sum().backward()
    assert all(p.grad is not None and p.grad.any() for p in net.parameters())
    assert torch.equal(net.eval()(*arguments), net(*arguments))


def test_many_categories_are_embedded_and_few_are_not():
    net = build("mlp", TableShape(5, (3, 29)), 7)
    assert net.layers[0].in_features == 5 + 3 + 16


def test_a_hidden_width_of_nothing_is_refused():
    with pytest.raises(OptionError, match=r"\(31, 0\)"):
        build("mlp", ImageShape(1, 8, 8), 7, Options(hidden=(31, 0)))


@pytest.mark.parametrize("gate", ["soft", "top1", "top2"])
@pytest.mark.parametrize("inputs", [ImageShape(3, 5, 7), TableShape(5, (3,))])
def test_experts_are_whole_perceptrons_between_which_a_gate_chooses(inputs, gate):
    torch.manual_seed(0)
    net = build("mlp", inputs, 11, Options(hidden=(13, 17), experts=5, gate=gate)).eval()
    x = (torch.randn(2, 3, 5, 7),) if isinstance(inputs, ImageShape) else _row()
    h = net.features(*x) if len(x) == 2 else x[0].flatten(1)
    p = net.mixture.gate(h).softmax(1)
    kept = {"soft": 5, "top1": 1, "top2": 2}[gate]
    p = p.masked_fill(p < p.topk(kept).values[:, -1:], 0)
    p = p if gate == "top1" else p / p.sum(1, keepdim=True)
    answers = torch.zeros(2, 11)
    for e in range(5):
        each = h
        for place, layer in enumerate(net.mixture.experts.layers):
            each = each @ layer.weight[e] + layer.bias[e]
            each = torch.relu(each) if place < 2 else each
        answers += p[:, e, None] * each
    assert torch.allclose(net(*x), answers, atol=1e-5)
    single = sum(layer.weight[0].numel() + layer.bias[0].numel() for layer in net.mixture.experts.layers)
    plain = build("mlp", inputs, 11, Options(hidden=(13, 17)))
    assert single == sum(p.numel() for p in plain.parameters())
