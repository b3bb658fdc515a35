"""Recurrent layers as operators of ONNX, while a network is traced to be written as such a file.

PyTorch traces a recurrent layer as one step after the other, for one number of steps alone. ONNX has operators for
whole layers, with any number of steps, which engines run fast. Source: onnx.ai/onnx/operators, LSTM, GRU and RNN.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from contextvars import ContextVar
from typing import Any

import torch
from torch import Tensor

_TRACING = ContextVar("tracing for ONNX", default=False)
OPERATORS = {"lstm": "LSTM", "gru": "GRU", "rnn": "RNN"}
ORDER = {"lstm": (0, 3, 1, 2), "gru": (1, 0, 2), "rnn": (0,)}  # PyTorch's i f g o as ONNX's i o f c, its r z n as z r h


@contextlib.contextmanager
def onnx_operators(wanted: bool = True) -> Iterator[None]:
    """Within it, recurrent layers are traced as operators of ONNX if that is wanted."""
    token = _TRACING.set(wanted)
    try:
        yield
    finally:
        _TRACING.reset(token)


def are_wanted() -> bool:
    """Whether a layer is being traced for ONNX now."""
    return _TRACING.get()


def recurrent(
    kind: str, x: Tensor, state: Sequence[Tensor], weights: Sequence[Tensor]
) -> tuple[Tensor, tuple[Tensor, ...]]:
    """One layer in one direction over full rows, traced and not computed.

    x        [B, T, I]
    state    each [B, H]
    weights  w [G H, I], u [G H, H] and their biases, as PyTorch orders them
    returns  outputs [B, T, H], and the state at the end
    """
    batch, length, _ = x.shape
    hidden = state[0].shape[1]
    w, u, b, c = (_reordered(each, kind) for each in weights)
    inputs = [x.transpose(0, 1), w[None], u[None], torch.cat([b, c])[None], None, *(each[None] for each in state)]
    shapes = [(length, 1, batch, hidden), *[(1, batch, hidden)] * len(state)]
    attributes: dict[str, Any] = {"hidden_size": hidden}
    if kind == "gru":
        attributes["linear_before_reset"] = 1
    out, *ends = torch.onnx.ops.symbolic_multi_out(
        OPERATORS[kind], inputs, attrs=attributes, dtypes=[x.dtype] * len(shapes), shapes=shapes
    )
    return out[:, 0].transpose(0, 1), tuple(end[0] for end in ends)


def _reordered(weights: Tensor, kind: str) -> Tensor:
    parts = weights.chunk(len(ORDER[kind]))
    return torch.cat([parts[place] for place in ORDER[kind]])
