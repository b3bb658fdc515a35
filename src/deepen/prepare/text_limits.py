"""How many texts are answered together, and what is said of those that are longer than training knew. Without torch."""

from __future__ import annotations

import numpy as np

from deepen.core.faults import Fault
from deepen.core.units import plural

TOKENS_AT_ONCE = 50_000  # of all rows that are answered together, padding included
MOST_ROWS = 500


def rows_at_once(longest: int) -> int:
    """How many texts are answered together, so that those as long as the longest fit into memory."""
    return max(1, min(MOST_ROWS, TOKENS_AT_ONCE // max(1, longest)))


def say_longer(lengths: np.ndarray, longest: int, split: str, faults: list[Fault]) -> None:
    """Adds a note if texts are longer than all that were trained on: learned positions end there.

    lengths  [N], in tokens
    """
    count = int((lengths > longest).sum())
    if count:
        message = (
            f"{plural(count, 'text')} of {split} longer than the {plural(longest, 'token')} of the longest training "
            "text; a network with learned positions reads that many of them."
        )
        faults.append(Fault("note", "text-longer", "", message))
