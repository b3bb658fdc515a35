import pytest
import torch
from torch import nn

from deepen.core.errors import ShapeError
from deepen.models import densenet
from deepen.models.densenet import PAPER, RECIPE, SIZES, DenseBlock, Options, build
from deepen.nn.shapes import ImageShape
from tests.models.image_networks import cost, losses, num_parameters, on_meta


@pytest.mark.parametrize("name", SIZES)
def test_the_published_size(name):
    # 7,978,856 14,149,480 20,013,928 28,681,000 and 2.83 3.36 4.29 7.73 billion: what torchvision states
    paper = PAPER[name]
    net = on_meta(densenet, name, paper.inputs)
    assert num_parameters(net) == paper.parameters
    assert cost(net, paper.inputs) == paper.multiply_adds


@pytest.mark.parametrize("name", SIZES)
def test_the_name_counts_the_layers_with_weights(name):
    kinds = [type(layer) for layer in on_meta(densenet, name, (1, 28, 28)).modules()]
    assert kinds.count(nn.Conv2d) + kinds.count(nn.Linear) == int(name.removeprefix("densenet"))


@pytest.mark.parametrize(
    ("side", "sides"),
    [(8, [4, 2, 2, 2]), (28, [14, 7, 3, 3]), (63, [32, 16, 8, 4]), (64, [16, 8, 4, 2]), (224, [56, 28, 14, 7])],
)
def test_the_maps_shrink_as_the_rule_says(side, sides):
    net = on_meta(densenet, "densenet121", (1, side, side)).eval()
    found = []
    for index in (1, 2, 3, 4):
        block = getattr(net.features, f"denseblock{index}")
        block.register_forward_hook(lambda _, __, output: found.append(output.shape[2]))
    net(torch.zeros(1, 1, side, side, device="meta"))
    assert found == sides


def test_a_layer_reads_all_before_it():
    torch.manual_seed(0)
    block = DenseBlock(7, 3, 5, Options()).eval()
    x = torch.randn(2, 7, 3, 11)
    joined = x
    for layer in block.values():
        y = layer.conv1(torch.relu(layer.norm1(joined)))
        joined = torch.cat([joined, layer.conv2(torch.relu(layer.norm2(y)))], 1)
    assert joined.shape == (2, 7 + 3 * 5, 3, 11)
    assert torch.equal(block(x), joined)


def test_computing_maps_again_changes_no_number():
    """Outputs, gradients and the norms' statistics, which the repetition must not move a second time."""
    found = []
    for memory_efficient in (False, True):
        torch.manual_seed(0)
        net = build("densenet121", ImageShape(2, 11, 13), 7, Options(memory_efficient=memory_efficient, dropout=0.0))
        output = net(torch.randn(3, 2, 11, 13))
        output.square().sum().backward()
        gradients = {name: p.grad for name, p in net.named_parameters()}
        found.append((output, gradients, dict(net.named_buffers())))
    plain, efficient = found
    assert torch.equal(plain[0], efficient[0])
    assert all(torch.equal(plain[1][name], efficient[1][name]) for name in plain[1])
    assert all(torch.equal(plain[2][name], efficient[2][name]) for name in plain[2])


def test_computing_maps_again_keeps_less():
    kept = []
    for memory_efficient in (False, True):
        net = build("densenet121", ImageShape(1, 17, 17), 7, Options(memory_efficient=memory_efficient))
        total = 0

        def count(tensor):
            nonlocal total
            total += tensor.numel()
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(count, lambda tensor: tensor):
            net(torch.randn(2, 1, 17, 17))
        kept.append(total)
    assert kept[1] < 0.5 * kept[0]


def test_every_parameter_gets_a_gradient():
    torch.manual_seed(0)
    net = build("densenet121", ImageShape(2, 13, 19), 7, Options(dropout=0.1))
    images = torch.randn(5, 2, 13, 19)
    net(images).square().sum().backward()
    assert all(p.grad is not None and p.grad.any() for p in net.parameters())
    assert torch.equal(net.eval()(images), net(images))


def test_a_few_updates_bring_the_loss_down():
    torch.manual_seed(0)
    net = build("densenet121", ImageShape(1, 8, 8), 4)
    before, after = losses(net, RECIPE, side=8, steps=8)
    assert after < 0.6 * before


def test_too_small_an_image_is_refused():
    with pytest.raises(ShapeError, match="at least 8x8 pixels, but these are 7x31"):
        build("densenet121", ImageShape(3, 7, 31), 10)
