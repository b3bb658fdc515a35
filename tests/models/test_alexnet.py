import pytest
import torch
from torch import nn

from deepen.core.errors import ShapeError
from deepen.models import alexnet
from deepen.models.alexnet import MAP_SIDE, PAPER, RECIPE, AlexNet, Options, Size, build
from deepen.nn.shapes import ImageShape
from tests.models.image_networks import cost, losses, num_parameters, on_meta


def test_the_published_size():
    # 61,100,840 and 0.71 billion: what torchvision states for its weights
    net = on_meta(alexnet, "alexnet", (3, 224, 224))
    assert num_parameters(net) == PAPER["alexnet"].parameters == 61_100_840
    assert cost(net, (3, 224, 224)) == PAPER["alexnet"].multiply_adds


@pytest.mark.parametrize(
    ("side", "sides"),
    [
        (6, [6]),
        (28, [28, 13, 6]),
        (63, [63, 31, 15, 7]),
        (64, [32, 15, 7]),
        (127, [64, 31, 15, 7]),
        (128, [31, 15, 7]),
        (224, [55, 27, 13, 6]),
    ],
)
def test_the_maps_shrink_as_the_rule_says(side, sides):
    net = on_meta(alexnet, "alexnet", (3, side, side), outputs=11)
    x, found = torch.zeros(1, 3, side, side, device="meta"), []
    for layer in net.features:
        x = layer(x)
        found += [] if x.shape[2] in found else [x.shape[2]]
    assert found == sides
    assert isinstance(net.avgpool, nn.Identity) == (sides[-1] == MAP_SIDE)
    assert net.avgpool(x).shape == (1, 256, 6, 6)


def test_the_number_of_weights_never_depends_on_the_size():
    sizes = {num_parameters(on_meta(alexnet, "alexnet", (3, side, side + 7))) for side in (6, 29, 64, 131, 224, 331)}
    assert sizes == {61_100_840}


def test_every_parameter_gets_a_gradient():
    torch.manual_seed(0)
    net = build("alexnet", ImageShape(5, 13, 67), 7, Options(dropout=0.1))
    images = torch.randn(3, 5, 13, 67)
    net(images).square().sum().backward()
    assert all(p.grad is not None and p.grad.any() for p in net.parameters())
    assert torch.equal(net.eval()(images), net(images))


def test_a_few_updates_bring_the_loss_down():
    torch.manual_seed(0)
    small = Size(maps=(17, 47, 97, 61, 67), hidden=101)
    net = AlexNet(small, ImageShape(1, 8, 8), 4, Options(dropout=0.0))
    before, after = losses(net, RECIPE, side=8, steps=30)
    assert after < 0.8 * before


def test_too_small_an_image_is_refused():
    with pytest.raises(ShapeError, match="at least 6x6 pixels, but these are 31x5"):
        build("alexnet", ImageShape(3, 31, 5), 10)
