import pytest
import torch
from torch import nn

from deepen.core.errors import ShapeError
from deepen.models.wren import PAPER, SIZES, Block, Options, build, num_halvings
from deepen.nn.shapes import ImageShape


def cost(net: nn.Module, shape: tuple[int, ...]) -> int:
    """Multiply-adds of convolutions and linear layers for one image; on the meta device, so nothing is computed."""
    total = 0

    def add(layer, _, output):
        nonlocal total
        total += output.numel() * layer.weight[0].numel()

    for layer in net.modules():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            layer.register_forward_hook(add)
    net.eval()(torch.zeros(1, *shape, device="meta"))
    return total


@pytest.mark.parametrize("name", SIZES)
def test_the_derived_size(name):
    paper = PAPER[name]
    with torch.device("meta"):
        net = build(name, ImageShape(*paper.inputs), paper.outputs)
    assert sum(p.numel() for p in net.parameters()) == paper.parameters
    assert cost(net, paper.inputs) == paper.multiply_adds


def test_the_front_keeps_the_cost_of_large_images_low():
    sides = (8, 28, 48, 49, 64, 96, 97, 224, 384)
    assert [num_halvings(ImageShape(3, side, side)) for side in sides] == [0, 0, 0, 1, 1, 1, 2, 3, 3]
    with torch.device("meta"):
        small, large = (cost(build("wren", ImageShape(3, s, s), 10), (3, s, s)) for s in (28, 224))
    assert large < 2.5 * small  # 64 times the pixels


@pytest.mark.parametrize(("name", "shape"), [("wren", (1, 8, 8)), ("wren", (3, 67, 53)), ("wren-large", (5, 13, 11))])
def test_every_parameter_gets_a_gradient(name, shape):
    torch.manual_seed(0)
    net = build(name, ImageShape(*shape), 7, Options(dropout=0.1, stochastic_depth=0.1))
    for block in net.modules():
        if isinstance(block, Block):
            nn.init.ones_(block.second.norm.weight)
    images = torch.randn(11, *shape)
    out = net(images)
    assert out.shape == (11, 7)
    out.square().sum().backward()
    assert all(p.grad is not None and p.grad.any() for p in net.parameters())
    assert torch.equal(net.eval()(images), net(images))


def test_blocks_start_as_their_activation():
    torch.manual_seed(0)
    net = build("wren", ImageShape(1, 28, 28), 10)
    x = torch.randn(2, 64, 5, 7)
    assert torch.equal(net.stages[0][3](x), nn.functional.gelu(x))


def test_memory_order_of_the_images_does_not_matter():
    torch.manual_seed(0)
    net = build("wren", ImageShape(3, 19, 17), 10).eval()
    images = torch.randn(2, 3, 19, 17)
    assert torch.allclose(net(images), net(images.contiguous(memory_format=torch.channels_last)), atol=1e-5)


def test_too_small_an_image_is_refused():
    with pytest.raises(ShapeError, match="at least 8x8 pixels, but these are 31x7"):
        build("wren", ImageShape(3, 31, 7), 10)
