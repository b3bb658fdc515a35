"""An autoencoder of one layer: what a layer is trained to when it learns, without labels, to keep what it is fed.

    h = f(W x~ + c),    y = V h + b,    V = W' where weights are tied

    gaussian inputs    loss = |y - x|^2 / 2                                                    x real
    binary inputs      loss = -sum of x log sigmoid(y) + (1 - x) log(1 - sigmoid(y))           x in 0 to 1

x~ is x, or x with each number set to 0 by chance (masking noise): a denoising autoencoder has to fill them in, so that
it cannot learn the identity however many units it has.

Sources: Bengio, Lamblin, Popovici and Larochelle 2007; Vincent, Larochelle, Lajoie, Bengio and Manzagol 2010.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from deepen.nn.boltzmann import Visible
from deepen.nn.dropout import row_uniform
from deepen.nn.stack import Activation, activated
from deepen.ops.corruption import corrupted


class LayerAutoencoder(nn.Module):
    """An autoencoder around a linear layer from D inputs to H units, whose weights it begins with.

    weight [H, D], hidden_bias [H], visible_bias [D] and, where weights are not tied, decoder [D, H], which begins as
    the transpose of `weight`.

    corruption  the chance that an input is set to 0 in training. Draws are by row within `nn.dropout.drawing_for`.
    """

    def __init__(
        self,
        layer: nn.Linear,
        activation: Activation,
        *,
        inputs: Visible = "gaussian",
        tied: bool = True,
        corruption: float = 0.0,
    ) -> None:
        super().__init__()
        self.activation: Activation = activation
        self.inputs, self.corruption = inputs, corruption
        weight, bias = layer.weight.detach().clone(), layer.bias.detach().clone()
        self.weight, self.hidden_bias = nn.Parameter(weight), nn.Parameter(bias)
        self.visible_bias = nn.Parameter(weight.new_zeros(weight.shape[1]))
        self.decoder = None if tied else nn.Parameter(weight.T.contiguous())

    def encode(self, x: Tensor) -> Tensor:
        """[B, D] -> [B, H]"""
        return activated(F.linear(x, self.weight, self.hidden_bias), self.activation)

    def loss(self, x: Tensor) -> Tensor:
        """The loss of each row, [B], for [B, D]: with noise in training, without it otherwise."""
        fed = x
        if self.training and self.corruption > 0:
            fed = corrupted(x, "masking", self.corruption, row_uniform(x.shape[0], x.shape[1], x.device))
        y = self._decoded(self.encode(fed))
        if self.inputs == "binary":
            return F.binary_cross_entropy_with_logits(y, x, reduction="none").sum(1)
        return (y - x).square().sum(1) / 2

    @torch.no_grad()
    def reconstruction(self, x: Tensor) -> Tensor:
        """What is decoded of the code of x without noise: [B, D] for [B, D]."""
        y = self._decoded(self.encode(x))
        return torch.sigmoid(y) if self.inputs == "binary" else y

    def _decoded(self, code: Tensor) -> Tensor:
        return F.linear(code, self.weight.T if self.decoder is None else self.decoder, self.visible_bias)
