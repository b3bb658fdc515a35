"""How weights begin: the formulas of the field, what models use by themselves, and both applied to a whole network.

Every formula is about the variance of a weight, from its fans: how many numbers a unit adds up (fan in), and to how
many units a number goes (fan out).

    linear [O, I]          fan in I                         fan out O
    convolution [O, I, k]  fan in I * product of k          fan out O * product of k     (I per group, if there are any)
    recurrent W [G H, I]   fan in I                         fan out H                    (each of the G gates by itself)
    recurrent U [G H, H]   fan in H                         fan out H                    (likewise)

A weight that is frozen when a network is built has learned already, so `start` leaves it as it is.

Sizes need no lazy layers: a model is built from the shape of its inputs, so it knows all of them when it begins.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn

CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
TRANSPOSED = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)
LSTM_GATES, FORGET = 4, 1  # how many an LSTM has, and the place of the one that forgets


@dataclass(frozen=True)
class Weight:
    """A weight, and how it is to be read as a matrix from inputs to units.

    parameter  of any shape
    incoming   the dimensions over which one unit adds up
    fan_in, fan_out
    gates      matrices that stand one below the other in it, each with these fans
    """

    parameter: Tensor
    incoming: tuple[int, ...]
    fan_in: int
    fan_out: int
    gates: int = 1


def weights_of(network: nn.Module) -> Iterator[tuple[nn.Module, Weight]]:
    """Every layer that adds up its inputs, with a weight that learns: linear, convolutional and recurrent layers.

    A recurrent layer has two of them in each direction of each layer, for its inputs and for its state. A layer of a
    model's own is one of them if it says `incoming`: the dimensions of its `weight` that a unit adds up over, all
    others but the last being members that stand side by side ([members, inputs, units] has (1,)).
    """
    return ((layer, weight) for layer, weight in _all_weights_of(network) if weight.parameter.requires_grad)


@torch.no_grad()
def xavier_uniform_(weight: Tensor, fan_in: int, fan_out: int) -> None:
    """Draws from Uniform(-a, a) with a = sqrt(6 / (fan in + fan out)), in place.

    The variance 2 / (fan in + fan out) is between what keeps the signal's and what keeps the gradient's, both without
    regard to the activation. Source: Glorot and Bengio 2010, Understanding the difficulty of training deep feedforward
    neural networks, eq. 16.
    """
    bound = math.sqrt(6 / (fan_in + fan_out))
    weight.uniform_(-bound, bound)


@torch.no_grad()
def xavier_normal_(weight: Tensor, fan_in: int, fan_out: int) -> None:
    """Draws from Normal(0, 2 / (fan in + fan out)), in place. Source: Glorot and Bengio 2010, eq. 12."""
    weight.normal_(0, math.sqrt(2 / (fan_in + fan_out)))


@torch.no_grad()
def he_uniform_(weight: Tensor, fan_in: int, fan_out: int) -> None:
    """Draws from Uniform(-a, a) with a = sqrt(6 / fan in), in place: variance 2 / fan in, as `he_normal_`."""
    bound = math.sqrt(6 / fan_in)
    weight.uniform_(-bound, bound)


@torch.no_grad()
def he_normal_(weight: Tensor, fan_in: int, fan_out: int) -> None:
    """Draws from Normal(0, 2 / fan in), in place: ReLU halves the second moment, and the 2 makes up for it.

    Source: He et al. 2015, Delving Deep into Rectifiers, eq. 10.
    """
    weight.normal_(0, math.sqrt(2 / fan_in))


@torch.no_grad()
def lecun_uniform_(weight: Tensor, fan_in: int, fan_out: int) -> None:
    """Draws from Uniform(-a, a) with a = sqrt(3 / fan in), in place: variance 1 / fan in, as `lecun_normal_`."""
    bound = math.sqrt(3 / fan_in)
    weight.uniform_(-bound, bound)


@torch.no_grad()
def lecun_normal_(weight: Tensor, fan_in: int, fan_out: int) -> None:
    """Draws from Normal(0, 1 / fan in), in place: keeps the variance of the signal where the activation does.

    Source: LeCun, Bottou, Orr and Mueller 1998, Efficient BackProp, eq. 16 (there of uniform or normal shape).
    """
    weight.normal_(0, math.sqrt(1 / fan_in))


@torch.no_grad()
def orthogonal_(matrix: Tensor, gain: float = 1.0) -> None:
    """Makes the rows orthogonal and of length `gain`, or the columns where there are fewer of them, in place.

        Q R = a matrix of Normal(0, 1),    W = gain * Q diag(sign(R[i, i]))

    matrix  [O, ...], read as [O, the rest]; the signs make every orthogonal matrix as likely as any other

    Source: Saxe, McClelland and Ganguli 2014, Exact solutions to the nonlinear dynamics of learning in deep linear
    neural networks, section 3.
    """
    rows, columns = matrix.shape[0], matrix.shape[1:].numel()
    drawn = torch.empty(rows, columns, dtype=matrix.dtype, device=matrix.device).normal_()
    q, r = torch.linalg.qr(drawn if rows >= columns else drawn.T)
    q = q * r.diagonal().sign()
    matrix.copy_((q if rows >= columns else q.T).reshape(matrix.shape) * gain)


Formula = Callable[[Tensor, int, int], None]

BY_FANS: dict[str, Formula] = {
    "xavier-uniform": xavier_uniform_,
    "xavier-normal": xavier_normal_,
    "he-uniform": he_uniform_,
    "he-normal": he_normal_,
    "lecun-uniform": lecun_uniform_,
    "lecun-normal": lecun_normal_,
}


@torch.no_grad()
def start(network: nn.Module, name: str, value: float | None = None) -> None:
    """Begins the weights of linear, convolutional and recurrent layers by a formula, their biases at zero, in place.

    name   a key of BY_FANS, or
           "orthogonal"  orthogonal rows of length `value`, by default 1
           "normal"      Normal(0, value^2), by default 0.01
           "constant"    every weight is `value`, by default 0: for seeing why that does not learn
    value  multiplies what a formula of BY_FANS draws

    Draws come from torch's generator, layer by layer in the network's order. Normalizations, embeddings, the bias of an
    LSTM's forget gate and whatever else a model has keep what the model gave them, and so does what is frozen.
    """
    for layer, weight in weights_of(network):
        for part in weight.parameter.chunk(weight.gates):
            _start_one(part, weight, name, value)
        _zero_biases(layer, weight.gates)


NAMES = (*BY_FANS, "orthogonal", "normal", "constant")


def _start_one(part: Tensor, weight: Weight, name: str, value: float | None) -> None:
    """Begins a whole weight, or the matrix of one of its gates."""
    if name in BY_FANS:
        BY_FANS[name](part, weight.fan_in, weight.fan_out)
        part.mul_(1.0 if value is None else value)
    elif name == "orthogonal":
        for matrix in _matrices(part, weight.incoming):
            orthogonal_(matrix, 1.0 if value is None else value)
    elif name == "normal":
        part.normal_(0, 0.01 if value is None else value)
    else:
        assert name == "constant", f"no initialization is called {name!r}"
        part.fill_(0.0 if value is None else value)


def _matrices(weight: Tensor, incoming: tuple[int, ...]) -> Iterator[Tensor]:
    """Views of the weight, units first; of a layer of many members one for each."""
    if incoming == tuple(range(1, weight.dim())):
        yield weight
    elif incoming[0] == 0:
        yield weight.transpose(0, 1)
    else:
        yield from weight.transpose(-1, -2).flatten(0, -3)


def _all_weights_of(network: nn.Module) -> Iterator[tuple[nn.Module, Weight]]:
    for layer in network.modules():
        if isinstance(layer, (nn.Linear, *CONVOLUTIONS)):
            spread = math.prod(layer.weight.shape[2:])
            fans = layer.weight.shape[1] * spread, layer.weight.shape[0] * spread
            yield layer, Weight(layer.weight, tuple(range(1, layer.weight.dim())), *fans)
        elif isinstance(layer, TRANSPOSED):
            spread = math.prod(layer.weight.shape[2:])
            incoming = (0, *range(2, layer.weight.dim()))
            yield layer, Weight(layer.weight, incoming, layer.weight.shape[0] * spread, layer.weight.shape[1] * spread)
        elif isinstance(incoming := getattr(layer, "incoming", None), tuple):
            weight: Tensor = layer.weight  # type: ignore[assignment]
            fan_in = math.prod(weight.shape[dim] for dim in incoming)
            yield layer, Weight(weight, incoming, fan_in, weight.shape[-1])
        else:
            for name, parameter in layer.named_parameters(recurse=False):
                if name.startswith(("weight_ih", "weight_hh")):  # what torch.nn calls W and U
                    hidden: int = layer.hidden_size  # type: ignore[assignment]
                    gates = parameter.shape[0] // hidden
                    yield layer, Weight(parameter, (1,), parameter.shape[1], hidden, gates)


def _zero_biases(layer: nn.Module, gates: int) -> None:
    for name, parameter in layer.named_parameters(recurse=False):
        if name.startswith("bias") and parameter.requires_grad:
            for place, part in enumerate(parameter.chunk(gates)):
                if gates < LSTM_GATES or place != FORGET:
                    part.zero_()


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
