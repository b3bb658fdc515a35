"""What a model's figures lose when a column is shuffled between the rows."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor


def shuffled(rows: Tensor, columns: Sequence[int], order: Tensor) -> Tensor:
    """The rows with some of their inputs taken from other rows.

    rows     [N, D]
    columns  inputs that are taken together: all those that one column of the user's table became
    order    [N] int64, a permutation: row n gets those of row order[n]
    """
    index = torch.tensor(list(columns), device=rows.device)
    changed = rows.clone()
    changed[:, index] = rows[order][:, index]
    return changed


def permutation_importance(
    score: Callable[[Tensor], Tensor],
    rows: Tensor,
    groups: Sequence[Sequence[int]],
    orders: Callable[[int], Sequence[Tensor]],
) -> tuple[Tensor, Tensor]:
    """The figures of the rows as they are, and with each group of inputs shuffled.

    score    [N, D] -> [S]: S figures of merit over these rows
    groups   per column of the user's table, its inputs
    orders   group -> its permutations, each [N] int64; equally many for every group
    returns  [S], and [G, R, S] for R permutations

    A column's importance is the difference, in the direction that is worse. Two columns that tell the same share it:
    shuffling one leaves the other.

    Source: Breiman, Random Forests, 2001, section 10; Fisher, Rudin and Dominici, All Models Are Wrong, 2019, for any
    model.
    """
    whole = score(rows)
    scores = [
        torch.stack([score(shuffled(rows, group, order)) for order in orders(index)])
        for index, group in enumerate(groups)
    ]
    return whole, torch.stack(scores)
