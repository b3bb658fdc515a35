"""A number from outputs [B] float64, in the target's own unit."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa

from deepen.core.faults import Fault
from deepen.metrics.correlation import Correlation
from deepen.metrics.regress import Regression
from deepen.prepare.answers import NumberAnswer
from deepen.prepare.table_target import numbers_with_faults, target_cells


class Answers:
    """Numbers as they are.

    state  `target`, their column; `deviation`, what they vary by; `log`, whether their logarithm was learned, so that
           ratios count and not differences; `correlates`, whether figures of correlation belong to it
    """

    def __init__(self, state: Mapping[str, Any]) -> None:
        self.target, self.deviation, self.log = str(state["target"]), float(state["deviation"]), bool(state["log"])
        self.correlates = bool(state.get("correlates", False))

    def targets(self, table: pa.Table, split: str, faults: list[Fault]) -> tuple[np.ndarray, np.ndarray]:
        """The true numbers [n] float64, and the rows of the table that have one."""
        cells = target_cells(table, self.target)
        numbers = numbers_with_faults(table, cells, self.target, split, faults, positive=self.log)
        rows = np.flatnonzero(np.isfinite(numbers))
        return numbers[rows], rows

    def metrics(self) -> Regression | Correlation:
        """Root mean square error and its company, or correlations before them."""
        return Correlation() if self.correlates else Regression(scale="log" if self.log else "linear")

    def score(
        self,
        metrics: Regression | Correlation,
        outputs: np.ndarray,
        targets: np.ndarray,
        arrays: Mapping[str, np.ndarray],
        rows: np.ndarray,
    ) -> None:
        """Adds numbers."""
        metrics.add(outputs.astype(np.float64), targets, rows)

    def answers(self, outputs: np.ndarray, arrays: Mapping[str, np.ndarray], table: pa.Table) -> list[NumberAnswer]:
        """The number of each row."""
        sources = table.column("source").to_pylist()
        return [NumberAnswer(source, value) for source, value in zip(sources, outputs.tolist(), strict=True)]

    def apart(self, outputs: np.ndarray, others: np.ndarray, arrays: Mapping[str, np.ndarray]) -> float:
        """The largest difference in deviations of what was learned: of the logarithm where that is it."""
        with np.errstate(divide="ignore", invalid="ignore"):
            first, second = (np.log(each) if self.log else each for each in (outputs, others))
        return float(np.abs(first - second).max(initial=0)) / self.deviation
