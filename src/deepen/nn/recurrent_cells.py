"""Recurrent cells written out: one step of a plain recurrent network, a GRU and an LSTM.

Parameters have the names, shapes and gate order of torch.nn.RNNCell, GRUCell and LSTMCell, so that either can stand for
the other. `step` is what a layer over whole sequences repeats where PyTorch's fused layers do not offer what it needs.

    x   [B, I] the input of the step,    h, c  [B, H] the state,    W [G H, I], U [G H, H], G gates, * by element

A mask [B, H], where one is given, is multiplied to the h that U sees, and to no other: recurrent dropout.
"""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from deepen.nn.init import orthogonal_

Kind = Literal["rnn", "gru", "lstm"]
GATES: dict[str, int] = {"rnn": 1, "gru": 3, "lstm": 4}
State = tuple[Tensor, ...]  # (h,) of rnn and gru, (h, c) of lstm


def rnn_step(x: Tensor, state: State, u: Tensor, b: Tensor, mask: Tensor | None = None) -> State:
    """h' = tanh(x + U h + b)

    x        [B, H], W x + b_w already
    returns  (h',)

    Source: Elman, Finding Structure in Time, 1990 (there with a logistic function).
    """
    (h,) = state
    return (torch.tanh(x + F.linear(_seen(h, mask), u, b)),)


def gru_step(x: Tensor, state: State, u: Tensor, b: Tensor, mask: Tensor | None = None) -> State:
    """h' = (1 - z) * n + z * h

        r = sigmoid(x_r + U_r h + b_r),    z = sigmoid(x_z + U_z h + b_z),    n = tanh(x_n + r * (U_n h + b_n))

    x        [B, 3 H], W x + b_w already, gates in the order r, z, n
    returns  (h',)

    Source: Cho et al., Learning Phrase Representations using RNN Encoder-Decoder, 2014, eq. 5-8. There r multiplies h
    before U_n; here the product, as in cuDNN and PyTorch, so that one matrix product does all three gates.
    """
    (h,) = state
    x_r, x_z, x_n = x.chunk(3, 1)
    h_r, h_z, h_n = F.linear(_seen(h, mask), u, b).chunk(3, 1)
    z = torch.sigmoid(x_z + h_z)
    n = torch.tanh(x_n + torch.sigmoid(x_r + h_r) * h_n)
    return (n + z * (h - n),)


def lstm_step(x: Tensor, state: State, u: Tensor, b: Tensor, mask: Tensor | None = None) -> State:
    """c' = f * c + i * g,    h' = o * tanh(c')

        i, f, o = sigmoid(x_. + U_. h + b_.),    g = tanh(x_g + U_g h + b_g)

    x        [B, 4 H], W x + b_w already, gates in the order i, f, g, o
    returns  (h', c')

    Source: Hochreiter and Schmidhuber, Long Short-Term Memory, 1997; the forget gate f from Gers, Schmidhuber and
    Cummins, Learning to Forget, 2000.
    """
    h, c = state
    i, f, g, o = (x + F.linear(_seen(h, mask), u, b)).chunk(4, 1)
    c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
    return torch.sigmoid(o) * torch.tanh(c), c


STEPS = {"rnn": rnn_step, "gru": gru_step, "lstm": lstm_step}


class _Cell(nn.Module):
    kind: Kind

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__()
        gates = GATES[self.kind] * hidden_size
        self.input_size, self.hidden_size = input_size, hidden_size
        self.weight_ih = nn.Parameter(torch.empty(gates, input_size))
        self.weight_hh = nn.Parameter(torch.empty(gates, hidden_size))
        self.bias_ih = nn.Parameter(torch.empty(gates))
        self.bias_hh = nn.Parameter(torch.empty(gates))
        for parameter in self.parameters():
            nn.init.uniform_(parameter, -(hidden_size**-0.5), hidden_size**-0.5)

    def forward(self, x: Tensor, state: State | None = None) -> State:
        if state is None:
            zeros = x.new_zeros(x.shape[0], self.hidden_size)
            state = (zeros, zeros) if self.kind == "lstm" else (zeros,)
        return STEPS[self.kind](F.linear(x, self.weight_ih, self.bias_ih), state, self.weight_hh, self.bias_hh)

    def extra_repr(self) -> str:
        return f"input_size={self.input_size}, hidden_size={self.hidden_size}"


class RNNCell(_Cell):
    """x [B, I], state (h [B, H],) or None for zeros -> (h' [B, H],); see `rnn_step`."""

    kind: Kind = "rnn"


class GRUCell(_Cell):
    """x [B, I], state (h [B, H],) or None for zeros -> (h' [B, H],); see `gru_step`."""

    kind: Kind = "gru"


class LSTMCell(_Cell):
    """x [B, I], state (h [B, H], c [B, H]) or None for zeros -> (h', c'); see `lstm_step`."""

    kind: Kind = "lstm"


@torch.no_grad()
def start_orthogonal(layer: nn.Module, kind: Kind, forget_bias: float = 1.0) -> None:
    """Begins a recurrent layer or cell so that signals keep their length over many steps, in place.

    U of each gate is orthogonal, W of each gate drawn by Glorot and Bengio's formula, and biases are 0; only the forget
    gate's of an LSTM is `forget_bias`, so that it remembers before it has learned what to forget.

    layer  with parameters named as torch.nn.LSTM's or LSTMCell's are

    Source: Saxe, McClelland and Ganguli 2014; the forget gate: Jozefowicz, Zaremba and Sutskever, An Empirical
    Exploration of Recurrent Network Architectures, 2015, section 2.2.
    """
    for name, parameter in layer.named_parameters():
        parts = parameter.chunk(GATES[kind], 0)
        if name.startswith("weight_hh"):
            for part in parts:
                orthogonal_(part)
        elif name.startswith("weight_ih"):
            for part in parts:
                nn.init.xavier_uniform_(part)
        else:
            parameter.zero_()
            if kind == "lstm" and name.startswith("bias_ih"):  # the two biases are added up
                parts[1].fill_(forget_bias)


def _seen(h: Tensor, mask: Tensor | None) -> Tensor:
    return h if mask is None else h * mask
