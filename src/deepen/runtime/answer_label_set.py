"""Any of K labels from logits [B, K]."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa

from deepen.core.faults import Fault
from deepen.metrics.multi_label import MultiLabel
from deepen.prepare import label_sets
from deepen.prepare.label_sets import LabelSetAnswer


class Answers:
    """Labels by their names.

    state  `labels` in the order of the logits, each with its number in `thresholds`; `target`, their column; `given`,
           whether the names were given; `top`, how many an answer lists
    """

    def __init__(self, state: Mapping[str, Any]) -> None:
        self.labels = [str(name) for name in state["labels"]]
        self.thresholds = [float(least) for least in state["thresholds"]]
        self.target, self.given, self.top = str(state["target"]), bool(state["given"]), int(state["top"])

    def targets(self, table: pa.Table, split: str, faults: list[Fault]) -> tuple[np.ndarray, np.ndarray]:
        """Which labels apply [n, K] float32, and the rows of the table that say so."""
        return label_sets.sets(table, self.target, self.labels, split, faults, given=self.given)

    def metrics(self) -> MultiLabel:
        """F1 and its company."""
        return MultiLabel(self.thresholds)

    def score(
        self,
        metrics: MultiLabel,
        outputs: np.ndarray,
        targets: np.ndarray,
        arrays: Mapping[str, np.ndarray],
        rows: np.ndarray,
    ) -> None:
        """Adds logits."""
        metrics.add_arrays(outputs, targets, rows)

    def answers(self, outputs: np.ndarray, arrays: Mapping[str, np.ndarray], table: pa.Table) -> list[LabelSetAnswer]:
        """The labels that reach their threshold."""
        sources = table.column("source").to_pylist()
        return label_sets.answers_of(self.probabilities(outputs), self.labels, self.thresholds, sources, top=self.top)

    def probabilities(self, outputs: np.ndarray) -> np.ndarray:
        """[B, K] float64"""
        return 1 / (1 + np.exp(-outputs.astype(np.float64)))

    def apart(self, outputs: np.ndarray, others: np.ndarray, arrays: Mapping[str, np.ndarray]) -> float:
        """The largest difference of a probability."""
        return float(np.abs(self.probabilities(outputs) - self.probabilities(others)).max(initial=0))
