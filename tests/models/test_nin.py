import pytest
import torch
from torch import nn

from deepen.core.errors import ShapeError
from deepen.models import nin
from deepen.models.nin import PAPER, RECIPE, SIZES, Options, build
from deepen.nn.shapes import ImageShape
from tests.models.image_networks import cost, losses, num_parameters, on_meta


@pytest.mark.parametrize("name", SIZES)
def test_the_derived_size(name):
    paper = PAPER[name]
    net = on_meta(nin, name, paper.inputs, outputs=paper.outputs)
    assert num_parameters(net) == paper.parameters
    assert cost(net, paper.inputs) == paper.multiply_adds


@pytest.mark.parametrize(
    ("name", "side", "sides"),
    [
        ("nin", 8, [8, 4]),
        ("nin", 28, [28, 14, 7]),
        ("nin", 64, [32, 16, 8]),
        ("nin", 224, [56, 28, 14]),
        ("nin-large", 8, [8, 4]),
        ("nin-large", 28, [28, 14, 7, 4]),
        ("nin-large", 224, [56, 28, 14, 7]),
    ],
)
def test_the_maps_shrink_as_the_rule_says(name, side, sides):
    net = on_meta(nin, name, (3, side, side), outputs=11)
    x, found = torch.zeros(1, 3, side, side, device="meta"), []
    for layer in net.stages:
        x = layer(x)
        found += [] if x.shape[2] in found else [x.shape[2]]
    assert found == sides and x.shape[1] == 11


def test_a_1x1_convolution_is_a_small_network_at_every_pixel():
    torch.manual_seed(0)
    block = build("nin", ImageShape(2, 8, 8), 3).stages[0]
    x = torch.randn(1, 2, 8, 8)
    first = torch.relu(block[0](x))
    pixel = first[0, :, 3, 5]
    for layer in (block[2], block[4]):
        pixel = torch.relu(layer.weight[:, :, 0, 0] @ pixel + layer.bias)
    assert torch.allclose(block(x)[0, :, 3, 5], pixel, atol=1e-5)


def test_the_last_maps_are_the_classes_without_relu():
    net = build("nin", ImageShape(1, 28, 28), 11)
    assert isinstance(net.stages[-1][-1], nn.Conv2d) and net.stages[-1][-1].out_channels == 11
    images = torch.randn(2, 1, 28, 28)
    with torch.no_grad():
        assert torch.equal(net.eval()(images), net.stages(images).mean((2, 3)))


@pytest.mark.parametrize(("name", "shape"), [("nin", (1, 8, 8)), ("nin", (3, 67, 71)), ("nin-large", (5, 13, 11))])
def test_every_parameter_gets_a_gradient(name, shape):
    torch.manual_seed(0)
    net = build(name, ImageShape(*shape), 7, Options(dropout=0.1))
    images = torch.randn(3, *shape)
    net(images).square().sum().backward()
    assert all(p.grad is not None and p.grad.any() for p in net.parameters())
    assert torch.equal(net.eval()(images), net(images))


def test_a_few_updates_bring_the_loss_down():
    torch.manual_seed(0)
    net = build("nin", ImageShape(1, 8, 8), 4, Options(dropout=0.0))
    before, after = losses(net, RECIPE, side=8, steps=40)
    assert after < 0.6 * before


def test_too_small_an_image_is_refused():
    with pytest.raises(ShapeError, match="at least 8x8 pixels, but these are 31x7"):
        build("nin", ImageShape(3, 31, 7), 10)
