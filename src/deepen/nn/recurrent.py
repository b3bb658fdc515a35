"""Recurrent layers over whole sequences: stacked, in one direction or both, with states in and out.

    B batch, T places, I inputs, H hidden size, L layers, S = L times 2 if bidirectional

Sequences of different lengths are padded at their end. What is computed behind the end of a row is thrown away, and the
backward direction begins at each row's own end, so padding changes neither answers nor gradients. Packing would say the
same and is slower to train.

Measured on one core of a CPU with AVX-512, forward and backward, B = 20, T = 35, I = H = 200, ratio of times:

    written-out steps / fused     LSTM 1.31   GRU 1.16   RNN 1.14
    packed / fused, 79 % filled   LSTM 1.44   GRU 1.08   RNN 1.13

At H = 100 and 128 the written-out LSTM and the fused one take the same time.

The fused LSTM lays its weights out anew in each call, which for a word at a time is most of the work: forward alone,
B = 1, H = 512, microseconds fused and step by step, 6,525 and 245 for T = 1, 6,395 and 1,155 for 4, 7,234 and 2,935 for
16; B = 32 and T = 4, 13,362 and 7,594. GRU and RNN do not.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, Literal, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from deepen.core.errors import ShapeError
from deepen.nn import onnx_operators
from deepen.nn.dropout import Dropout, row_uniform
from deepen.nn.recurrent_cells import STEPS, Kind, State, start_orthogonal

_FUSED: dict[str, Callable[..., nn.RNNBase]] = {"rnn": nn.RNN, "gru": nn.GRU, "lstm": nn.LSTM}
FEW_STEPS = 4  # of an LSTM, up to which steps are faster than the fused kernel without gradients
_SHUT = 1e4  # a gate's input at which the sigmoid is exactly 0 or 1 in every float type


class VariationalDropout(nn.Module):
    """Zeroes each number of a vector with probability p, the same ones at all places of a row, and scales the rest.

        y[b, t] = x[b, t] * m[b] / (1 - p),    m[b] of zeros and ones [D]

    x  [B, T, D]

    Source: Gal and Ghahramani, A Theoretically Grounded Application of Dropout in Recurrent Neural Networks, 2016.
    """

    def __init__(self, p: float = 0.5) -> None:
        super().__init__()
        assert 0 <= p < 1
        self.p = p

    def forward(self, x: Tensor) -> Tensor:
        if not self.training or self.p == 0:
            return x
        return x * row_mask(x.shape[0], x.shape[2], self.p, x)[:, None]

    def extra_repr(self) -> str:
        return f"p={self.p}"


def row_mask(num_rows: int, width: int, p: float, like: Tensor) -> Tensor:
    """[num_rows, width] of 0 with probability p, else 1 / (1 - p), by row."""
    return (row_uniform(num_rows, width, like.device) >= p).to(like.dtype) / (1 - p)


class Recurrent(nn.Module):
    """Layers of recurrent cells, each over the outputs of the one below.

        h[l, t] = cell(h[l - 1, t], h[l, t - 1]),    h[0] = x

    kind               "rnn" (tanh), "gru" or "lstm": see nn/recurrent_cells.py for the formulas
    bidirectional      a second direction from the end to the start; its outputs stand behind the first's
    dropout            of what goes from one layer to the next
    variational        that dropout has one mask for all places of a row, as in Gal and Ghahramani 2016
    recurrent_dropout  of h on its way from step to step, one mask for all steps (the same source); the steps are then
                       taken one by one
    start              "uniform": all parameters from Uniform(-1 / sqrt(H), 1 / sqrt(H)), PyTorch's; "orthogonal": see
                       `start_orthogonal`
    forget_bias        of an LSTM's forget gate at the start; None leaves what `start` gives (1 if orthogonal)

    x        [B, T, I]
    lengths  [B] int64, each at most T, or None if all rows are full; a length of 0 is allowed
    state    what an earlier call gave, or None for zeros: (h [B, S, H],), of an LSTM (h, c); of several layers the
             first stands first, and its forward direction before its backward one
    returns  outputs [B, T, H or 2 H], 0 behind the end of a row, and the state at each row's end

    Parameters are those of torch.nn layers of one direction: ahead.0.weight_ih_l0, back.0.weight_ih_l0, ...
    Raises ShapeError for a state or lengths that do not fit x.
    """

    def __init__(
        self,
        kind: Kind,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bidirectional: bool = False,
        dropout: float = 0.0,
        variational: bool = False,
        *,
        recurrent_dropout: float = 0.0,
        start: Literal["uniform", "orthogonal"] = "uniform",
        forget_bias: float | None = None,
    ) -> None:
        super().__init__()
        assert num_layers >= 1 and 0 <= recurrent_dropout < 1
        self.kind: Kind = kind
        self.hidden_size, self.num_layers, self.bidirectional = hidden_size, num_layers, bidirectional
        self.recurrent_dropout = recurrent_dropout
        self.width = hidden_size * (2 if bidirectional else 1)
        sizes = [input_size, *[self.width] * (num_layers - 1)]
        self.ahead = nn.ModuleList(_FUSED[kind](size, hidden_size, batch_first=True) for size in sizes)
        self.back = nn.ModuleList(
            _FUSED[kind](size, hidden_size, batch_first=True) for size in (sizes if bidirectional else [])
        )
        self.dropout = VariationalDropout(dropout) if variational else Dropout(dropout)
        for layer in (*self.ahead, *self.back):
            if start == "orthogonal":
                start_orthogonal(layer, kind)
            if forget_bias is not None and kind == "lstm":
                set_forget_bias(layer, forget_bias)

    @property
    def num_states(self) -> int:
        """How many tensors a state has."""
        return 2 if self.kind == "lstm" else 1

    def initial_state(self, batch_size: int, device: torch.device | None = None) -> State:
        """Zeros [B, S, H]."""
        shape = (batch_size, len(self.ahead) + len(self.back), self.hidden_size)
        return tuple(torch.zeros(shape, device=device) for _ in range(self.num_states))

    def forward(self, x: Tensor, lengths: Tensor | None = None, state: State | None = None) -> tuple[Tensor, State]:
        state = self._checked(x, lengths, state)
        valid = None if lengths is None else places_before(lengths, x.shape[1], x.device)
        ends: list[State] = []
        for index, ahead in enumerate(self.ahead):
            if index:
                x = self.dropout(x)
            direction = 2 if self.bidirectional else 1
            begin = tuple(each[:, index * direction] for each in state)
            out, end = self._run(cast(nn.RNNBase, ahead), x, valid, begin)
            ends.append(end)
            if self.bidirectional:
                begin = tuple(each[:, index * direction + 1] for each in state)
                back = cast(nn.RNNBase, self.back[index])
                turned, end = self._run(back, reversed_within(x, lengths), valid, begin)
                ends.append(end)
                out = torch.cat([out, reversed_within(turned, lengths)], 2)
            x = out
        if valid is not None:
            x = x.masked_fill(~valid[..., None], 0.0)
        return x, tuple(torch.stack(each, 1) for each in zip(*ends, strict=True))

    def _run(self, layer: nn.RNNBase, x: Tensor, valid: Tensor | None, state: State) -> tuple[Tensor, State]:
        """One layer in one direction: outputs [B, T, H], right before a row's end, and the state at its end."""
        if self.training and self.recurrent_dropout > 0:
            mask = row_mask(x.shape[0], self.hidden_size, self.recurrent_dropout, x)
            return stepped(layer, self.kind, x, valid, state, mask)
        own: Any = layer
        if getattr(own, "runs_rows", False) and not onnx_operators.are_wanted():
            return own.rows(x, valid, state)
        if valid is None and self.kind == "lstm" and are_few(x):
            return stepped(layer, self.kind, x, None, state)
        if self.kind == "lstm" and x.device.type == "cpu" and not _autocasts_lstm():
            with torch.autocast("cpu", enabled=False):
                return _whole_rows(layer, self.kind, x.float(), valid, tuple(each.float() for each in state))
        return _whole_rows(layer, self.kind, x, valid, state)

    def _checked(self, x: Tensor, lengths: Tensor | None, state: State | None) -> State:
        if lengths is not None and lengths.shape != x.shape[:1]:
            raise ShapeError(f"lengths has shape {tuple(lengths.shape)} but x {tuple(x.shape)}; both begin with batch.")
        expected = (x.shape[0], len(self.ahead) + len(self.back), self.hidden_size)
        if state is None:
            return tuple(x.new_zeros(expected) for _ in range(self.num_states))
        shapes = [tuple(each.shape) for each in state]
        if shapes != [expected] * self.num_states:
            raise ShapeError(
                f"state has shapes {shapes} instead of {self.num_states} times {expected}: batch, layers, hidden size."
            )
        return state

    def extra_repr(self) -> str:
        return f"kind={self.kind!r}, recurrent_dropout={self.recurrent_dropout}"


