"""Each column's share in an answer, fairly divided: Shapley values by sampling orders."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

POINTS_AT_ONCE = 4096


@dataclass(frozen=True)
class Shares:
    """What each column has to do with the answer for one row.

    values          [G] float64; Shapley values add up to answer - reference
    standard_error  [G] float64, of the sampling of orders and reference rows; None where nothing was sampled
    answer          the function of the row
    reference       its mean over the reference rows
    """

    values: Tensor
    standard_error: Tensor | None
    answer: float
    reference: float


def shapley_values(
    function: Callable[[Tensor], Tensor],
    row: Tensor,
    references: Tensor,
    groups: Sequence[Sequence[int]],
    orders: Tensor,
) -> Shares:
    """What each group of inputs adds to the answer, over the orders in which they are made known.

        v[g] = mean over m of  f(x of the groups up to g, r[m] elsewhere) - f(x of the groups before g, r[m] elsewhere)

    "before" is meant in the order m; r[m] is one of the reference rows, all of which are used equally often. For every
    m the differences add up to f(x) - f(r[m]), so the values add up to f(x) - mean f(r) whatever is sampled.

    function    [N, D] -> [N]
    row         [D]; references [R, D]
    groups      per column of the user's table, its inputs: G of them
    orders      [M, G] int64, each row a permutation; M a multiple of R, and order m goes with reference m % R

    Source: Strumbelj and Kononenko, Explaining prediction models and individual predictions with feature contributions,
    2014, algorithm 1; Shapley, A value for n-person games, 1953.
    """
    number, count = orders.shape
    assert count == len(groups) and number % len(references) == 0
    group_of = torch.full(row.shape, count)  # [D]; an input of no group is never made known
    for index, group in enumerate(groups):
        group_of[list(group)] = index
    place_of = torch.cat([orders.argsort(1), torch.full((number, 1), count)], dim=1)[:, group_of]  # [M, D]
    steps = []
    for some in torch.arange(number).split(max(1, POINTS_AT_ONCE // (count + 1))):
        known = place_of[some, None] < torch.arange(count + 1)[:, None]  # [m, G + 1, D]
        points = torch.where(known, row, references[some % len(references), None])
        steps.append(function(points.flatten(0, 1)).double().cpu().view(len(some), count + 1))
    steps = torch.cat(steps)  # [M, G + 1]
    gains = torch.zeros(number, count, dtype=torch.float64)
    gains.scatter_(1, orders, steps.diff(dim=1))  # [M, G], by group
    error = gains.std(0, correction=1) / number**0.5 if number > 1 else torch.full((count,), torch.nan)
    return Shares(gains.mean(0), error, steps[0, -1].item(), steps[:, 0].mean().item())
