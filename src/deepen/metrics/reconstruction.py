"""Figures of merit of a code and of what is decoded from it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from deepen.metrics.probe import linear_probe, neighbour_probe
from deepen.metrics.resample import Interval, binomial_interval, bootstrap_mean
from deepen.metrics.rows import ROWS, PerRow, RowEntries
from deepen.metrics.vectors import VectorEntries

if TYPE_CHECKING:
    from torch import Tensor

FEWEST_LABELLED = 10
MEANS = {  # entry -> (figure, better)
    "errors": ("mean_squared_error", "min"),
    "denoised": ("denoising_error", "min"),
    "bounds": ("elbo", "max"),
    "divergences": ("divergence", ""),
}


class Reconstruction:
    """Errors per sample, and the codes of the first 2,000; the same samples give the same figures in any order.

    names  which entries beside the errors every batch brings: "denoised", "bounds", "divergences"
    model  the network that was scored last, for what a report draws with it
    """

    def __init__(self, *names: str) -> None:
        self.model: Any = None
        self._names = ("errors", *names)
        self._entries = RowEntries(*self._names, "variations", "labels")
        self._codes = VectorEntries()

    def add(self, entries: Mapping[str, Tensor | np.ndarray], codes: Tensor | np.ndarray, rows: np.ndarray) -> None:
        """Adds a batch. Waits for no device.

        entries  each [B]: `errors`, the mean over the values of (x - x')^2; `variations`, that of (x - m)^2, m the mean
                 training image; `labels` int64, negative where there is none; and the further ones
        codes    [B, D]
        """
        self._entries.add(rows, entries)
        self._codes.add(rows, codes)

    def state(self) -> dict[str, Tensor]:
        """What was added, as tensors on the CPU."""
        return {**self._entries.state(), **self._codes.state()}

    def merge(self, states: Sequence[Mapping[str, Tensor]]) -> None:
        """Replaces what is held by the union of all ranks' states, each row once."""
        self._entries.merge(states)
        self._codes.merge(states)

    def result(self) -> dict[str, float]:
        """The figures by name, empty when no sample was added.

        mean_squared_error    per value, pixels counting from 0 to 1
        variance_explained    1 - sum of squared errors / sum of squared distances from the mean training image
        denoising_error       mean squared error where the input was noisy
        elbo, divergence      nats per image
        probe_accuracy, neighbour_accuracy   of labels by the code, each of up to 2,000 samples left out in turn, where
                              at least ten of them have labels of at least two classes
        """
        held = self._entries.read()
        if len(held[ROWS]) == 0:
            return {}
        found = {MEANS[name][0]: float(held[name].mean(dtype=np.float64)) for name in self._names}
        variation = float(held["variations"].sum(dtype=np.float64))
        if variation > 0:
            found["variance_explained"] = 1 - float(held["errors"].sum(dtype=np.float64)) / variation
        return found | {name: float(hits.mean()) for name, hits in self._probed().items()}

    def intervals(self, *, seed: int = 0) -> dict[str, Interval]:
        """95 % intervals: of means over samples by the bootstrap, of shares exact."""
        held = self._entries.read()
        if len(held[ROWS]) == 0:
            return {}
        found = {MEANS[name][0]: bootstrap_mean(held[name].astype(np.float64), seed=seed) for name in self._names}
        shares = {name: binomial_interval(int(hits.sum()), len(hits)) for name, hits in self._probed().items()}
        return found | shares

    def per_row(self) -> dict[str, PerRow]:
        """The figures that are means over samples."""
        held = self._entries.read()
        named = [(name, *MEANS[name]) for name in self._names if MEANS[name][1]]
        return {
            figure: PerRow(held[name].astype(np.float64), "max" if better == "max" else "min")
            for name, figure, better in named
        }

    def codes(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Rows [n], codes [n, D] and labels [n] (negative: none) of the first samples."""
        rows, codes = self._codes.read()
        held = self._entries.read()
        if len(rows) == 0:
            return rows, codes, rows
        return rows, codes, held["labels"][np.searchsorted(held[ROWS], rows)].astype(np.int64)

    def worst(self, number: int) -> list[tuple[int, float]]:
        """The rows with the largest errors, with them, the worst first."""
        held = self._entries.read()
        order = np.argsort(-held["errors"], kind="stable")[:number]
        return [(int(held[ROWS][i]), float(held["errors"][i])) for i in order]

    def _probed(self) -> dict[str, np.ndarray]:
        _, codes, labels = self.codes()
        known = labels >= 0
        if known.sum() < FEWEST_LABELLED or len(np.unique(labels[known])) < 2 or not np.isfinite(codes).all():
            return {}
        codes, labels = codes[known], labels[known]
        return {"probe_accuracy": linear_probe(codes, labels), "neighbour_accuracy": neighbour_probe(codes, labels)}
