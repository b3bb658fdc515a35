import pytest
import torch
from torch import nn
from torch.nn import functional as F

from deepen.core.errors import ShapeError
from deepen.models import googlenet
from deepen.models.googlenet import PAPER, RECIPE, SIZES, Inception, Options, build
from deepen.nn.shapes import ImageShape
from deepen.ops.auxiliary import Auxiliary
from tests.models.image_networks import cost, losses, num_parameters, on_meta


def test_the_published_size():
    # 6,624,904, or 13,004,888 with the auxiliary classifiers, and 1.50 billion: what torchvision states for its weights
    net = on_meta(googlenet, "googlenet", (3, 224, 224))
    assert num_parameters(net) == PAPER["googlenet"].parameters == 6_624_904
    assert cost(net, (3, 224, 224)) == PAPER["googlenet"].multiply_adds
    assert num_parameters(on_meta(googlenet, "googlenet", (3, 224, 224), auxiliary=True)) == 13_004_888


def test_the_papers_kernel_has_16_more_weights_for_each_pair_of_maps():
    pairs = sum(before * inside for _, _, _, before, inside, _ in SIZES["googlenet"].blocks.values())
    wide = num_parameters(on_meta(googlenet, "googlenet", (3, 224, 224), wide_kernel="5"))
    assert wide == 6_624_904 + (25 - 9) * pairs == 7_005_832


@pytest.mark.parametrize(
    ("side", "sides"),
    [(8, [4, 4, 2, 1]), (28, [14, 14, 7, 4]), (63, [31, 31, 15, 8]), (64, [16, 8, 4, 2]), (224, [56, 28, 14, 7])],
)
def test_the_maps_shrink_as_the_rule_says(side, sides):
    net = on_meta(googlenet, "googlenet", (1, side, side)).eval()
    found = []
    for part in (net.conv2, net.inception3a, net.inception4a, net.inception5b):
        part.register_forward_hook(lambda _, __, output: found.append(output.shape[2]))
    net(torch.zeros(1, 1, side, side, device="meta"))
    assert found == sides


def test_a_block_is_its_four_branches_side_by_side():
    torch.manual_seed(0)
    block = Inception(7, (2, 3, 5, 3, 11, 13), 5).eval()
    x = torch.randn(2, 7, 5, 3)

    def conv(layer, x, padding=0):
        return torch.relu(F.conv2d(x, layer.conv.weight, padding=padding) / (1 + 1e-3) ** 0.5)  # a norm not yet trained

    expected = [
        conv(block.branch1, x),
        conv(block.branch2[1], conv(block.branch2[0], x), padding=1),
        conv(block.branch3[1], conv(block.branch3[0], x), padding=2),
        conv(block.branch4[1], F.max_pool2d(x, 3, stride=1, padding=1)),
    ]
    assert block.width == 31
    assert torch.allclose(block(x), torch.cat(expected, 1), atol=1e-5)


@pytest.mark.parametrize("auxiliary", [False, True])
def test_every_parameter_gets_a_gradient(auxiliary):
    torch.manual_seed(0)
    net = build("googlenet", ImageShape(2, 13, 19), 7, Options(auxiliary=auxiliary, auxiliary_dropout=0.1))
    images = torch.randn(5, 2, 13, 19)
    output = net(images)
    if auxiliary:
        assert isinstance(output, Auxiliary) and [branch.shape for branch in output.auxiliary] == [(5, 7)] * 2
        assert output.weight == 0.3
    logits = [output.logits, *output.auxiliary] if auxiliary else [output]
    sum(each.square().sum() for each in logits).backward()
    assert all(p.grad is not None and p.grad.any() for p in net.parameters())
    answer = net.eval()(images)
    assert isinstance(answer, torch.Tensor) and torch.equal(answer, net(images))


def test_side_branches_change_nothing_in_evaluation():
    torch.manual_seed(0)
    with_branches = build("googlenet", ImageShape(1, 28, 28), 7, Options(auxiliary=True)).eval()
    without = build("googlenet", ImageShape(1, 28, 28), 7).eval()
    rest = without.load_state_dict(with_branches.state_dict(), strict=False)
    assert not rest.missing_keys and all(key.startswith("aux") for key in rest.unexpected_keys)
    images = torch.randn(3, 1, 28, 28)
    assert torch.equal(with_branches(images), without(images))
    assert not any(isinstance(m, nn.Linear) for name, m in without.named_modules() if name.startswith("aux"))


@pytest.mark.parametrize("auxiliary", [False, True])
def test_a_few_updates_bring_the_loss_down(auxiliary):
    torch.manual_seed(0)
    options = Options(auxiliary=auxiliary, dropout=0.0, auxiliary_dropout=0.0)
    net = build("googlenet", ImageShape(1, 12, 12), 4, options)
    before, after = losses(net, RECIPE, side=12, steps=8)
    assert after < 0.6 * before


def test_too_small_an_image_is_refused():
    with pytest.raises(ShapeError, match="at least 8x8 pixels, but these are 7x31"):
        build("googlenet", ImageShape(3, 7, 31), 10)
