import pytest
import torch

from deepen.core.errors import ShapeError
from deepen.models.lenet import PAPER, Options, build
from deepen.nn.shapes import ImageShape


@pytest.mark.parametrize("side", [8, 28, 32, 224])
def test_parameters_are_61706_at_any_size(side):
    net = build("lenet", ImageShape(1, side, side), 10)
    assert sum(p.numel() for p in net.parameters()) == PAPER["lenet"].parameters == 61_706
    assert net(torch.zeros(1, 1, side, side)).shape == (1, 10)


def test_28_pixels_get_a_frame_of_two():
    torch.manual_seed(0)
    small, large = build("lenet", ImageShape(1, 28, 28), 10), build("lenet", ImageShape(1, 32, 32), 10)
    large.load_state_dict(small.state_dict())
    images = torch.randn(3, 1, 28, 28)
    framed = torch.zeros(3, 1, 32, 32)
    framed[:, :, 2:30, 2:30] = images
    assert torch.equal(small(images), large(framed))


def test_the_paper_has_tanh_and_averages():
    net = build("lenet", ImageShape(1, 32, 32), 10, Options(activation="tanh", pooling="average"))
    assert [type(layer).__name__ for layer in net.maps] == ["Conv2d", "Tanh", "AvgPool2d"] * 2


@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 32, 32), (1, 28, 28), (3, 41, 37), (5, 13, 67)])
def test_every_parameter_gets_a_gradient(shape):
    torch.manual_seed(0)
    net = build("lenet", ImageShape(*shape), 7, Options(dropout=0.1))
    images = torch.randn(11, *shape)
    net(images).square().sum().backward()
    assert all(p.grad is not None and p.grad.any() for p in net.parameters())
    assert torch.equal(net.eval()(images), net(images))


def test_too_small_an_image_is_refused():
    with pytest.raises(ShapeError, match="at least 4x4 pixels, but these are 3x31"):
        build("lenet", ImageShape(1, 3, 31), 10)
