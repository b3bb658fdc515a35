"""Figures of merit of a set of labels for each sample: F1 over all and by label, whole sets.

A label is answered where its probability reaches its threshold. Over all samples and labels

    micro F1 = 2 TP / (2 TP + FP + FN),    macro F1 = the mean over labels of the same of one label.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from deepen.core import rng
from deepen.core.figures import Figure, Gallery, Rows, Sample
from deepen.metrics.binary import average_precision
from deepen.metrics.resample import DRAWS, MOST_NUMBERS, Interval, binomial_interval, bootstrap_mean, percentiles
from deepen.metrics.rows import ROWS, PerRow, RowEntries

if TYPE_CHECKING:
    from torch import Tensor

NUM_WORST = 12
HALF = 0.5


@dataclass(frozen=True)
class WrongSet:
    """One sample whose answered labels are not its true ones."""

    row: int
    truth: tuple[int, ...]
    answer: tuple[int, ...]
    loss: float  # the mean over labels, in nats


class MultiLabel:
    """Every sample's logits and true labels, from which each figure follows exactly.

    The same samples give the same bits in whatever order, batches or ranks they come. Every sample keeps the thresholds
    it was added with, so that runs with different ones can be put together.

    thresholds  [K] the probability from which on each label is answered
    model       the network that was scored last, where a report is to look into it; else None
    """

    def __init__(self, thresholds: Sequence[float]) -> None:
        assert len(thresholds) >= 1
        self.model: Any = None
        self.num_labels, self.thresholds = len(thresholds), np.asarray(thresholds, np.float64)
        self._logits = [f"logit {label}" for label in range(self.num_labels)]
        self._targets = [f"target {label}" for label in range(self.num_labels)]
        self._least = [f"threshold {label}" for label in range(self.num_labels)]
        self._is_decided = False
        self._entries = RowEntries("loss", *self._logits, *self._targets, *self._least)

    def add(self, logits: Tensor, targets: Tensor, rows: np.ndarray) -> None:
        """Adds a batch: logits [B, K] float, targets [B, K] of 0 and 1, rows [B]. Waits for no device."""
        import torch
        import torch.nn.functional as F

        assert logits.shape == (len(rows), self.num_labels), f"logits {tuple(logits.shape)} for {self.num_labels}"
        logits = logits.detach().to(torch.promote_types(logits.dtype, torch.float32))
        loss = F.binary_cross_entropy_with_logits(logits, targets.to(logits.dtype), reduction="none").mean(1)
        columns = dict(zip(self._logits, logits.unbind(1), strict=True))
        columns |= dict(zip(self._targets, (targets > HALF).unbind(1), strict=True))
        columns |= {name: np.full(len(rows), value) for name, value in zip(self._least, self.thresholds, strict=True)}
        self._entries.add(rows, {"loss": loss, **columns})

    def add_arrays(self, logits: np.ndarray, targets: np.ndarray, rows: np.ndarray) -> None:
        """The same as `add` for arrays, without torch."""
        wide = logits.astype(np.promote_types(logits.dtype, np.float32))
        losses = np.maximum(wide, 0) - wide * targets + np.log1p(np.exp(-np.abs(wide)))  # -ln of the truth's share
        columns = dict(zip(self._logits, wide.T, strict=True)) | dict(
            zip(self._targets, (targets > HALF).T, strict=True)
        )
        columns |= {name: np.full(len(rows), value) for name, value in zip(self._least, self.thresholds, strict=True)}
        self._entries.add(rows, {"loss": losses.mean(1), **columns})

    def state(self) -> dict[str, Tensor]:
        """What was added, as tensors [n] on the CPU."""
        return self._entries.state()

    def merge(self, states: Sequence[Mapping[str, Tensor]]) -> None:
        """Replaces what is held by the union of all ranks' states, each row once."""
        self._entries.merge(states)

    def result(self) -> dict[str, float]:
        """The figures by name, empty when no sample was added.

        subset_accuracy (the whole set is right), micro_f1, macro_f1 (over labels that occur as truth or answer),
        micro_precision, micro_recall, hamming_loss (share of wrong yes or no), binary_cross_entropy in nats (the mean
        over samples and labels), and mean_average_precision over the labels that occur as truth.
        """
        truth, answers = self.truth(), self.answers()
        if len(truth) == 0:
            return {}
        right, wrong, missed = _counts(truth, answers)
        areas = [average_precision(truth[:, k], self.probabilities()[:, k]) for k in np.flatnonzero(truth.any(0))]
        figures = {
            "subset_accuracy": float((truth == answers).all(1).mean()),
            "micro_f1": _f1(right.sum(), wrong.sum(), missed.sum()),
            "macro_f1": _macro_f1(right, wrong, missed),
            "micro_precision": float(right.sum() / max(1, right.sum() + wrong.sum())),
            "micro_recall": float(right.sum() / max(1, right.sum() + missed.sum())),
            "hamming_loss": float((truth != answers).mean()),
            "binary_cross_entropy": float(self._entries.read()["loss"].mean(dtype=np.float64)),
        }
        return figures | ({"mean_average_precision": float(np.mean(areas))} if areas else {})

    def intervals(self, *, seed: int = 0) -> dict[str, Interval]:
        """95 % intervals by name: the share of whole sets exactly, the others by bootstrap over samples."""
        truth, answers = self.truth(), self.answers()
        count = len(truth)
        if count == 0:
            return {}
        whole = int((truth == answers).all(1).sum())
        found = {name: bootstrap_mean(each.values, seed=seed) for name, each in self.per_row().items()}
        found["subset_accuracy"] = binomial_interval(whole, count)
        by_row = np.stack([(truth & answers).sum(1), (~truth & answers).sum(1), (truth & ~answers).sum(1)], 1)
        generator = rng.generator(seed, "bootstrap")
        draws = max(100, min(DRAWS, MOST_NUMBERS // (10 * count)))
        drawn = [by_row[generator.integers(count, size=count)].sum(0) for _ in range(draws)]
        return found | {"micro_f1": percentiles(np.array([_f1(*each) for each in drawn]))}

    def per_row(self) -> dict[str, PerRow]:
        """Those figures that are a mean over samples, by name, empty when no sample was added."""
        truth, answers = self.truth(), self.answers()
        if len(truth) == 0:
            return {}
        return {
            "subset_accuracy": PerRow((truth == answers).all(1).astype(np.float64), "max", is_share=True),
            "hamming_loss": PerRow((truth != answers).mean(1), "min"),
            "binary_cross_entropy": PerRow(self._entries.read()["loss"].astype(np.float64), "min"),
        }

    def probabilities(self) -> np.ndarray:
        """[n, K] float64, in the order of the rows."""
        logits = self._stacked(self._logits).astype(np.float64)
        return np.exp(-np.logaddexp(0, -logits))

    def truth(self) -> np.ndarray:
        """[n, K] bool"""
        return self._stacked(self._targets).astype(bool)

    def answers(self) -> np.ndarray:
        """[n, K] bool: the probability reaches the label's threshold."""
        return self.probabilities() >= (self.thresholds if self._is_decided else self._stacked(self._least))

    def decide(self, thresholds: Sequence[float]) -> None:
        """Takes other thresholds [K] for all samples there are."""
        assert len(thresholds) == self.num_labels
        self.thresholds, self._is_decided = np.asarray(thresholds, np.float64), True

    def best_thresholds(self) -> list[float]:
        """For each label the threshold with the largest F1 on these samples (see `best_threshold`)."""
        truth, probabilities = self.truth(), self.probabilities()
        return [best_threshold(truth[:, k], probabilities[:, k]) for k in range(self.num_labels)]

    def worst(self, number: int) -> list[WrongSet]:
        """The samples with a wrong set and the largest loss, at most `number`, the worst first."""
        truth, answers, held = self.truth(), self.answers(), self._entries.read()
        wrong = np.flatnonzero((truth != answers).any(1)) if len(truth) else np.zeros(0, np.int64)
        order = wrong[np.argsort(-held["loss"][wrong], kind="stable")][:number] if len(wrong) else wrong
        return [
            WrongSet(int(held[ROWS][i]), _members(truth[i]), _members(answers[i]), float(held["loss"][i]))
            for i in order
        ]

    def _stacked(self, names: Sequence[str]) -> np.ndarray:
        held = self._entries.read()
        if len(held[ROWS]) == 0:
            return np.zeros((0, self.num_labels))
        return np.stack([held[name] for name in names], 1)


def best_threshold(truth: np.ndarray, probabilities: np.ndarray) -> float:
    """The probability from which on to answer yes so that F1 is largest; 0.5 where nothing is true.

    truth          [n] bool
    probabilities  [n] in [0, 1]

    Thresholds lie half way between neighbouring probabilities; of several that are equally good the one nearest 0.5.
    """
    if not truth.any():
        return HALF
    levels = np.unique(probabilities)[::-1]
    order = np.argsort(-probabilities, kind="stable")
    said = np.searchsorted(-probabilities[order], -levels, side="right")  # how many reach each level
    right = np.cumsum(truth[order])[said - 1]
    f1 = 2 * right / (said + truth.sum())
    between = np.append((levels[:-1] + levels[1:]) / 2, levels[-1] / 2)
    best = np.flatnonzero(f1 == f1.max())
    return float(between[best[np.argmin(np.abs(between[best] - HALF))]])


def figures_of(
    metrics: MultiLabel, labels: Sequence[str], samples: Callable[[int], Sample] | None = None
) -> list[Figure]:
    """What a report should draw of an evaluation; empty when no sample was added.

    labels   [K] the names of the labels
    samples  row -> the sample itself, for the worst mistakes; without it they are a table of rows
    """
    if not metrics.result():
        return []
    figures: list[Figure] = [per_label_figure(metrics, labels)]
    worst = metrics.worst(NUM_WORST)
    return [*figures, worst_figure(worst, labels, samples)] if worst else figures


def per_label_figure(metrics: MultiLabel, labels: Sequence[str]) -> Rows:
    """Precision, recall, F1, support and threshold of each label as a table."""
    counts = zip(*_counts(metrics.truth(), metrics.answers()), metrics.thresholds, labels, strict=True)
    rows: list[list[str | float | int]] = [
        [
            label,
            float(right / max(1, right + wrong)),
            float(right / max(1, right + missed)),
            _f1(right, wrong, missed),
            int(right + missed),
            float(threshold),
        ]
        for right, wrong, missed, threshold, label in counts
    ]
    return Rows("Per label", ["label", "precision", "recall", "F1", "support", "threshold"], rows)


def worst_figure(
    worst: Sequence[WrongSet], labels: Sequence[str], samples: Callable[[int], Sample] | None
) -> Gallery | Rows:
    """The worst mistakes with the samples themselves, or as a table where they cannot be shown."""

    def names(members: tuple[int, ...]) -> str:
        return ", ".join(labels[each] for each in members) or "none"

    title = "Worst mistakes"
    if samples is None:
        table: list[list[str | float | int]] = [
            [each.row, names(each.truth), names(each.answer), each.loss] for each in worst
        ]
        return Rows(title, ["row", "truth", "answer", "loss"], table)
    shown = []
    for each in worst:
        sample = samples(each.row)
        said = [f"truth: {names(each.truth)}", f"answer: {names(each.answer)}"]
        shown.append(replace(sample, caption=[*said, *sample.caption]))
    return Gallery(title, shown, note="The wrong sets of labels with the largest loss.")


def _counts(truth: np.ndarray, answers: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Of each label how often yes was right, yes was wrong, and no was wrong: [K] int each."""
    return (truth & answers).sum(0), (~truth & answers).sum(0), (truth & ~answers).sum(0)


def _f1(right: float, wrong: float, missed: float) -> float:
    return float(2 * right / max(1, 2 * right + wrong + missed))


def _macro_f1(right: np.ndarray, wrong: np.ndarray, missed: np.ndarray) -> float:
    occurs = right + wrong + missed > 0
    return float(np.mean(2 * right[occurs] / (2 * right + wrong + missed)[occurs])) if occurs.any() else 0.0


def _members(row: np.ndarray) -> tuple[int, ...]:
    return tuple(np.flatnonzero(row).tolist())
