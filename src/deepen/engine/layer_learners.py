"""What one layer is while it learns without labels: an autoencoder or a Boltzmann machine around its weights.

Both see the layer's inputs x brought to one scale, z = (x - shift) * scale, and give the layer back in terms of x.

    gaussian   shift is the mean of each input, scale one number: over all inputs, z has a mean variance of 1
    binary     z lies in 0 to 1
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from torch import Tensor, nn

from deepen.core import rng
from deepen.core.errors import OptionError
from deepen.engine.optim_eager import eager
from deepen.engine.options import FitOptions
from deepen.nn.boltzmann import RestrictedBoltzmann, Visible
from deepen.nn.dropout import drawing_for
from deepen.nn.layer_autoencoder import LayerAutoencoder
from deepen.nn.stack import Activation

EPOCHS, BATCH_SIZE, CORRUPTION = 20, 32, 0.25
AUTOENCODER_RATE = 0.001  # of Adam
BOLTZMANN_RATES = {  # by visible and hidden units: what they give is not bounded, where they are not binary
    ("binary", "binary"): 0.05,
    ("gaussian", "binary"): 0.01,
    ("binary", "rectified"): 0.005,
    ("gaussian", "rectified"): 0.001,
}
BOLTZMANN_DECAY = 1e-4
EARLY_MOMENTUM, MOMENTUM, EARLY_EPOCHS = 0.5, 0.9, 5  # Hinton 2010, section 9
LEAST_CHANCE = 0.01  # visible biases begin at the log odds of a unit's mean, no further than this from 0 and 1


@dataclass(frozen=True)
class Scaling:
    """How a layer's inputs x [.., D] are brought to one scale.

    kind      what they are taken for
    shift     [D]
    scale     one number
    mean      [D], of the scaled inputs
    variance  of the scaled inputs, the mean over them
    """

    kind: Visible
    shift: Tensor
    scale: float
    mean: Tensor
    variance: float

    def __call__(self, x: Tensor) -> Tensor:
        """z for x"""
        return (x - self.shift) * self.scale

    def folded(self, weight: Tensor, bias: Tensor) -> tuple[Tensor, Tensor]:
        """The weights [H, D] and biases [H] that give of x what these give of z."""
        return weight * self.scale, bias - self.scale * (weight @ self.shift)


class LayerLearner(Protocol):
    """A layer that learns."""

    def update(self, z: Tensor, epoch: int, rows: np.ndarray) -> Tensor:
        """Learns from a batch [B, D]; the squared error of reconstructing it, before the update, summed: a number."""
        ...

    def layer(self) -> tuple[Tensor, Tensor]:
        """Weights [H, D] and biases [H] of the layer, in terms of z."""
        ...


def learner(
    layer: nn.Linear, activation: Activation, scaling: Scaling, options: FitOptions, *, index: int
) -> LayerLearner:
    """What this layer is to learn as. Raises OptionError for units that a Boltzmann machine does not have."""
    key = rng.key(options.seed, "pretraining", index) % 2**63
    if options.pretrain == "rbm":
        return _Boltzmann(layer, activation, scaling, options, key)
    return _Autoencoder(layer, activation, scaling, options, key)


class _Autoencoder:
    def __init__(
        self, layer: nn.Linear, activation: Activation, scaling: Scaling, options: FitOptions, key: int
    ) -> None:
        corruption = options.pretrain_corruption or CORRUPTION
        self._key = key
        self._net = LayerAutoencoder(
            layer,
            activation,
            inputs=scaling.kind,
            tied=options.pretrain_tied is not False,
            corruption=corruption if options.pretrain == "denoising" else 0.0,
        )
        _start_weights(self._net)
        _start_visible(self._net.visible_bias, scaling)
        self._optimizer = eager(torch.optim.AdamW)(
            _groups(self._net, options.pretrain_weight_decay or 0.0),
            lr=options.pretrain_learning_rate or AUTOENCODER_RATE,
        )

    def update(self, z: Tensor, epoch: int, rows: np.ndarray) -> Tensor:
        error = (self._net.reconstruction(z) - z).square().sum()
        self._optimizer.zero_grad()
        with drawing_for(self._key, epoch, rows, z.device):
            self._net.loss(z).mean().backward()
        self._optimizer.step()
        return error

    def layer(self) -> tuple[Tensor, Tensor]:
        return self._net.weight.detach(), self._net.hidden_bias.detach()


class _Boltzmann:
    def __init__(
        self, layer: nn.Linear, activation: Activation, scaling: Scaling, options: FitOptions, key: int
    ) -> None:
        if activation not in ("relu", "sigmoid", "tanh"):
            raise OptionError(
                f"--pretrain rbm: expected hidden layers of relu, sigmoid or tanh units, but they are {activation}; "
                "use --pretrain autoencoder."
            )
        self._activation = activation
        self._keys = [rng.key(key, "gibbs", turn) % 2**63 for turn in range(options.pretrain_gibbs_steps or 1)]
        self._is_persistent, self._count = bool(options.pretrain_persistent), 0
        self._chains: Tensor | None = None
        torch.manual_seed(rng.key(key, "machine") % 2**63)
        machine = RestrictedBoltzmann(
            layer.in_features,
            layer.out_features,
            visible=scaling.kind,
            hidden="rectified" if activation == "relu" else "binary",
        )
        self._machine = machine.to(layer.weight.device)
        _start_visible(self._machine.visible_bias, scaling)
        decay = options.pretrain_weight_decay
        self._optimizer = eager(torch.optim.SGD)(
            _groups(self._machine, BOLTZMANN_DECAY if decay is None else decay),
            lr=options.pretrain_learning_rate or BOLTZMANN_RATES[machine.visible, machine.hidden],
        )

    def update(self, z: Tensor, epoch: int, rows: np.ndarray) -> Tensor:
        error = (self._machine.reconstruction(z) - z).square().sum()
        gradients = self._machine.gradients(z, self._drawn(z, epoch, rows))
        for name, parameter in self._machine.named_parameters():
            parameter.grad = -gradients[name]  # the optimizer goes down, the likelihood is to go up
        for group in self._optimizer.param_groups:
            group["momentum"] = EARLY_MOMENTUM if epoch < EARLY_EPOCHS else MOMENTUM
        self._optimizer.step()
        return error

    def layer(self) -> tuple[Tensor, Tensor]:
        """A unit of 0 or 1 has mean sigmoid(a); as one of -1 or 1 it has tanh(a / 2)."""
        share = 0.5 if self._activation == "tanh" else 1.0
        return self._machine.weight.detach() * share, self._machine.hidden_bias.detach() * share

    def _drawn(self, z: Tensor, epoch: int, rows: np.ndarray) -> Tensor:
        """Samples that stand for the machine's own: from chains that begin at the batch, or that go on."""
        if not self._is_persistent:
            return self._gibbs(z, epoch, rows)
        chains = z if self._chains is None else self._chains
        self._count += 1
        self._chains = self._gibbs(chains, self._count, np.arange(len(chains)))
        return self._chains

    def _gibbs(self, chains: Tensor, epoch: int, rows: np.ndarray) -> Tensor:
        for key in self._keys:
            with drawing_for(key, epoch, rows, chains.device):
                chains = self._machine.gibbs(chains, 1)
        return chains


def _start_weights(net: LayerAutoencoder) -> None:
    """The layer's own draw keeps the size of what goes up; where there are more units than inputs, down counts.

    With H units of D inputs W' f(W z) grows with H / D, so W is drawn for a fan of the larger of the two.
    """
    num_hidden, num_inputs = net.weight.shape
    with torch.no_grad():
        for parameter in (net.weight, net.decoder):
            if parameter is not None and num_hidden > num_inputs:
                parameter.mul_((num_inputs / num_hidden) ** 0.5)


def _start_visible(bias: nn.Parameter, scaling: Scaling) -> None:
    """So that with no hidden unit on, the mean of the inputs is what is reconstructed (Hinton 2010, section 8.1)."""
    with torch.no_grad():
        bias.copy_(torch.logit(scaling.mean, eps=LEAST_CHANCE) if scaling.kind == "binary" else torch.zeros_like(bias))


def _groups(network: nn.Module, decay: float) -> list[dict[str, object]]:
    """Weights decay, biases do not."""
    weights = [p for p in network.parameters() if p.dim() > 1]
    biases = [p for p in network.parameters() if p.dim() <= 1]
    return [{"params": weights, "weight_decay": decay}, {"params": biases, "weight_decay": 0.0}]
