"""Figures of merit of one class out of K: accuracy, F1, cross-entropy, calibration, and the worst mistakes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from deepen.core.figures import Curves, Figure, Gallery, Matrix, Rows, Sample
from deepen.metrics.binary import average_precision, precision_recall_points, roc_auc, roc_points
from deepen.metrics.confusion import (
    ClassFigures,
    balanced_accuracy,
    confused_pairs,
    macro_f1,
    most_confused,
    per_class,
)
from deepen.metrics.resample import Interval, binomial_interval, bootstrap_counts, bootstrap_mean
from deepen.metrics.rows import ROWS, PerRow, RowEntries

if TYPE_CHECKING:
    from torch import Tensor

NUM_BINS = 15
NUM_WORST = 12
NUM_PAIRS = 10
MATRIX_CLASSES = 100


@dataclass(frozen=True)
class Bin:
    """The answers whose confidence lies in one stretch of (0, 1]."""

    confidence: float  # their mean
    accuracy: float
    count: int


@dataclass(frozen=True)
class Mistake:
    """One wrong answer."""

    row: int
    truth: int
    answer: int
    confidence: float  # the probability given to the answer
    loss: float  # -log of the probability given to the truth, in nats


class Classification:
    """Six numbers per sample, from which every figure follows exactly; memory does not grow with the classes.

    Rows whose target is negative are not counted. The same samples give the same bits in whatever order, batches or
    ranks they come.

    model  the network that was scored last, where a report is to look into it; else None
    """

    def __init__(self, num_classes: int, *, top: int = 5) -> None:
        assert num_classes >= 1 and top >= 1
        self.model: Any = None
        self.num_classes, self.top = num_classes, top
        self._entries = RowEntries("targets", "answers", "losses", "confidences", "places", "margins")

    def add(self, logits: Tensor, targets: Tensor, rows: np.ndarray) -> None:
        """Adds a batch: logits [B, K] float, targets [B] int64, rows [B]. Waits for no device."""
        import torch

        assert logits.shape[1] == self.num_classes, f"logits {tuple(logits.shape)} for {self.num_classes} classes"
        log_p = torch.log_softmax(logits.detach().to(torch.promote_types(logits.dtype, torch.float32)), dim=1)
        confidence, answers = log_p.max(dim=1)  # [B], [B]
        of_truth = log_p.gather(1, targets.clamp(0, self.num_classes - 1)[:, None])  # [B, 1]
        classes = torch.arange(self.num_classes, device=log_p.device)
        ahead = (log_p > of_truth) | ((log_p == of_truth) & (classes < targets[:, None]))  # [B, K]
        entries = {
            "targets": targets,
            "answers": answers,
            "losses": -of_truth[:, 0],
            "confidences": confidence.exp(),
            "places": ahead.sum(dim=1),  # how many classes stand before the truth
            "margins": log_p[:, -1] - log_p[:, 0],  # log odds of class 1 where there are two
        }
        self._entries.add(rows, entries)

    def add_arrays(self, logits: np.ndarray, targets: np.ndarray, rows: np.ndarray) -> None:
        """The same as `add` for arrays, without torch."""
        wide = logits.astype(np.promote_types(logits.dtype, np.float32))
        shifted = wide - wide.max(1, keepdims=True)
        log_p = shifted - np.log(np.exp(shifted).sum(1, keepdims=True))
        of_truth = np.take_along_axis(log_p, targets.clip(0, self.num_classes - 1)[:, None], axis=1)  # [B, 1]
        classes = np.arange(self.num_classes)
        ahead = (log_p > of_truth) | ((log_p == of_truth) & (classes < targets[:, None]))  # [B, K]
        entries = {
            "targets": targets,
            "answers": log_p.argmax(1),
            "losses": -of_truth[:, 0],
            "confidences": np.exp(log_p.max(1)),
            "places": ahead.sum(1),
            "margins": log_p[:, -1] - log_p[:, 0],
        }
        self._entries.add(rows, entries)

    def state(self) -> dict[str, Tensor]:
        """What was added, as tensors [n] on the CPU."""
        return self._entries.state()

    def merge(self, states: Sequence[Mapping[str, Tensor]]) -> None:
        """Replaces what is held by the union of all ranks' states, each row once."""
        self._entries.merge(states)

    def result(self) -> dict[str, float]:
        """The figures by name, empty when no sample was counted.

        accuracy, balanced_accuracy (mean recall over the classes that truly occur), macro_f1 (mean over the classes
        that occur as truth or answer), cross_entropy in nats, expected_calibration_error; top5_accuracy where there
        are more classes than that; roc_auc and average_precision of the second class where there are two and both
        occur.
        """
        held = self._counted()
        if len(held[ROWS]) == 0:
            return {}
        confusion = self.confusion()
        figures = {
            "accuracy": float(np.mean(held["answers"] == held["targets"])),
            "balanced_accuracy": balanced_accuracy(confusion),
            "macro_f1": macro_f1(confusion),
            "cross_entropy": float(held["losses"].mean(dtype=np.float64)),
            "expected_calibration_error": self.calibration_error(),
        }
        if self.num_classes > self.top:
            figures[f"top{self.top}_accuracy"] = float(np.mean(held["places"] < self.top))
        if self.num_classes == 2 and len(np.unique(held["targets"])) == 2:
            positive, scores = self.binary_scores()
            figures |= {"roc_auc": roc_auc(positive, scores), "average_precision": average_precision(positive, scores)}
        return figures

    def intervals(self, *, seed: int = 0) -> dict[str, Interval]:
        """95 % intervals by name: shares exactly (Clopper and Pearson), the others by bootstrap over samples."""
        held = self._counted()
        count = len(held[ROWS])
        if count == 0:
            return {}
        confusion = self.confusion()
        found = {
            "accuracy": binomial_interval(int(np.trace(confusion)), count),
            "balanced_accuracy": bootstrap_counts(confusion, balanced_accuracy, seed=seed),
            "macro_f1": bootstrap_counts(confusion, macro_f1, seed=seed),
            "cross_entropy": bootstrap_mean(held["losses"].astype(np.float64), seed=seed),
        }
        if self.num_classes > self.top:
            found[f"top{self.top}_accuracy"] = binomial_interval(int(np.sum(held["places"] < self.top)), count)
        return found

    def per_row(self) -> dict[str, PerRow]:
        """Those figures that are a mean over samples, by name, empty when no sample was counted."""
        held = self._counted()
        if len(held[ROWS]) == 0:
            return {}
        right = (held["answers"] == held["targets"]).astype(np.float64)
        found = {
            "accuracy": PerRow(right, "max", is_share=True),
            "cross_entropy": PerRow(held["losses"].astype(np.float64), "min"),
        }
        if self.num_classes > self.top:
            near = (held["places"] < self.top).astype(np.float64)
            found[f"top{self.top}_accuracy"] = PerRow(near, "max", is_share=True)
        return found

    def confusion(self) -> np.ndarray:
        """Counts [K, K] int64 by truth (row) and answer (column)."""
        held, size = self._counted(), self.num_classes
        if len(held[ROWS]) == 0:
            return np.zeros((size, size), dtype=np.int64)
        return np.bincount(held["targets"] * size + held["answers"], minlength=size * size).reshape(size, size)

    def per_class(self) -> list[ClassFigures]:
        """Precision, recall, F1 and support of each class, in the order of the classes."""
        return per_class(self.confusion())

    def reliability(self, *, num_bins: int = NUM_BINS) -> list[Bin]:
        """The answers in each of `num_bins` equal stretches of (0, 1] of confidence; empty ones are left out."""
        held = self._counted()
        confidences = held["confidences"].astype(np.float64)
        right = held["answers"] == held["targets"]
        index = np.clip(np.ceil(np.nan_to_num(confidences) * num_bins).astype(int) - 1, 0, num_bins - 1)
        members = [index == each for each in range(num_bins)]
        return [Bin(float(confidences[m].mean()), float(right[m].mean()), int(m.sum())) for m in members if m.any()]

    def calibration_error(self, *, num_bins: int = NUM_BINS) -> float:
        """The expected gap between confidence and accuracy over the bins of `reliability`. Source: Guo et al. 2017."""
        bins = self.reliability(num_bins=num_bins)
        total = sum(each.count for each in bins)
        return sum(each.count * abs(each.confidence - each.accuracy) for each in bins) / total

    def worst(self, number: int) -> list[Mistake]:
        """The wrong answers with the largest loss, at most `number`, the worst first."""
        held = self._counted()
        wrong = np.flatnonzero(held["answers"] != held["targets"])
        order = wrong[np.argsort(-held["losses"][wrong], kind="stable")][:number]
        names = (ROWS, "targets", "answers", "confidences", "losses")
        return [Mistake(*(held[name][index].item() for name in names)) for index in order]

    def binary_scores(self) -> tuple[np.ndarray, np.ndarray]:
        """Of two classes: which samples truly are of the second [n] bool, and its log odds [n]."""
        assert self.num_classes == 2
        held = self._counted()
        return held["targets"] == 1, held["margins"]

    def _counted(self) -> dict[str, np.ndarray]:
        held = self._entries.read()
        if len(held[ROWS]) == 0:
            return {name: np.zeros(0, np.int64) for name in (ROWS, *self._entries.names)}
        known = held["targets"] >= 0
        assert held["targets"].max() < self.num_classes, "a target beyond the last class"
        return {name: array[known] for name, array in held.items()}


