"""Mixture of experts: a gate says for each row which of several feed-forward networks answer, and with what weight.

    p(x) = softmax(G x)                                                 [N] over the N experts
    soft   y = sum over e of p_e(x) f_e(x)                              Jacobs et al. 1991
    top-1  y = p_a(x) f_a(x),   a = the expert of the largest p         Fedus et al. 2021, Switch Transformer
    top-k  y = sum over the k largest of  p_e(x) / (their sum) f_e(x)   Shazeer et al. 2017

Of a top-k gate only the chosen experts are computed. None has a capacity: no row is turned away because others came
first, so what a row gets does not depend on the other rows.

A gate left to itself soon sends everything to a few experts, which then alone learn. So training adds
`balance` times one of these to the loss of each target (nn/extra_loss.py), both over the rows of a micro-batch:

    switch      N * sum over e of  (share of the choices that fell on e) * (mean of p_e),   1 where all are alike
    importance  (deviation / mean)^2 over the experts of  (sum over rows of their weight),  0 where all are alike
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from deepen.nn.extra_loss import add_loss, is_collecting
from deepen.nn.members import MemberNetworks
from deepen.nn.stack import Activation

Gate = Literal["soft", "top1", "top2"]
Balancing = Literal["switch", "importance"]
TOP: dict[str, int | None] = {"soft": None, "top1": 1, "top2": 2}
# what networks with experts say of their options
GATE = {"help": "which experts answer: soft: all by their weights, top1, top2: the best ones", "needs": "experts"}
BALANCE = {"help": "weight of the loss that keeps all experts in use", "least": 0.0, "needs": "experts"}
BALANCING = {"help": "which loss that is; a soft gate has that of importance", "needs": "experts"}


class Experts(nn.Module):
    """A mixture of networks of the same widths: [B, ..., D] -> [B, ..., K]

    widths      D, those of the hidden layers, K
    top         how many experts answer for a row; None: all, by a soft gate
    balance     weight of the loss that keeps all experts in use
    balancing   which loss that is; a soft gate chooses nothing, and has that of importance
    """

    def __init__(
        self,
        widths: Sequence[int],
        num_experts: int,
        *,
        top: int | None = None,
        activation: Activation = "relu",
        dropout: float = 0.0,
        balance: float = 0.01,
        balancing: Balancing = "switch",
    ) -> None:
        super().__init__()
        self.top = None if top is None else min(top, num_experts)
        self.balance, self.balancing = balance, balancing
        self.gate = nn.Linear(widths[0], num_experts, bias=False)
        nn.init.normal_(self.gate.weight, std=widths[0] ** -0.5)
        self.experts = MemberNetworks(num_experts, widths, activation=activation, dropout=dropout)

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """mask [B, ...] bool: True where there is a row; what is not there gets 0, and counts in no balance."""
        probabilities = self.gate(x).softmax(-1)
        if self.top is None:
            if self.training:
                self._add_loss(probabilities, None, mask)
            return _weighted(self.experts(x), probabilities)
        weights, which = chosen_experts(probabilities, self.top)
        if self.training:
            self._add_loss(probabilities, which, mask)
        if torch.compiler.is_exporting():  # a graph's shapes cannot hang on how many rows come to an expert
            spread = torch.zeros_like(probabilities).scatter(-1, which, weights.to(probabilities.dtype))
            return _weighted(self.experts(x), spread)
        if mask is not None:
            which = which.masked_fill(~mask[..., None], self.experts.members)  # nobody
        return _weighted(self.experts.chosen(x, which), weights)

    def _add_loss(self, probabilities: Tensor, which: Tensor | None, mask: Tensor | None) -> None:
        if not (self.balance and is_collecting()):
            return
        shown = torch.ones(probabilities.shape[:-1], dtype=torch.bool) if mask is None else mask
        shown = shown.to(probabilities.device).flatten()
        p = probabilities.flatten(0, -2)
        chosen = None if which is None else which.flatten(0, -2)
        if self.balancing == "switch" and chosen is not None:
            loss = switch_loss(p, chosen, shown)
        else:
            loss = importance_loss(p if chosen is None else _spread(p, chosen), shown)
        add_loss(self.balance * loss)


def chosen_experts(probabilities: Tensor, top: int) -> tuple[Tensor, Tensor]:
    """The weights and the numbers of the experts that answer: [..., N] -> two of [..., k]

    The weights of several add up to 1. A single one keeps its probability: by a weight of always 1 no gate learns.

    >>> chosen_experts(torch.tensor([0.1, 0.3, 0.6]), 2)[1].tolist()
    [2, 1]
    """
    weights, which = probabilities.topk(top, dim=-1)
    return (weights if top == 1 else weights / weights.sum(-1, keepdim=True)), which


def switch_loss(probabilities: Tensor, which: Tensor, shown: Tensor) -> Tensor:
    """How unevenly the choices fall: 1 where all experts are alike, N where one has everything.

        N * sum over e of f_e P_e,    f_e the share of all choices that fell on e,   P_e the mean of p_e

    probabilities  [n, N]
    which          [n, k] int64: the choices
    shown          [n] bool: the rows that count
    returns        scalar, with a gradient by P

    Source: Fedus, Zoph and Shazeer 2021, Switch Transformers, eq. 4 to 6 (there with k = 1).
    """
    experts, counted = probabilities.shape[1], shown.to(probabilities.dtype)
    total = counted.sum().clamp(min=1)
    fell = torch.zeros_like(probabilities).scatter(1, which, 1.0) * counted[:, None]
    share = fell.sum(0) / (total * which.shape[1])
    return experts * share @ ((probabilities * counted[:, None]).sum(0) / total)


def importance_loss(weights: Tensor, shown: Tensor) -> Tensor:
    """The squared coefficient of variation of the experts' importance, the sum of their weights over rows.

    weights  [n, N], 0 where an expert does not answer
    shown    [n] bool: the rows that count
    returns  scalar

    Source: Shazeer et al. 2017, Outrageously Large Neural Networks, eq. 6 and 7.
    """
    importance = (weights * shown[:, None]).sum(0)
    return importance.var(unbiased=False) / importance.mean().square().clamp(min=1e-10)


def _spread(probabilities: Tensor, which: Tensor) -> Tensor:
    """The weights of all experts, 0 for those that were not chosen: [n, N]"""
    weights = probabilities.gather(1, which)
    if which.shape[1] > 1:
        weights = weights / weights.sum(1, keepdim=True)
    return torch.zeros_like(probabilities).scatter(1, which, weights)


def _weighted(outputs: Tensor, weights: Tensor) -> Tensor:
    """[..., k, K] by [..., k] -> [..., K]"""
    return (outputs * weights[..., None].to(outputs.dtype)).sum(-2)
