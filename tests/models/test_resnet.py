from dataclasses import replace

import pytest
import torch
from torch import nn

from deepen.core.errors import ShapeError
from deepen.models.resnet import PAPER, RECIPE, SIZES, Options, ResNet, build
from deepen.nn.dropout import StochasticDepth
from deepen.nn.shapes import ImageShape
from tests.models.image_networks import losses


def cost(net: nn.Module, shape: tuple[int, ...]) -> int:
    """Multiply-adds of convolutions and linear layers for one image; on the meta device, so nothing is computed."""
    total = 0

    def add(layer, _, output):
        nonlocal total
        total += output.numel() * layer.weight[0].numel()  # in groups, of the maps of one's own

    for layer in net.modules():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            layer.register_forward_hook(add)
    net.eval()(torch.zeros(1, *shape, device="meta"))
    return total


@pytest.mark.parametrize("name", SIZES)
def test_the_published_size(name):
    # 11,689,512 21,797,672 25,557,032 44,549,160 60,192,808: what torchvision states for its weights;
    # multiply-adds: its 1.81, 3.66, 4.09, 7.80 and 11.51 billion, counted here;
    # resnext50_32x4d, resnext101_32x8d, wide_resnet50_2, wide_resnet101_2: 25,028,904 88,791,336 68,883,240 126,886,696
    # and 4.23, 16.41, 11.40 and 22.75 billion
    paper = PAPER[name]
    with torch.device("meta"):
        net = build(name, ImageShape(*paper.inputs), paper.outputs)
    assert sum(p.numel() for p in net.parameters()) == paper.parameters
    assert cost(net, paper.inputs) == paper.multiply_adds


def test_names_are_those_of_the_weights_that_circulate():
    with torch.device("meta"):
        net = build("resnet50", ImageShape(3, 224, 224), 1000)
    names = net.state_dict()
    assert len(names) == 320
    assert list(names)[:6] == [
        "conv1.weight",
        "bn1.weight",
        "bn1.bias",
        "bn1.running_mean",
        "bn1.running_var",
        "bn1.num_batches_tracked",
    ]
    expected = {
        "layer1.0.conv1",
        "layer1.0.downsample.0",
        "layer1.0.downsample.1",
        "layer4.2.conv3",
        "layer4.2.bn3",
        "fc",
    }
    assert {f"{name}.weight" for name in expected} <= set(names)
    assert not any(name.startswith("layer1.1.downsample") for name in names)
    assert names["layer2.0.conv2.weight"].shape == (128, 128, 3, 3) and names["fc.weight"].shape == (1000, 2048)


