"""Figures of merit of clusters: by themselves, and against labels where there are any."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from deepen.metrics.resample import Interval, bootstrap_mean
from deepen.metrics.rows import ROWS, RowEntries
from deepen.metrics.vectors import VectorEntries

if TYPE_CHECKING:
    from torch import Tensor


class Clusters:
    """Each sample's cluster, its distance to the centre and its label; vectors of the first 2,000 samples."""

    def __init__(self, num_clusters: int) -> None:
        self.num_clusters = num_clusters
        self._entries = RowEntries("clusters", "distances", "labels")
        self._vectors = VectorEntries()

    def add(self, distances: Tensor, labels: Tensor, vectors: Tensor, rows: np.ndarray) -> None:
        """Adds a batch. Waits for no device.

        distances  [B, K] squared distances to the centres
        labels     [B] int64, negative where there is none
        vectors    [B, D]
        """
        least, clusters = distances.min(dim=1)
        self._entries.add(rows, {"clusters": clusters, "distances": least, "labels": labels})
        self._vectors.add(rows, vectors)

    def add_arrays(self, distances: np.ndarray, labels: np.ndarray, vectors: np.ndarray, rows: np.ndarray) -> None:
        """The same as `add` for arrays, without torch."""
        entries = {"clusters": distances.argmin(1), "distances": distances.min(1), "labels": labels}
        self._entries.add(rows, entries)
        self._vectors.add(rows, vectors)

    def state(self) -> dict[str, Tensor]:
        """What was added, as tensors on the CPU."""
        return {**self._entries.state(), **self._vectors.state()}

    def merge(self, states: Sequence[Mapping[str, Tensor]]) -> None:
        """Replaces what is held by the union of all ranks' states, each row once."""
        self._entries.merge(states)
        self._vectors.merge(states)

    def result(self) -> dict[str, float]:
        """The figures by name, empty when no sample was added.

        mean_squared_distance   to the nearest centre: the inertia over the number of samples
        silhouette              of up to 2,000 samples, where at least two clusters have any
        adjusted_rand_index, normalized_mutual_information, purity   against the labels, of the samples that have one
        """
        held = self._entries.read()
        if len(held[ROWS]) == 0:
            return {}
        found = {"mean_squared_distance": float(held["distances"].mean(dtype=np.float64))}
        _, clusters, vectors = self.first()
        if 1 < len(np.unique(clusters)) < len(clusters) and np.isfinite(vectors).all():
            found["silhouette"] = silhouette(vectors, clusters)
        known = held["labels"] >= 0
        if known.sum() > 1:
            table = contingency(held["clusters"][known], held["labels"][known])
            found["adjusted_rand_index"] = adjusted_rand_index(table)
            found["normalized_mutual_information"] = normalized_mutual_information(table)
            found["purity"] = purity(table)
        return found

    def intervals(self, *, seed: int = 0) -> dict[str, Interval]:
        """The 95 % bootstrap interval of the mean squared distance."""
        held = self._entries.read()
        if len(held[ROWS]) == 0:
            return {}
        return {"mean_squared_distance": bootstrap_mean(held["distances"].astype(np.float64), seed=seed)}

    def assigned(self) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Rows, clusters, squared distances and labels (negative: none), [n] each, in the order of the rows."""
        held = self._entries.read()
        if len(held[ROWS]) == 0:
            return held[ROWS], np.zeros(0, np.int64), np.zeros(0), np.zeros(0, np.int64)
        return held[ROWS], held["clusters"], held["distances"], held["labels"]

    def first(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Rows [n], clusters [n] and vectors [n, D] of the first samples."""
        rows, vectors = self._vectors.read()
        all_rows, clusters, _, _ = self.assigned()
        return rows, clusters[np.searchsorted(all_rows, rows)], vectors


def silhouette(vectors: np.ndarray, clusters: np.ndarray) -> float:
    """The mean over samples of (b - a) / max(a, b), from -1 to 1.

    a  a sample's mean distance to the others of its cluster
    b  its least mean distance to the samples of another cluster
    A sample alone in its cluster counts 0. Source: Rousseeuw 1987, as scikit-learn has it.
    """
    from sklearn.metrics import silhouette_score

    return float(silhouette_score(vectors, clusters))


def contingency(clusters: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """How many samples of each cluster have each label, [clusters, labels] int64, without empty rows and columns."""
    _, first = np.unique(clusters, return_inverse=True)
    _, second = np.unique(labels, return_inverse=True)
    table = np.zeros((first.max() + 1, second.max() + 1), np.int64)
    np.add.at(table, (first, second), 1)
    return table


def adjusted_rand_index(table: np.ndarray) -> float:
    """How far pairs of samples agree on being together, 0 for chance and 1 for the same partition.

        (sum_ij C(n_ij, 2) - E) / ((sum_i C(a_i, 2) + sum_j C(b_j, 2)) / 2 - E)
        E = sum_i C(a_i, 2) sum_j C(b_j, 2) / C(n, 2)

    table  n_ij [clusters, labels] int64; a and b its sums by row and by column
    Source: Hubert and Arabie 1985.
    """
    pairs = _pairs(table).sum()
    by_row, by_column = _pairs(table.sum(axis=1)).sum(), _pairs(table.sum(axis=0)).sum()
    chance = by_row * by_column / max(_pairs(table.sum()), 1.0)
    most = (by_row + by_column) / 2
    return 1.0 if most == chance else float((pairs - chance) / (most - chance))


def normalized_mutual_information(table: np.ndarray) -> float:
    """I(cluster; label) over the mean of the two entropies, 0 to 1; 1 where both are constant.

    Source: Strehl and Ghosh 2002; the arithmetic mean as in scikit-learn.
    """
    shares = table / table.sum()
    rows, columns = shares.sum(axis=1), shares.sum(axis=0)
    filled = shares > 0
    information = float((shares[filled] * np.log(shares[filled] / np.outer(rows, columns)[filled])).sum())
    entropies = (_entropy(rows) + _entropy(columns)) / 2
    return 1.0 if entropies == 0 else min(1.0, max(0.0, information / entropies))


def purity(table: np.ndarray) -> float:
    """The share of samples that have the commonest label of their cluster; it grows with the number of clusters."""
    return float(table.max(axis=1).sum() / table.sum())


def _pairs(counts: np.ndarray) -> np.ndarray:
    return counts * (counts - 1.0) / 2


def _entropy(shares: np.ndarray) -> float:
    return -float((shares[shares > 0] * np.log(shares[shares > 0])).sum())
