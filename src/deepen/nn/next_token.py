"""What a network that reads ids says about the next one, over texts of any length and step by step.

    B batch, L places, D width, V vocabulary.  A network is called with (ids [B, T], state) and gives (hidden [B, T, D],
    state); its output layer, which stands in it as `output_layer`, makes probabilities of hidden states.

A network with `window`, a number of places beyond which it sees nothing, keeps no state from text to text: its state is
a cache for going on within a window. One with `window` None keeps in its state all that it knows of what came before.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, cast

import torch
from torch import Tensor, nn

from deepen.nn.output_layers import OutputLayer
from deepen.ops import reading_windows
from deepen.ops.decoding import beam_search, chosen
from deepen.ops.decoding_options import DecodingOptions

POSITIONS_AT_ONCE = 4096  # whose hidden states are in memory together while scoring

State = tuple[Tensor, ...]


def output_layer_of(network: Any) -> OutputLayer:
    """The output layer that stands in a network."""
    return cast(OutputLayer, network.output_layer)


def window_of(network: Any) -> int | None:
    """How many places a network sees, None where its state holds all that it knows."""
    return getattr(network, "window", None)


def surprise(
    network: nn.Module, ids: Tensor, targets: Tensor, first: Tensor, length: Tensor, *, context: int
) -> Tensor:
    """-ln p of each scored target, in nats.

    ids      [B, L] int64, what is read
    targets  [B, L] int64, what comes after each of them
    first    [B] int64: the first place whose target is scored
    length   [B] int64: the places that count; what is behind them is read by nobody
    context  how many places a network with a window reads before the first that it scores in a later window
    returns  [B, S]: the targets from `first` on, NaN behind the last; S is the most that a row has, at least 1

    A network with a state reads a row in one pass, cut into parts that hand it on; one with a window of W places reads
    it in windows that overlap by `context`, and scores each place in the first window that holds it. So neither the
    batch nor the cutting changes an answer.
    """
    scored = _scored(ids, first, length)
    found = torch.full(ids.shape, math.nan, device=ids.device)
    for fresh, end, hidden in _read_through(network, ids, context):
        wanted = scored[:, fresh:end]
        logs = output_layer_of(network).target_log_probabilities(hidden[wanted], targets[:, fresh:end][wanted])
        found[:, fresh:end][wanted] = -logs.float()
    return from_first(found, first, length)


def mean_hidden(network: nn.Module, ids: Tensor, first: Tensor, length: Tensor, *, context: int) -> Tensor:
    """The mean of what the output layer reads over the scored places, [B, D] float; 0 of a row without any.

    The arguments are those of `surprise`, and so is the way of reading.
    """
    scored = _scored(ids, first, length)
    total: Tensor | None = None
    for fresh, end, hidden in _read_through(network, ids, context):
        part = hidden.float().masked_fill(~scored[:, fresh:end, None], 0).sum(1)
        total = part if total is None else total + part
    assert total is not None
    return total / scored.sum(1, keepdim=True).clamp(min=1)


def _scored(ids: Tensor, first: Tensor, length: Tensor) -> Tensor:
    """Which places are scored, [B, L] bool."""
    places = torch.arange(ids.shape[1], device=ids.device)
    return (places >= first[:, None]) & (places < length[:, None])


def _read_through(network: nn.Module, ids: Tensor, context: int) -> Iterator[tuple[int, int, Tensor]]:
    """(from, up to, hidden states between [B, n, D]) of each part of the texts, every place in exactly one."""
    window = window_of(network)
    if window is None:
        parts = reading_windows.parts(ids.shape[0], ids.shape[1], POSITIONS_AT_ONCE)
    else:
        parts = reading_windows.windows(ids.shape[1], window, context)
    state: State | None = None
    for begin, fresh, end in parts:  # reads begin .. end, of which fresh .. end is new
        hidden, after = network(ids[:, begin:end], state)
        state = after if window is None else None
        yield fresh, end, hidden[:, fresh - begin :]


def from_first(found: Tensor, first: Tensor, length: Tensor) -> Tensor:
    """Each row of [B, L] from its first place on, up to its length, NaN behind: [B, S]."""
    most = max(1, int((length - first).max()))
    places = first[:, None] + torch.arange(most, device=found.device)
    inside = places < length[:, None]
    shifted = found.gather(1, places.clamp(max=found.shape[1] - 1))
    return shifted.masked_fill(~inside, math.nan)


class Continuation:
    """A text read so far by a network, for K texts side by side, and what may come next; a step costs one step.

    ids    [K, n] int64: all that was read, for a network with a window the last of it
    log_p  [K, V]: of the next one
    """

    def __init__(self, network: nn.Module, ids: Tensor) -> None:
        self.network = network
        self._window = window_of(network)
        most = ids.shape[1] if self._window is None else self._window
        self.ids = ids[:, -most:]
        self._read(self.ids, self._empty(len(ids)))

    def step(self, choices: Tensor) -> None:
        """Reads one more for each text. choices [K] int64"""
        self.ids = torch.cat([self.ids, choices[:, None]], 1)
        if self._window is not None and self.ids.shape[1] > self._window:  # half of it is read again, and so rarely
            self.ids = self.ids[:, -max(1, self._window // 2) :]
            self._read(self.ids, self._empty(len(self.ids)))
        else:
            self._read(choices[:, None], self._state)

    def select(self, index: Tensor) -> Continuation:
        """These texts in this order, as a continuation of their own. index [K] int64"""
        other = object.__new__(Continuation)
        other.network, other._window = self.network, self._window
        other.ids, other.log_p = self.ids[index], self.log_p[index]
        other._state = tuple(each[index] for each in self._state)
        return other

    def _empty(self, count: int) -> State:
        return cast(Any, self.network).initial_state(count, self.ids.device)

    def _read(self, ids: Tensor, state: State) -> None:
        hidden, self._state = self.network(ids, state)
        self.log_p = output_layer_of(self.network).log_probabilities(hidden[:, -1])


def choices(begun: Continuation, options: DecodingOptions, *, never: int = -1) -> Iterator[int]:
    """The ids that go on from one text, one by one as they are chosen; of a beam all at once.

    never  an id that is not chosen, such as the unknown one; -1: all may be
    """

    def allowed(log_p: Tensor) -> Tensor:
        return log_p if never < 0 else log_p.index_fill(-1, torch.tensor(never, device=log_p.device), -math.inf)

    if options.beam is not None:

        def step(chosen_ids: Tensor, state: Continuation) -> tuple[Tensor, Continuation]:
            state.step(chosen_ids)
            return allowed(state.log_p), state

        first = allowed(begun.log_p)[0]
        found = beam_search(first, begun, step, Continuation.select, beam=options.beam, length=options.length)
        yield from found[0].choices
        return
    for position in range(options.length):
        choice = chosen(allowed(begun.log_p)[0].cpu(), options, position)
        yield choice
        if position < options.length - 1:
            begun.step(torch.tensor([choice], device=begun.ids.device))
