"""What an evaluation finds."""

from __future__ import annotations

from dataclasses import dataclass

from deepen.core.faults import Fault


@dataclass(frozen=True)
class EvaluationResult:
    """Figures and how sure they are.

    metrics    by their names in the field
    intervals  95 % intervals by metric: (low, high)
    count      samples scored
    layout     what the data was read as
    split      which part of it was scored
    weights    how much each of several runs counted, adding up to 1; of one run none
    """

    metrics: dict[str, float | None]
    intervals: dict[str, tuple[float, float]]
    count: int
    layout: str
    split: str
    faults: tuple[Fault, ...]
    weights: tuple[float, ...] = ()