def are_few(x: Tensor) -> bool:
    """Whether so few places are read, for an answer alone, that an LSTM is faster step by step."""
    plain = x.device.type == "cpu" and not torch.is_grad_enabled() and not torch.compiler.is_exporting()
    return plain and x.shape[1] <= FEW_STEPS


def stepped(
    layer: nn.RNNBase, kind: Kind, x: Tensor, valid: Tensor | None, state: State, mask: Tensor | None = None
) -> tuple[Tensor, State]:
    """One layer step by step: outputs [B, T, H] and the state at each row's end.

    layer  of one direction
    valid  [B, T] bool: before the row's end; behind it the state stays as it is
    mask   [B, H], multiplied to h on its way into each step
    """
    step, out = STEPS[kind], []
    u, b = _parameter(layer, "weight_hh_l0"), _parameter(layer, "bias_hh_l0")
    projected = F.linear(x, _parameter(layer, "weight_ih_l0"), _parameter(layer, "bias_ih_l0"))  # [B, T, G H]
    for t, x_t in enumerate(projected.unbind(1)):
        new = step(x_t, state, u, b, mask)
        if valid is not None:
            now = valid[:, t, None]
            new = tuple(torch.where(now, after, before) for after, before in zip(new, state, strict=True))
        state = new
        out.append(state[0])
    return torch.stack(out, 1), state