def figures_of(
    metrics: Classification, labels: Sequence[str], samples: Callable[[int], Sample] | None = None
) -> list[Figure]:
    """What a report should draw of an evaluation; empty when no sample was counted.

    labels   [K] the names of the classes
    samples  row -> the sample itself, for the worst mistakes; without it they are a table of rows
    """
    assert len(labels) == metrics.num_classes, f"{len(labels)} labels for {metrics.num_classes} classes"
    result = metrics.result()
    if not result:
        return []
    figures: list[Figure] = [confusion_figure(metrics.confusion(), labels), per_class_figure(metrics, labels)]
    pairs = confused_pairs(metrics.confusion(), NUM_PAIRS)
    if pairs:
        rows: list[list[str | float | int]] = [[labels[truth], labels[answer], count] for truth, answer, count in pairs]
        figures.append(Rows("Most frequent confusions", ["truth", "answer", "count"], rows))
    if "roc_auc" in result:
        figures += binary_figures(metrics, labels)
    figures.append(reliability_figure(metrics))
    worst = metrics.worst(NUM_WORST)
    return [*figures, worst_figure(worst, labels, samples)] if worst else figures


def confusion_figure(confusion: np.ndarray, labels: Sequence[str]) -> Matrix:
    """The confusion matrix; beyond MATRIX_CLASSES classes, of the ones most often confused."""
    note, shown = "", np.arange(len(labels))
    if len(labels) > MATRIX_CLASSES:
        shown = most_confused(confusion, MATRIX_CLASSES // 2)
        note = f"The {len(shown)} of {len(labels):,} classes with the most mistakes."
    names = [labels[int(index)] for index in shown]
    return Matrix("Confusion matrix", names, names, confusion[np.ix_(shown, shown)].tolist(), note=note)


def per_class_figure(metrics: Classification, labels: Sequence[str]) -> Rows:
    """Precision, recall, F1 and support of each class as a table."""
    rows: list[list[str | float | int]] = [
        [label, each.precision, each.recall, each.f1, each.support]
        for label, each in zip(labels, metrics.per_class(), strict=True)
    ]
    return Rows("Per class", ["class", "precision", "recall", "F1", "support"], rows)


def binary_figures(metrics: Classification, labels: Sequence[str]) -> list[Figure]:
    """The two curves over the threshold of the second class."""
    positive, scores = metrics.binary_scores()
    if np.isnan(scores).any():
        return []
    note = f"Answering {labels[1]!r} from ever lower confidence on."
    roc = {"this model": roc_points(positive, scores)}
    curve = {"this model": precision_recall_points(positive, scores)}
    return [
        Curves("ROC curve", "false positive rate", "true positive rate", roc, note=note, diagonal=True),
        Curves("Precision and recall", "recall", "precision", curve, note=note),
    ]


def reliability_figure(metrics: Classification) -> Curves:
    """Accuracy over confidence, which is the diagonal where confidence can be taken at its word."""
    line = [(each.confidence, each.accuracy) for each in metrics.reliability()]
    note = f"Expected calibration error {metrics.calibration_error():.3f}; below the diagonal the model is too sure."
    return Curves("Calibration", "confidence", "accuracy", {"this model": line}, note=note, diagonal=True)


def worst_figure(
    worst: Sequence[Mistake], labels: Sequence[str], samples: Callable[[int], Sample] | None
) -> Gallery | Rows:
    """The worst mistakes with the samples themselves, or as a table where they cannot be shown."""
    title = "Worst mistakes"
    if samples is None:
        columns = ["row", "truth", "answer", "confidence", "loss"]
        table: list[list[str | float | int]] = [
            [each.row, labels[each.truth], labels[each.answer], each.confidence, each.loss] for each in worst
        ]
        return Rows(title, columns, table)
    shown = []
    for each in worst:
        sample = samples(each.row)
        said = [f"truth: {labels[each.truth]}", f"answer: {labels[each.answer]} ({each.confidence:.0%} sure)"]
        shown.append(replace(sample, caption=[*said, *sample.caption]))
    return Gallery(title, shown, note="The wrong answers to whose truth the model gave the least probability.")
