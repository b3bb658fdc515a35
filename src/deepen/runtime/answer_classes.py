"""One class of K from logits [B, K]."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa

from deepen.core.faults import Fault
from deepen.metrics.classify import Classification
from deepen.prepare import labels
from deepen.prepare.answers import ClassAnswer, answers_of
from deepen.prepare.table_target import with_classes


class Answers:
    """Classes by their names.

    state  `labels` in the order of the logits; `target`, their column; `given`, whether the names were given; `top`,
           how many an answer lists; `cells`, whether the column holds cells of a table, in which a blank means nothing
    """

    def __init__(self, state: Mapping[str, Any]) -> None:
        self.labels = [str(name) for name in state["labels"]]
        self.target, self.given, self.top = str(state["target"]), bool(state["given"]), int(state["top"])
        self.are_cells = bool(state.get("cells", False))

    def targets(self, table: pa.Table, split: str, faults: list[Fault]) -> tuple[np.ndarray, np.ndarray]:
        """Class numbers [n] int64, and the rows of the table that have one."""
        table = with_classes(table, self.target) if self.are_cells else table
        return labels.codes(table, self.target, self.labels, split, faults, given=self.given)

    def metrics(self) -> Classification:
        """Accuracy and its company."""
        return Classification(len(self.labels))

    def score(
        self,
        metrics: Classification,
        outputs: np.ndarray,
        targets: np.ndarray,
        arrays: Mapping[str, np.ndarray],
        rows: np.ndarray,
    ) -> None:
        """Adds logits."""
        metrics.add_arrays(outputs, targets, rows)

    def answers(self, outputs: np.ndarray, arrays: Mapping[str, np.ndarray], table: pa.Table) -> list[ClassAnswer]:
        """The most probable classes of each row."""
        sources = table.column("source").to_pylist()
        return answers_of(self.probabilities(outputs), self.labels, sources, top=self.top)

    def probabilities(self, outputs: np.ndarray) -> np.ndarray:
        """[B, K] float32"""
        wide = outputs.astype(np.float32)
        powers = np.exp(wide - wide.max(1, keepdims=True))
        return powers / powers.sum(1, keepdims=True)

    def apart(self, outputs: np.ndarray, others: np.ndarray, arrays: Mapping[str, np.ndarray]) -> float:
        """The largest difference of a probability."""
        return float(np.abs(self.probabilities(outputs) - self.probabilities(others)).max(initial=0))