def reversed_within(x: Tensor, lengths: Tensor | None) -> Tensor:
    """Each row [T, D] turned around up to its end, what is behind it left in place; its own inverse."""
    if lengths is None:
        return x.flip(1)
    places = torch.arange(x.shape[1], device=x.device)
    lengths = lengths.to(x.device)[:, None]
    source = torch.where(places < lengths, lengths - 1 - places, places)  # [B, T]
    source = source + torch.arange(x.shape[0], device=x.device)[:, None] * x.shape[1]
    return x.flatten(0, 1).index_select(0, source.flatten()).view_as(x)


def places_before(lengths: Tensor, num_places: int, device: torch.device | None = None) -> Tensor:
    """[B, T] bool: True before the end of each row.

    >>> places_before(torch.tensor([2, 0]), 3).int().tolist()
    [[1, 1, 0], [0, 0, 0]]
    """
    return torch.arange(num_places, device=device) < lengths.to(device)[:, None]


@torch.no_grad()
def set_forget_bias(layer: nn.Module, value: float) -> None:
    """Sets the bias of the forget gate of an LSTM layer, in place: both of its biases together are `value`."""
    for name, parameter in layer.named_parameters():
        if name.startswith("bias"):
            parameter.chunk(4)[1].fill_(value if name.startswith("bias_ih") else 0.0)


def _whole_rows(layer: nn.RNNBase, kind: Kind, x: Tensor, valid: Tensor | None, state: State) -> tuple[Tensor, State]:
    """One layer by PyTorch's kernel, in the way that suits the rows and the device."""
    if valid is None:
        return _fused(layer, kind, x, state)
    return _packed(layer, kind, x, valid, state) if x.is_cuda else _held(layer, kind, x, valid, state)


