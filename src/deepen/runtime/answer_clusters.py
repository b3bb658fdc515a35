"""Clusters from outputs [B, K + D]: the squared distances to the K centres, and the vector that they are of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from deepen.core.faults import Fault
from deepen.metrics.clusters import Clusters
from deepen.runtime.answer_features import label_numbers, relative


@dataclass(frozen=True)
class ClusterAnswer:
    """The cluster of a sample.

    distance       to its centre; far beyond those of training, the sample is like none of them
    next_cluster   the second nearest, and the distance to it: nearly the same where the sample lies between both
    """

    source: str
    cluster: int
    distance: float
    next_cluster: int
    next_distance: float


class Answers:
    """The nearest centres.

    state  `clusters`, how many there are; `labels` that they are compared with, none where training had none, and
           `label_column`, where those stand
    """

    def __init__(self, state: Mapping[str, Any]) -> None:
        self.num_clusters = int(state["clusters"])
        self.labels = [str(name) for name in state["labels"]]
        self.label_column = str(state["label_column"])

    def targets(self, table: pa.Table, split: str, faults: list[Fault]) -> tuple[np.ndarray, np.ndarray]:
        """Label numbers [N] int64, -1 where there is none: no row is left out for that."""
        return label_numbers(table, self.label_column, self.labels, split), np.arange(table.num_rows)

    def metrics(self) -> Clusters:
        """Distances, silhouette, and agreement with labels."""
        return Clusters(self.num_clusters)

    def score(
        self,
        metrics: Clusters,
        outputs: np.ndarray,
        targets: np.ndarray,
        arrays: Mapping[str, np.ndarray],
        rows: np.ndarray,
    ) -> None:
        """Adds distances and vectors."""
        metrics.add_arrays(outputs[:, : self.num_clusters], targets, outputs[:, self.num_clusters :], rows)

    def answers(self, outputs: np.ndarray, arrays: Mapping[str, np.ndarray], table: pa.Table) -> list[ClusterAnswer]:
        """The nearest and the second nearest cluster of each row."""
        squares = outputs[:, : self.num_clusters]
        order = np.argsort(squares, axis=1, kind="stable")[:, :2]
        distances = np.sqrt(np.take_along_axis(squares, order, axis=1).clip(0))
        rows = zip(table.column("source").to_pylist(), order.tolist(), distances.tolist(), strict=True)
        return [ClusterAnswer(source, first, near, second, far) for source, (first, second), (near, far) in rows]

    def apart(self, outputs: np.ndarray, others: np.ndarray, arrays: Mapping[str, np.ndarray]) -> float:
        """The largest difference of a distance, in root mean squares of all of them."""
        own, other = (np.sqrt(each[:, : self.num_clusters].clip(0)) for each in (outputs, others))
        return relative(own, other, own)