@pytest.mark.parametrize(("side", "strides"), [(8, (1, 2, 4, 8)), (63, (1, 2, 4, 8)), (64, (4, 8, 16, 32))])
def test_declared_widths_and_strides_are_true(side, strides):
    net = build("resnet18", ImageShape(1, side, side), 10).eval()
    assert net.strides == strides
    maps = net.pyramid(torch.zeros(1, 1, side, side))
    assert [tuple(m.shape[1:]) for m in maps] == [
        (width, -(-side // stride), -(-side // stride)) for width, stride in zip(net.widths, strides, strict=True)
    ]


@pytest.mark.parametrize("side", [8, 13, 28, 67])
@pytest.mark.parametrize("stem", ["3x3", "7x7"])
def test_either_stem_can_be_had_at_any_size(stem, side):
    net = build("resnet18", ImageShape(1, side, side), 10, Options(stem=stem)).eval()
    first = 1 if stem == "3x3" else 4
    assert net.strides == (first, 2 * first, 4 * first, 8 * first)
    maps = net.pyramid(torch.zeros(1, 1, side, side))
    assert [m.shape[2] for m in maps] == [-(-side // stride) for stride in net.strides]
    size = 31 if stem == "3x3" else 64
    usual = build("resnet18", ImageShape(1, size, size), 10)
    assert {name: value.shape for name, value in net.state_dict().items()} == {
        name: value.shape for name, value in usual.state_dict().items()
    }


def test_the_larger_stem_costs_a_sixteenth():
    with torch.device("meta"):
        small, large = (build("resnet50", ImageShape(3, 32, 32), 10, Options(stem=stem)) for stem in ("3x3", "7x7"))
    ratio = cost(small, (3, 32, 32)) / cost(large, (3, 32, 32))
    assert 14 < ratio < 18


@pytest.mark.parametrize(
    ("name", "chances"),
    [("resnet18", [0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4]), ("resnet50", [0.025 * k for k in range(1, 17)])],
)
def test_the_chance_to_skip_a_block_rises_evenly_to_the_last(name, chances):
    """l / L times the option for block l of L: the linear rule of Huang et al., there of the chance to stay."""
    with torch.device("meta"):
        net = build(name, ImageShape(3, 32, 32), 10, Options(stochastic_depth=0.4))
    assert [each.p for each in net.modules() if isinstance(each, StochasticDepth)] == pytest.approx(chances)


@pytest.mark.parametrize("name", ["resnet18", "resnet50"])
def test_a_skipped_block_leaves_its_shortcut_alone(name):
    torch.manual_seed(0)
    block = build(name, ImageShape(1, 8, 8), 3, Options(stochastic_depth=0.9, zero_init=False)).layer4[-1]
    x, branches = torch.randn(17, block.conv1.in_channels, 1, 1), []
    block.skip.register_forward_pre_hook(lambda _, given: branches.append(given[0].detach().clone()))
    with torch.no_grad():
        y = block(x)
    ways = [torch.relu(x), torch.relu(x + branches[0] / (1 - 0.9))]
    taken = [[bool(torch.allclose(row, way[i], atol=1e-5)) for way in ways] for i, row in enumerate(y)]
    assert sorted(set(map(tuple, taken))) == [(False, True), (True, False)]


def test_a_grouped_convolution_is_small_ones_side_by_side():
    torch.manual_seed(0)
    conv = build("resnext50", ImageShape(3, 32, 32), 10).layer1[0].conv2
    assert conv.weight.shape == (128, 4, 3, 3) and conv.groups == 32
    x = torch.randn(1, 128, 5, 7)
    parts = [
        nn.functional.conv2d(x[:, start : start + 4], conv.weight[start : start + 4], padding=1)
        for start in range(0, 128, 4)
    ]
    assert torch.allclose(conv(x), torch.cat(parts, 1), atol=1e-5)


def test_a_wide_net_is_wide_inside_its_blocks_alone():
    with torch.device("meta"):
        wide, plain = (build(name, ImageShape(3, 64, 64), 10) for name in ("wide-resnet50", "resnet50"))
    assert wide.widths == plain.widths
    for stage, width in enumerate((128, 256, 512, 1024), start=1):
        block = getattr(wide, f"layer{stage}")[-1]
        assert block.conv2.weight.shape == (width, width, 3, 3)
        assert block.conv3.weight.shape[0] == 2 * width


def test_zero_init_makes_every_plain_block_the_identity():
    torch.manual_seed(0)
    x = torch.rand(2, 64, 5, 7)
    for zero_init in (True, False):
        block = build("resnet18", ImageShape(3, 32, 32), 10, Options(zero_init=zero_init)).layer1[0].eval()
        assert torch.equal(block(x), x) == zero_init


@pytest.mark.parametrize(
    ("name", "shape"),
    [("resnet18", (1, 8, 8)), ("resnet18", (3, 67, 71)), ("resnet50", (3, 32, 32)), ("resnext50", (3, 8, 8))],
)
def test_every_parameter_gets_a_gradient(name, shape):
    torch.manual_seed(0)
    net = build(name, ImageShape(*shape), 7, Options(zero_init=False, dropout=0.1))
    images = torch.randn(5, *shape)
    net(images).square().sum().backward()
    assert all(p.grad is not None and p.grad.any() for p in net.parameters())
    assert torch.equal(net.eval()(images), net(images))


@pytest.mark.parametrize(("name", "kernel"), [("resnext101", (256, 8, 3, 3)), ("wide-resnet50", (128, 128, 3, 3))])
def test_a_shallow_one_of_the_widest_blocks_learns(name, kernel):
    """No network of these blocks is light enough for the contract tests: here one with five of its blocks."""
    torch.manual_seed(0)
    size = replace(SIZES[name], blocks=(2, 1, 1, 1))
    net = ResNet(size, ImageShape(1, 8, 8), 4, Options(zero_init=False))
    assert net.layer1[1].conv2.weight.shape == kernel
    before, after = losses(net, RECIPE, side=8, steps=2)
    assert after < 0.7 * before
    assert all(p.grad is not None and p.grad.any() for p in net.parameters())


def test_too_small_an_image_is_refused():
    with pytest.raises(ShapeError, match="at least 8x8 pixels, but these are 7x31"):
        build("resnet18", ImageShape(3, 7, 31), 10)