def _autocasts_lstm() -> bool:
    """Whether the CPU's LSTM kernel can compute as autocast wants now: on processors without AVX-512 there is none in
    bfloat16. Without autocast, or while a graph is traced, it can."""
    if torch.compiler.is_compiling() or torch.compiler.is_exporting() or not torch.is_autocast_enabled("cpu"):
        return True
    return _has_lstm_kernel(torch.get_autocast_dtype("cpu"))


@functools.cache
def _has_lstm_kernel(dtype: torch.dtype) -> bool:
    """By trying the smallest one."""
    x, weights = torch.zeros(1, 1, 1), [torch.zeros(4, 1), torch.zeros(4, 1), torch.zeros(4), torch.zeros(4)]
    try:
        with torch.autocast("cpu", dtype=dtype):
            torch.lstm(x, (x, x), weights, True, 1, 0.0, False, False, True)
    except RuntimeError:  # "could not create a primitive descriptor"
        return False
    return True


def _fused(layer: nn.RNNBase, kind: Kind, x: Tensor, state: State) -> tuple[Tensor, State]:
    """One layer of full rows by PyTorch's kernel."""
    if onnx_operators.are_wanted():
        names = ("weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0")
        return onnx_operators.recurrent(kind, x, state, [_parameter(layer, name) for name in names])
    given = tuple(each[None].contiguous() for each in state)
    out, end = layer(x, given if kind == "lstm" else given[0])
    return out, tuple(each[0] for each in (end if kind == "lstm" else (end,)))


def _held(layer: nn.RNNBase, kind: Kind, x: Tensor, valid: Tensor, state: State) -> tuple[Tensor, State]:
    """One layer by the same kernel; what is behind a row's end is computed and not used.

    The last h is picked from the outputs. The last c of an LSTM is not among them, so it is held until the end: a
    further input, 1 behind the row's end, shuts the input gate and opens the forget gate there.
    """
    if kind == "lstm":
        ended = (~valid)[..., None].to(x.dtype)
        gate = x.new_tensor([-_SHUT, _SHUT, 0.0, 0.0]).repeat_interleave(layer.hidden_size)[:, None]
        w_x, u = _parameter(layer, "weight_ih_l0"), _parameter(layer, "weight_hh_l0")
        biases = [_parameter(layer, "bias_ih_l0"), _parameter(layer, "bias_hh_l0")]
        weights = [torch.cat([w_x, gate.to(w_x.dtype)], 1), u, *biases]
        given = tuple(each[None].contiguous() for each in state)
        if onnx_operators.are_wanted():
            out, end = onnx_operators.recurrent(kind, torch.cat([x, ended], 2), state, weights)
        else:
            out, _, c = torch.lstm(torch.cat([x, ended], 2), given, weights, True, 1, 0.0, layer.training, False, True)
            end = (state[0], c[0])
    else:
        out, end = _fused(layer, kind, x, state)
    last = valid.sum(1) - 1  # [B], -1 in rows without a place
    picked = out[torch.arange(out.shape[0], device=out.device), last.clamp_min(0)]
    return out, (torch.where((last >= 0)[:, None], picked, state[0]), *end[1:])


def _packed(layer: nn.RNNBase, kind: Kind, x: Tensor, valid: Tensor, state: State) -> tuple[Tensor, State]:
    """One layer over packed rows, for kernels that want their weights in one piece (cuDNN)."""
    lengths = valid.sum(1)
    packed = pack_padded_sequence(x, lengths.clamp_min(1).cpu(), batch_first=True, enforce_sorted=False)
    given = tuple(each[None].contiguous() for each in state)
    out, end = layer(packed, given if kind == "lstm" else given[0])
    out, _ = pad_packed_sequence(out, batch_first=True, total_length=x.shape[1])
    ends = end if kind == "lstm" else (end,)
    has_any = (lengths > 0)[:, None]
    return out, tuple(torch.where(has_any, after[0], before) for after, before in zip(ends, state, strict=True))


def _parameter(layer: nn.RNNBase, name: str) -> Tensor:
    return getattr(layer, name)
