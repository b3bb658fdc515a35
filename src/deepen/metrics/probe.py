"""What features know of labels they were not trained on: simple classifiers on them, each sample left out in turn."""

from __future__ import annotations

import numpy as np

NEIGHBOURS = 5
RIDGE = 1.0


def linear_probe(features: np.ndarray, labels: np.ndarray, *, ridge: float = RIDGE) -> np.ndarray:
    """Whether a linear classifier of all other samples gets each sample right, [n] bool.

        W = argmin |Y - F W|^2 + ridge |W|^2   (no penalty on the intercept),   y_nk = 1 if n is of class k, else -1
        left out:  f_-n = (f_n - h_n y_n) / (1 - h_n),   h the diagonal of F (F^T F + ridge I)^-1 F^T

    features  [n, D] float64; here brought to mean 0 and deviation 1
    labels    [n] int64 from 0

    Source: the ridge classifier; leaving one out without fitting anew is Allen's PRESS, 1974.
    """
    deviation = features.std(axis=0)
    scaled = (features - features.mean(axis=0)) / np.where(
        deviation > 1e-12 * max(1.0, deviation.max()), deviation, 1.0
    )
    scaled = np.concatenate([scaled, np.ones((len(scaled), 1))], axis=1)
    penalty = np.diag([ridge] * features.shape[1] + [0.0])
    targets = np.where(labels[:, None] == np.arange(labels.max() + 1), 1.0, -1.0)  # [n, K]
    inner = np.linalg.solve(scaled.T @ scaled + penalty, scaled.T)  # [D + 1, n]
    fitted = scaled @ (inner @ targets)
    own = np.einsum("nd,dn->n", scaled, inner)[:, None]
    left_out = (fitted - own * targets) / np.maximum(1 - own, 1e-9)
    return left_out.argmax(axis=1) == labels


def neighbour_probe(features: np.ndarray, labels: np.ndarray, *, neighbours: int = NEIGHBOURS) -> np.ndarray:
    """Whether most of the nearest other samples are of each sample's class, [n] bool; a tie goes to the lowest class.

    features  [n, D] float64, compared by Euclidean distance as they are
    labels    [n] int64 from 0
    """
    squares = (features**2).sum(axis=1)
    distances = squares[:, None] + squares[None, :] - 2 * features @ features.T
    np.fill_diagonal(distances, np.inf)
    count = min(neighbours, len(features) - 1)
    nearest = np.argpartition(distances, count - 1, axis=1)[:, :count]
    votes = np.zeros((len(features), labels.max() + 1), np.int64)
    np.add.at(votes, (np.arange(len(features))[:, None], labels[nearest]), 1)
    return votes.argmax(axis=1) == labels
