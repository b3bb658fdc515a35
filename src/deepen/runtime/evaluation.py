"""What an evaluation finds."""

from __future__ import annotations

from dataclasses import dataclass

from deepen.core.faults import Fault


@dataclass(frozen=True)
class Stage:
    """One run of a cascade.

    threshold  it answers what it is more sure of; None of the last run
    asked      the part of the samples that came to it
    accuracy   of it alone, over all samples
    seconds    for a sample of it alone, measured here
    """

    run: str
    threshold: float | None
    asked: float
    accuracy: float
    seconds: float


@dataclass(frozen=True)
class CascadeFigures:
    """What a cascade gives and takes beside its runs alone; `seconds` for a sample, measured here."""

    stages: tuple[Stage, ...]
    accuracy: float
    seconds: float

    @property
    def lost(self) -> float:
        """How much less accurate than the last run alone."""
        return self.stages[-1].accuracy - self.accuracy

    @property
    def saved(self) -> float:
        """The part of the last run's time that is saved; below 0 where the cascade takes longer."""
        return 1 - self.seconds / self.stages[-1].seconds


@dataclass(frozen=True)
class EvaluationResult:
    """Figures and how sure they are.

    metrics    by their names in the field
    intervals  95 % intervals by metric: (low, high)
    count      samples scored
    layout     what the data was read as
    split      which part of it was scored
    weights    how much each of several runs counted, adding up to 1; of one run none
    cascade    of runs one after the other: what that saves and loses
    """

    metrics: dict[str, float | None]
    intervals: dict[str, tuple[float, float]]
    count: int
    layout: str
    split: str
    faults: tuple[Fault, ...]
    weights: tuple[float, ...] = ()
    cascade: CascadeFigures | None = None
