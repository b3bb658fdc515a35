"""What a model answers on average, and for each row, when one column of a table is set to a value."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor


def individual_expectations(
    function: Callable[[Tensor], Tensor], rows: Tensor, columns: Sequence[int], values: Tensor
) -> Tensor:
    """The answers of every row with some of its inputs set to each of several values.

        f[v, n] = function(rows[n] with its `columns` set to values[v])

    Its mean over the rows is the partial dependence; each row's line over v its individual conditional expectation.

    function  [N, D] -> [N, K]
    rows      [N, D]
    columns   which inputs are set together: all those that one column of the user's table became
    values    [V, len(columns)]
    returns   [V, N, K]

    Source: Friedman, Greedy Function Approximation, 2001, section 8.2; Goldstein et al., Peeking Inside the Black Box,
    2015, for the lines of single rows.
    """
    index = torch.tensor(list(columns), device=rows.device)
    answers = []
    for value in values:
        changed = rows.clone()
        changed[:, index] = value
        answers.append(function(changed))
    return torch.stack(answers)
