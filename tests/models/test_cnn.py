import pytest
import torch
from torch.nn import functional as F

from deepen.core.errors import ShapeError
from deepen.models.cnn import PAPER, Options, build
from deepen.nn.shapes import ImageShape


@pytest.mark.parametrize(("side", "left"), [(8, 1), (16, 2), (28, 4), (32, 4), (64, 4), (224, 4)])
def test_the_maps_are_four_by_four_or_what_a_small_image_leaves(side, left):
    net = build("cnn", ImageShape(1, side, side), 10)
    expected = PAPER["cnn"].parameters - 50 * 64 * (16 - left * left)
    assert sum(p.numel() for p in net.parameters()) == expected
    assert net(torch.zeros(1, 1, side, side)).shape == (1, 10)


def test_it_is_the_books_layers_one_by_one():
    torch.manual_seed(0)
    net = build("cnn", ImageShape(3, 28, 28), 7).eval()
    convolutions = [layer for layer in net.maps if isinstance(layer, torch.nn.Conv2d)]
    x = images = torch.randn(5, 3, 28, 28)
    sides = []
    for index, (layer, padding) in enumerate(zip(convolutions, [1, 1, 1, 2, 1, 1], strict=True)):
        x = F.relu(F.conv2d(x, layer.weight, layer.bias, padding=padding))
        sides.append(x.shape[2])
        if index % 2 == 1:
            x = F.max_pool2d(x, 2)
    first, last = net.head[0], net.head[3]
    hidden = F.relu(x.flatten(1) @ first.weight.T + first.bias)
    assert sides == [28, 28, 14, 16, 8, 8]
    assert torch.allclose(net(images), hidden @ last.weight.T + last.bias, atol=1e-5)


def test_half_of_the_hidden_values_are_dropped_in_training():
    torch.manual_seed(0)
    net = build("cnn", ImageShape(1, 13, 11), 7)
    dropped = []
    net.head[2].register_forward_hook(lambda module, given, out: dropped.append((given[0] != 0) & (out == 0)))
    net(torch.randn(97, 1, 13, 11))
    alive = (net.head[:2](net.maps(torch.randn(97, 1, 13, 11)).flatten(1)) != 0).float().mean()
    assert abs(float(dropped[0].float().mean()) - 0.5 * float(alive)) < 0.05


@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 32, 32), (3, 41, 37), (5, 13, 67)])
def test_every_parameter_gets_a_gradient(shape):
    torch.manual_seed(0)
    net = build("cnn", ImageShape(*shape), 7, Options(dropout=0.1))
    images = torch.randn(11, *shape)
    net(images).square().sum().backward()
    assert all(p.grad is not None and p.grad.any() for p in net.parameters())
    assert torch.equal(net.eval()(images), net(images))


def test_too_small_an_image_is_refused():
    with pytest.raises(ShapeError, match="at least 8x8 pixels, but these are 7x31"):
        build("cnn", ImageShape(1, 7, 31), 10)
