"""Figures of merit of a predicted number: its errors, the variation explained, and the worst mistakes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

import numpy as np

from deepen.core import rng
from deepen.core.figures import Bars, Figure, Gallery, Points, Rows, Sample
from deepen.core.units import round_step
from deepen.metrics.resample import Interval, bootstrap_mean
from deepen.metrics.rows import ROWS, PerRow, RowEntries

if TYPE_CHECKING:
    from torch import Tensor

NUM_WORST = 12
NUM_POINTS = 2000
NUM_BARS = 20

Scale = Literal["linear", "log"]


@dataclass(frozen=True)
class Miss:
    """One prediction and how far it is off."""

    row: int
    truth: float
    answer: float
    error: float  # answer - truth, or their ratio's logarithm on scale "log"


class Regression:
    """Predictions and targets per sample, both on the original scale; the same samples give the same bits in any order.

    scale  "log" adds rmse_log, and ranks mistakes by ratio instead of difference; both must then be positive
    """

    def __init__(self, *, scale: Scale = "linear") -> None:
        self.scale = scale
        self._entries = RowEntries("predictions", "targets")

    def add(self, predictions: Tensor | np.ndarray, targets: Tensor | np.ndarray, rows: np.ndarray) -> None:
        """Adds a batch: predictions [B] and targets [B] float, rows [B]. Waits for no device."""
        self._entries.add(rows, {"predictions": predictions, "targets": targets})

    def state(self) -> dict[str, Tensor]:
        """What was added, as tensors [n] on the CPU."""
        return self._entries.state()

    def merge(self, states: Sequence[Mapping[str, Tensor]]) -> None:
        """Replaces what is held by the union of all ranks' states, each row once."""
        self._entries.merge(states)

    def result(self) -> dict[str, float]:
        """The figures by name, empty when no sample was added.

        rmse, mae, median_absolute_error in the target's unit; r2, left out where the targets do not vary;
        on scale "log" rmse_log, the root mean square of log(prediction / target).
        """
        predictions, targets = self.pairs()
        if len(targets) == 0:
            return {}
        errors = predictions - targets
        figures = {
            "rmse": float(np.sqrt(np.mean(errors**2))),
            "mae": float(np.mean(np.abs(errors))),
            "median_absolute_error": float(np.median(np.abs(errors))),
        }
        variation = float(np.sum((targets - targets.mean()) ** 2))
        if variation > 0:
            figures["r2"] = 1 - float(np.sum(errors**2)) / variation
        if self.scale == "log":
            figures["rmse_log"] = float(np.sqrt(np.mean(self.errors() ** 2)))
        return figures

    def intervals(self, *, seed: int = 0) -> dict[str, Interval]:
        """95 % bootstrap intervals over samples by name."""
        predictions, targets = self.pairs()
        if len(targets) == 0:
            return {}
        errors = predictions - targets
        found = {
            "rmse": bootstrap_mean(errors**2, seed=seed, after=np.sqrt),
            "mae": bootstrap_mean(np.abs(errors), seed=seed),
        }
        if self.scale == "log":
            found["rmse_log"] = bootstrap_mean(self.errors() ** 2, seed=seed, after=np.sqrt)
        return found

    def per_row(self) -> dict[str, PerRow]:
        """Those figures that are a mean over samples or the root of one, by name, empty when no sample was added."""
        predictions, targets = self.pairs()
        if len(targets) == 0:
            return {}
        errors = predictions - targets
        found = {"rmse": PerRow(errors**2, "min", is_root=True), "mae": PerRow(np.abs(errors), "min")}
        if self.scale == "log":
            found["rmse_log"] = PerRow(self.errors() ** 2, "min", is_root=True)
        return found

    def pairs(self) -> tuple[np.ndarray, np.ndarray]:
        """Predictions and targets, [n] float64 each, in the order of the rows."""
        held = self._entries.read()
        if len(held[ROWS]) == 0:
            return np.zeros(0), np.zeros(0)
        return held["predictions"].astype(np.float64), held["targets"].astype(np.float64)

    def errors(self) -> np.ndarray:
        """[n] float64: prediction - target, or log(prediction / target) on scale "log"."""
        predictions, targets = self.pairs()
        if self.scale == "linear":
            return predictions - targets
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.log(predictions) - np.log(targets)

    def worst(self, number: int) -> list[Miss]:
        """The predictions furthest off, at most `number`, the worst first."""
        (predictions, targets), errors, rows = self.pairs(), self.errors(), self._entries.read()[ROWS]
        order = np.argsort(-np.abs(errors), kind="stable")[:number]
        return [Miss(int(rows[i]), float(targets[i]), float(predictions[i]), float(errors[i])) for i in order]


def figures_of(
    metrics: Regression, *, name: str = "target", samples: Callable[[int], Sample] | None = None
) -> list[Figure]:
    """What a report should draw of an evaluation; empty when no sample was added.

    name     the column that is predicted
    samples  row -> the sample itself, for the worst mistakes; without it they are a table of rows
    """
    if not metrics.result():
        return []
    return [points_figure(metrics, name), residual_figure(metrics), worst_figure(metrics, samples)]


def points_figure(metrics: Regression, name: str) -> Points:
    """Answer against truth, at most NUM_POINTS of them, drawn by a fixed seed."""
    predictions, targets = metrics.pairs()
    order, note = np.arange(len(targets)), ""
    if len(targets) > NUM_POINTS:
        order = np.sort(rng.permutation(0, 0, len(targets))[:NUM_POINTS])
        note = f"{NUM_POINTS:,} of {len(targets):,} samples, drawn at random."
    points = [(float(targets[i]), float(predictions[i])) for i in order]
    return Points("Answer against truth", f"true {name}", f"answered {name}", points, diagonal=True, note=note)


def residual_figure(metrics: Regression) -> Bars:
    """How many errors are how large, in equal steps of a round width; the ends hold all that lies beyond."""
    errors = metrics.errors()
    errors = errors[np.isfinite(errors)]
    what = "answer - truth" if metrics.scale == "linear" else "log(answer / truth)"
    if len(errors) == 0:
        return Bars("Errors", [], [], "samples", note=f"No finite {what}.")
    low, high = np.quantile(errors, [0.005, 0.995])
    step = round_step(float(high - low) / NUM_BARS)
    first, last = int(np.floor(low / step)), int(np.floor(high / step))
    bar = np.clip(np.floor(errors / step) - first, 0, last - first).astype(int)
    names = [f"{start * step:.6g} to {(start + 1) * step:.6g}" for start in range(first, last + 1)]
    counts = np.bincount(bar, minlength=len(names))
    note = f"{what}; the first and last bar hold all that lies beyond."
    return Bars("Errors", names, [float(count) for count in counts], "samples", note=note)


def worst_figure(metrics: Regression, samples: Callable[[int], Sample] | None) -> Gallery | Rows:
    """The predictions furthest off with the samples themselves, or as a table where they cannot be shown."""
    title, worst = "Worst mistakes", metrics.worst(NUM_WORST)
    if samples is None:
        return Rows(title, ["row", "truth", "answer"], [[each.row, each.truth, each.answer] for each in worst])
    shown = []
    for each in worst:
        sample = samples(each.row)
        said = [f"truth: {each.truth:,.6g}", f"answer: {each.answer:,.6g}"]
        shown.append(replace(sample, caption=[*said, *sample.caption]))
    return Gallery(title, shown, note="The answers furthest from the truth.")
