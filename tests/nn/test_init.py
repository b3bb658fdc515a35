import pytest
import torch
from torch import nn

from deepen.nn.init import silence, start_convolutions, start_linears


def test_convolutions_have_the_deviation_of_the_paper():
    torch.manual_seed(0)
    conv = nn.Conv2d(61, 127, 5)
    start_convolutions(nn.Sequential(conv))
    assert float(conv.weight.detach().std()) == pytest.approx((2 / (25 * 127)) ** 0.5, rel=0.01)
    assert conv.bias is not None and not conv.bias.any()


def test_a_convolution_keeps_the_variance_of_gradients_through_relu():
    torch.manual_seed(0)
    conv = nn.Conv2d(67, 131, 3, padding=1, bias=False)
    start_convolutions(conv)
    x = torch.randn(3, 67, 31, 31, requires_grad=True)
    y = torch.relu(conv(x))
    g = torch.randn_like(y)
    y.backward(g)
    assert x.grad is not None
    assert float(x.grad.var() / g.var()) == pytest.approx(1.0, rel=0.1)  # a little less: the frame of zeros


def test_linears_have_the_deviation_of_the_paper():
    torch.manual_seed(0)
    linear = nn.Linear(509, 211)
    start_linears(nn.ModuleList([linear]))
    assert float(linear.weight.detach().std()) == pytest.approx((2 / 509) ** 0.5, rel=0.01)
    assert not linear.bias.any()


def test_a_silent_norm_gives_zero():
    norm = nn.BatchNorm2d(5)
    silence([norm])
    assert not norm(torch.randn(3, 5, 7, 11)).any()
