"""A language model as a graph: ln p of given next tokens, and the state in which the network ends.

    ids, targets [B, T] int64, state [B, S] float32 -> [B, T + S] float32

What comes out is one tensor: ln p of each target, and behind these the state after the last place, all numbers of a row
side by side, as the next call is given it. A network with a window keeps no state: it has no such input, and S is 0.

Probabilities are those of the output layer, exact and normalized. An adaptive softmax and one by classes compute all
words here, since which of their parts a target needs hangs on the data.
"""

from __future__ import annotations

import itertools
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from deepen.nn.next_token import output_layer_of, window_of
from deepen.nn.output_hierarchical import HuffmanSoftmax
from deepen.nn.shortlist_tail import PairedShortlist

LENGTH = 7  # of the examples
BATCH, PLACES = "batch", "length"


class LanguageGraph(nn.Module):
    """A network with its output layer in it.

    window  places that it sees, None where its state holds all that it knows
    """

    def __init__(self, network: Any) -> None:
        super().__init__()
        self.network = network
        self.window = window_of(network)
        self.longest_path = _longest_path(output_layer_of(network))
        self.begun: tuple[Tensor, ...] = ()
        if self.window is None:
            self.begun = tuple(each.cpu() for each in network.initial_state(1, torch.device("cpu")))

    def forward(self, ids: Tensor, targets: Tensor, state: Tensor | None = None) -> Tensor:
        """[B, T + S]"""
        hidden, after = self.network(ids, None if state is None else self._apart(state))
        logs = self._logs(hidden.flatten(0, 1), targets.flatten()).view(ids.shape).float()
        return logs if state is None else torch.cat([logs, *(each.flatten(1).float() for each in after)], 1)

    def examples(self) -> dict[str, Tensor]:
        """Two texts, shorter than the window so that they are read in whole, and no state yet."""
        length = LENGTH if self.window is None else max(2, min(LENGTH, self.window - 1))
        number = output_layer_of(self.network).num_words
        ids = torch.arange(2 * length).view(2, length) % number
        found = {"ids": ids, "targets": (ids + 1) % number}
        return found if self.window is not None else found | {"state": self._start().expand(2, -1).contiguous()}

    def free(self) -> dict[str, dict[int, str]]:
        """Batch and length."""
        found = {name: {0: BATCH, 1: PLACES} for name in ("ids", "targets")}
        return found if self.window is not None else found | {"state": {0: BATCH}}

    def most(self) -> dict[str, int]:
        """The window, where there is one."""
        return {} if self.window is None else {PLACES: self.window}

    def description(self) -> dict[str, Any]:
        """JSON-able, what whoever calls the graph must know.

        window  places of a call, null where there is no such limit
        begun   the state before a text as runs of equal numbers: [number, how many]
        words   in the vocabulary: a call holds so many numbers for each place
        """
        runs = [[value, len(list(same))] for value, same in itertools.groupby(self._start().tolist())]
        return {"window": self.window, "begun": runs, "words": output_layer_of(self.network).num_words}

    def _logs(self, hidden: Tensor, targets: Tensor) -> Tensor:
        """What the output layer's `target_log_probabilities` says, by operations that do not hang on the data.

        hidden   [n, D]
        targets  [n] int64
        returns  [n]
        """
        layer: Any = output_layer_of(self.network)
        if isinstance(layer, HuffmanSoftmax):
            return _along_paths(layer, hidden, targets, self.longest_path)
        if isinstance(layer, PairedShortlist):
            return _with_tail(layer, hidden, targets)
        return layer.log_probabilities(hidden).gather(1, targets[:, None])[:, 0]

    def _start(self) -> Tensor:
        """[S] float32"""
        return torch.cat([torch.zeros(0), *(each.flatten().float() for each in self.begun)])

    def _apart(self, state: Tensor) -> tuple[Tensor, ...]:
        """The network's own state from its numbers side by side."""
        parts = state.split([each.numel() for each in self.begun], 1)
        return tuple(
            part.unflatten(1, tuple(each.shape[1:])).to(each.dtype)
            for part, each in zip(parts, self.begun, strict=True)
        )


def _longest_path(layer: Any) -> int:
    return int(layer.starts.diff().max()) if isinstance(layer, HuffmanSoftmax) else 0


def _along_paths(layer: HuffmanSoftmax, hidden: Tensor, targets: Tensor, longest: int) -> Tensor:
    """Over each target's path in the tree, filled up to the longest of all."""
    start, end = layer.starts[targets], layer.starts[targets + 1]
    entries = start[:, None] + torch.arange(longest)  # [n, longest]
    inside = entries < end[:, None]
    entries = entries.clamp(max=len(layer.path_nodes) - 1)
    nodes = layer.path_nodes[entries]
    scores = (F.embedding(nodes, layer.nodes.weight) * hidden[:, None]).sum(2) + layer.nodes.bias[nodes]
    return F.logsigmoid(layer.path_signs[entries] * scores).masked_fill(~inside, 0).sum(1)


def _with_tail(layer: PairedShortlist, hidden: Tensor, targets: Tensor) -> Tensor:
    """ln p of a word of the shortlist, or of the tail and of the word in it."""
    inner, before = layer.taken_apart(hidden)
    short = layer.layer
    no_tail = torch.zeros_like(short.tail_logs)  # every rare word has what the tail has
    logs = short.log_probabilities(inner, tail=no_tail).gather(1, targets[:, None])[:, 0]
    is_rare = short.place_of[targets] >= len(short.shortlist)
    return logs + layer.tail_of(before, targets).masked_fill(~is_rare, 0)
