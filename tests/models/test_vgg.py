import pytest
import torch
from torch import nn

from deepen.models import vgg
from deepen.models.vgg import PAPER, RECIPE, SIZES, Options, build
from deepen.nn.shapes import ImageShape
from tests.models.image_networks import cost, losses, num_parameters, on_meta


@pytest.mark.parametrize("name", SIZES)
def test_the_published_size(name):
    # 132,863,336 133,047,848 138,357,544 143,667,240 and 7.61 11.31 15.47 19.63 billion: what torchvision states
    paper = PAPER[name]
    net = on_meta(vgg, name, paper.inputs)
    assert num_parameters(net) == paper.parameters
    assert cost(net, paper.inputs) == paper.multiply_adds


@pytest.mark.parametrize(("name", "depth"), [("vgg11", 11), ("vgg13-bn", 13), ("vgg16", 16), ("vgg19-bn", 19)])
def test_the_name_counts_the_layers_with_weights(name, depth):
    kinds = [type(layer) for layer in on_meta(vgg, name, (1, 28, 28)).modules()]
    assert kinds.count(nn.Conv2d) + kinds.count(nn.Linear) == depth
    assert kinds.count(nn.BatchNorm2d) == (depth - 3 if name.endswith("-bn") else 0)


@pytest.mark.parametrize(
    ("side", "sides", "head"),
    [(1, [1], 1), (28, [28, 14, 7, 3, 1], 1), (63, [63, 31, 15, 7, 3, 1], 1), (64, [64, 32, 16, 8, 4, 2], 7)],
)
def test_the_maps_shrink_as_the_rule_says(side, sides, head):
    net = on_meta(vgg, "vgg11", (3, side, side), outputs=11)
    x, found = torch.zeros(1, 3, side, side, device="meta"), []
    for layer in net.features:
        x = layer(x)
        found += [] if x.shape[2] in found else [x.shape[2]]
    assert found == sides
    assert net.avgpool(x).shape == (1, 512, head, head)
    assert net.classifier[0].weight.shape == (4096, 512 * head**2)


def test_at_224_pixels_the_head_reads_the_maps_as_they_are():
    assert isinstance(on_meta(vgg, "vgg16", (3, 224, 224)).avgpool, nn.Identity)


def test_the_start_keeps_the_scale_of_the_signal_through_16_convolutions():
    torch.manual_seed(0)
    net = build("vgg19", ImageShape(3, 32, 32), 10)
    x = torch.randn(5, 3, 32, 32)
    scales = []
    with torch.no_grad():
        for layer in net.features:
            if isinstance(layer, nn.Conv2d) and x.shape[2] > 8:  # below, padding with zeros costs a good part
                scales.append(float(layer(x).square().mean() / x.square().mean()))
            x = layer(x)
    # each preactivation has twice its input's mean square: ReLU then takes half of it
    assert len(scales) == 4 and all(1.5 < scale < 2.4 for scale in scales)
    assert 0.01 < float(x.square().mean()) < 100


@pytest.mark.parametrize("name", ["vgg11", "vgg11-bn"])
def test_every_parameter_gets_a_gradient(name):
    torch.manual_seed(0)
    net = build(name, ImageShape(5, 13, 67), 7, Options(dropout=0.1))
    images = torch.randn(3, 5, 13, 67)
    net(images).square().sum().backward()
    with_gradient = {key for key, p in net.named_parameters() if p.grad is not None and p.grad.any()}
    assert with_gradient == {key for key, _ in net.named_parameters()}
    assert torch.equal(net.eval()(images), net(images))


@pytest.mark.parametrize(("name", "side", "steps"), [("vgg11", 16, 16), ("vgg11-bn", 8, 8)])
def test_a_few_updates_bring_the_loss_down(name, side, steps):
    torch.manual_seed(0)
    net = build(name, ImageShape(1, side, side), 4, Options(dropout=0.0))
    before, after = losses(net, RECIPE, side=side, steps=steps)
    assert after < 0.6 * before
