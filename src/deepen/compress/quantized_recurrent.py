"""A recurrent layer whose weights are whole numbers, and with `input` its inputs and states too.

    gates[t] = W x[t] + U h[t - 1] + b + c,    W = s_o Q,  U = r_o R,  the cells as in nn/recurrent_cells.py

h of each of the three cells lies in (-1, 1), so its grid needs no measuring: 254 steps of 1/127. Without `input` the
weights are turned into floats and PyTorch's kernel runs, or for few places the steps, whose answers are those of the
reference path.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from deepen.compress.quantized_layers import WholeLinear
from deepen.nn.recurrent import are_few
from deepen.nn.recurrent_cells import State
from deepen.nn.sketch import sketched

H_GRID = [1 / 127, 128, 0, 255]


class WholeRecurrent(nn.Module):
    """x [B, T, I], state -> out [B, T, H], state, as a layer of torch.nn with batch first; one layer, one direction."""

    def __init__(self, layer: nn.RNNBase, spec: Mapping[str, Any]) -> None:
        super().__init__()
        if layer.num_layers != 1 or layer.bidirectional or not layer.batch_first or not layer.bias:
            raise ValueError("a recurrent layer of several layers or directions, without bias, or batch second")
        self.kind: Any = {"RNN_TANH": "rnn", "GRU": "gru", "LSTM": "lstm"}.get(layer.mode)
        if self.kind is None:
            raise ValueError(f"a cell {layer.mode}")
        self.input_size, self.hidden_size = layer.input_size, layer.hidden_size
        own = {**spec, "kind": "linear"}
        self.into = WholeLinear(_as_linear(layer, "ih"), own)
        hidden = None if spec["input"] is None else H_GRID
        self.through = WholeLinear(_as_linear(layer, "hh"), {**own, "input": hidden})
        self.runs_rows = spec["input"] is not None

    def fill_from(self, layer: Any) -> None:
        """Takes the whole numbers of a layer of floats."""
        self.into.fill(layer.weight_ih_l0)
        self.through.fill(layer.weight_hh_l0)

    weight_ih_l0 = property(lambda self: self.into.weight)
    weight_hh_l0 = property(lambda self: self.through.weight)
    bias_ih_l0 = property(lambda self: self.into.bias)
    bias_hh_l0 = property(lambda self: self.through.bias)

    def forward(self, x: Tensor, given: Any) -> tuple[Tensor, Any]:
        state = given if isinstance(given, tuple) else (given,)
        begin = tuple(each[0] for each in state)
        out, end = self.rows(x, None, begin) if self.runs_rows else self._floats(x, begin)
        ends = tuple(each[None] for each in end)
        return out, (ends if self.kind == "lstm" else ends[0])

    def rows(self, x: Tensor, valid: Tensor | None, state: State) -> tuple[Tensor, State]:
        """Step by step, behind a row's end its state stays: what nn/recurrent.py asks of a layer with `runs_rows`."""
        projected, out = self.into(x), []
        for t, x_t in enumerate(projected.unbind(1)):
            new = self._step(x_t, state)
            if valid is not None:
                now = valid[:, t, None]
                new = tuple(torch.where(now, after, before) for after, before in zip(new, state, strict=True))
            state = new
            out.append(state[0])
        return torch.stack(out, 1), state

    def _floats(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        if self.kind == "lstm" and are_few(x):
            return self.rows(x, None, state)
        weights = [self.weight_ih_l0, self.weight_hh_l0, self.bias_ih_l0, self.bias_hh_l0]
        rest = (True, 1, 0.0, False, False, True)
        begin = [each[None].contiguous() for each in state]
        if self.kind == "lstm":
            out, h, c = torch.lstm(x, begin, weights, *rest)
            return out, (h[0], c[0])
        call = torch.gru if self.kind == "gru" else torch.rnn_tanh
        out, h = call(x, begin[0], weights, *rest)
        return out, (h[0],)

    def _step(self, x_t: Tensor, state: State) -> State:
        hidden = self.through(state[0])
        if self.kind == "lstm":
            i, f, g, o = (x_t + hidden).chunk(4, 1)
            c = torch.addcmul(torch.sigmoid_(f) * state[1], torch.sigmoid_(i), torch.tanh_(g))
            return torch.sigmoid_(o) * torch.tanh(c), c
        if self.kind == "rnn":
            return (torch.tanh(x_t + hidden),)
        x_r, x_z, x_n = x_t.chunk(3, 1)
        h_r, h_z, h_n = hidden.chunk(3, 1)
        z = torch.sigmoid(x_z + h_z)
        new = torch.tanh(x_n + torch.sigmoid(x_r + h_r) * h_n)
        return (new + z * (state[0] - new),)


def _as_linear(layer: nn.RNNBase, which: str) -> nn.Linear:
    """One of a layer's two maps, its tensors shared."""
    weight, bias = (getattr(layer, f"{name}_{which}_l0") for name in ("weight", "bias"))
    with sketched():
        found = nn.Linear(weight.shape[1], weight.shape[0])
    found.weight, found.bias = weight, bias
    return found
