"""Many small networks side by side: all of them on every row, or on each row only those that were chosen for it.

M members, D inputs, K outputs, k of the members chosen for a row.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

from deepen.nn.dropout import Dropout
from deepen.nn.stack import Activation, activated


class MemberLinear(nn.Module):
    """One linear map per member: [M, B, D] -> [M, B, H].

    Weights start from Normal(0, gain / D): He et al. 2015, eq. 10, with the gain of 2 that ReLU needs.
    """

    incoming = (1,)  # the dimension of `weight` that a unit adds up over, for nn/init.weights_of

    def __init__(self, members: int, inputs: int, outputs: int, *, gain: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(members, inputs, outputs) * math.sqrt(gain / inputs))
        self.bias = nn.Parameter(torch.zeros(members, 1, outputs))

    def forward(self, x: Tensor) -> Tensor:
        return torch.baddbmm(self.bias, x, self.weight)


class MemberNetworks(nn.Module):
    """One feed-forward network per member, all of the same widths.

        h[0] = x,    h[i + 1] = dropout(f(W[m, i] h[i] + b[m, i])),    y[m] = W[m, n] h[n] + b[m, n]

    `forward` computes every member, `chosen` only those that a row asks for: the rows are sorted by member, so that
    each member meets its rows in one matrix product. What a row gets does not depend on the other rows.
    """

    def __init__(
        self, members: int, widths: Sequence[int], *, activation: Activation = "relu", dropout: float = 0.0
    ) -> None:
        super().__init__()
        self.members = members
        self.activation: Activation = activation
        last = len(widths) - 2
        gain = 2.0 if activation == "relu" else 1.0
        self.layers = nn.ModuleList(
            MemberLinear(members, before, after, gain=1.0 if place == last else gain)
            for place, (before, after) in enumerate(pairwise(widths))
        )
        self.hidden = tuple(widths[1:-1])
        self.dropout = Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        """Every member's output: [B, ..., D] -> [B, ..., M, K]"""
        flat = x.flatten(0, -2)
        kept = self._kept(x, self.members)
        h = flat.expand(self.members, *flat.shape)  # [M, n, D]
        for place, layer in enumerate(self.layers):
            h = layer(h)
            if place < len(self.hidden):
                h = activated(h, self.activation)
                h = h if kept is None else h * kept[place].transpose(0, 1)
        return h.transpose(0, 1).reshape(*x.shape[:-1], self.members, h.shape[-1])

    def chosen(self, x: Tensor, which: Tensor) -> Tensor:
        """The outputs of chosen members alone.

        x        [B, ..., D]
        which    [B, ..., k] int64 in [0, M]: the members for each row; M stands for nobody, whose output is 0
        returns  [B, ..., k, K]
        """
        flat, slots = x.flatten(0, -2), which.flatten()
        if slots.numel() == 1 and not self.training:
            found = self._alone(flat, slots)
        else:
            found = self._by_member(flat, slots, which.shape[-1], self._kept(x, which.shape[-1]))
        return found.reshape(*which.shape, found.shape[-1])

    def _alone(self, row: Tensor, slot: Tensor) -> Tensor:
        """A single row [1, D] and its member [1], without the sorting."""
        member = int(slot)
        if member == self.members:
            return row.new_zeros(1, self.layers[-1].weight.shape[-1])  # type: ignore[union-attr, operator]
        picked = [(layer.weight[member], layer.bias.index_select(0, slot)[0]) for layer in self.layers]  # type: ignore[operator, union-attr, index]
        return self._network(row, picked, None)

    def _by_member(self, flat: Tensor, slots: Tensor, k: int, kept: list[Tensor] | None) -> Tensor:
        """Rows [n, D] and the members [n * k] of their slots -> [n * k, K]"""
        order = torch.argsort(slots, stable=True)
        counts = torch.bincount(slots, minlength=self.members + 1).tolist()
        rows = flat[order if k == 1 else torch.div(order, k, rounding_mode="floor")].split(counts)
        masks = None if kept is None else [mask.flatten(0, 1)[order].split(counts) for mask in kept]
        weights = [tuple(zip(layer.weight.unbind(), layer.bias.unbind(), strict=True)) for layer in self.layers]  # type: ignore[operator, union-attr]
        found = []
        for member in range(self.members):
            if counts[member]:
                own = None if masks is None else [mask[member] for mask in masks]
                found.append(self._network(rows[member], [layer[member] for layer in weights], own))
        nobodys = flat.new_zeros(counts[self.members], self.layers[-1].weight.shape[-1])  # type: ignore[union-attr, operator]
        outputs = torch.cat([*found, nobodys])
        back = torch.empty_like(order)
        back[order] = torch.arange(len(order), device=order.device)
        return outputs[back]

    def _network(self, h: Tensor, layers: Sequence[tuple[Tensor, Tensor]], kept: list[Tensor] | None) -> Tensor:
        """One member's network on its rows [n, D]."""
        for place, (weight, bias) in enumerate(layers):
            h = torch.addmm(bias, h, weight)
            if place < len(self.hidden):
                h = activated(h, self.activation)
                h = h if kept is None else h * kept[place]
        return h

    def _kept(self, x: Tensor, slots: int) -> list[Tensor] | None:
        """For each hidden layer what dropout multiplies by, [n, slots, H]; None where nothing is dropped.

        It is drawn before rows are sorted, by row, so that it does not depend on where a row comes to stand.
        """
        if not self.training or self.dropout.p == 0:
            return None
        ones = [x.new_ones(*x.shape[:-1], slots, width) for width in self.hidden]
        return [self.dropout(each).flatten(0, -3) for each in ones]
