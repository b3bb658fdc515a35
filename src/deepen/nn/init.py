"""How weights begin."""

from __future__ import annotations

from collections.abc import Iterable

from torch import nn


def start_convolutions(network: nn.Module) -> None:
    """Draws every convolution's weights so that a ReLU net keeps the variance of its gradients, in place.

        w ~ Normal(0, 2 / (kernel height * kernel width * channels out))

    Biases start at zero. Source: He et al. 2015, Delving Deep into Rectifiers, eq. 14.
    """
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)


def start_linears(network: nn.Module) -> None:
    """Draws every linear layer's weights from Normal(0, 2 / inputs), in place; biases start at zero.

    Source: He et al. 2015, Delving Deep into Rectifiers, eq. 10.
    """
    for layer in network.modules():
        if isinstance(layer, nn.Linear):
            nn.init.kaiming_normal_(layer.weight, mode="fan_in", nonlinearity="relu")
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)


def silence(scales: Iterable[nn.BatchNorm2d]) -> None:
    """Sets the scale of each normalization to zero, so that the residual branch it ends starts as the identity.

    Source: Goyal et al. 2017, Accurate, Large Minibatch SGD, section 5.1.
    """
    for norm in scales:
        nn.init.zeros_(norm.weight)
