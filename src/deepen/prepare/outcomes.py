"""What a network's outputs stand for: one class, a set of labels, or a number, each with all that depends on it.

A task that can have several kinds of targets asks an outcome for all that depends on the kind. What an outcome learned
of the training table is JSON-able and holds `kind`, `target` and, of classes, `labels`.

    B rows, K classes or labels
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import numpy as np
import pyarrow as pa
import torch
import torch.nn.functional as F
from torch import Tensor

from deepen.core.faults import Fault
from deepen.core.figures import Figure, Sample
from deepen.metrics import classify, multi_label, regress
from deepen.metrics.classify import Classification
from deepen.metrics.correlation import Correlation
from deepen.metrics.multi_label import MultiLabel
from deepen.ops.combine import mean_class_logits, mean_values
from deepen.ops.losses import cross_entropy_sum, squared_error_sum, weighted_sum
from deepen.prepare import label_sets, labels
from deepen.prepare.answers import NumberAnswer, class_answers
from deepen.prepare.table_target import (
    learn_number_scale,
    numbers_with_faults,
    target_cells,
    to_learned,
)

TRUTH = "truth"


class Outcome(Protocol):
    """One kind of target, with what was learned of it.

    num_outputs  K, 1 of a number
    labels       the names of the classes or labels, () of a number
    objective    the metric that chooses the best weights, and "max" or "min"
    """

    num_outputs: int
    labels: tuple[str, ...]
    objective: tuple[str, str]

    def encode(self, table: pa.Table, split: str, faults: list[Fault]) -> tuple[dict[str, Tensor], np.ndarray]:
        """Tensors of targets over the rows that have one, and those rows, [n] int64 ascending."""
        ...

    def loss_sum(self, raw: Tensor, batch: Mapping[str, Tensor], *, label_smoothing: float = 0.0) -> Tensor:
        """The summed loss of the network's outputs [B, K], each row by its `weight` if the batch has any."""
        ...

    def metrics(self) -> Any:
        """Empty figures of merit."""
        ...

    def outputs(self, raw: Tensor) -> Tensor:
        """The network's outputs in terms that other runs share: logits [B, K], or numbers [B] in their unit."""
        ...

    def combine(self, outputs: Sequence[Tensor], weights: Sequence[float]) -> Tensor:
        """The outputs of an ensemble."""
        ...

    def score(self, outputs: Tensor, batch: Mapping[str, Tensor], rows: np.ndarray, metrics: Any) -> None:
        """Adds outputs to the metrics."""
        ...

    def answers(self, outputs: Tensor, sources: Sequence[str]) -> list[Any]:
        """One frozen, JSON-able dataclass per row."""
        ...

    def figures(self, metrics: Any, samples: Callable[[int], Sample]) -> list[Figure]:
        """What a report should draw."""
        ...


def learn_class(table: pa.Table, target: str, given: Sequence[str], faults: list[Fault]) -> dict[str, Any]:
    """The class names of a column."""
    names = labels.learn(table, target, faults=faults, given=given)
    return {"kind": "class", "target": target, "labels": names, "given": bool(given)}


def learn_label_set(
    table: pa.Table, target: str, given: Sequence[str], faults: list[Fault], *, threshold: float | None = None
) -> dict[str, Any]:
    """The label names of a list column, each with the threshold that is stated, else with 0.5 until one is chosen."""
    names = label_sets.learn(table, target, faults=faults, given=given)
    thresholds = [multi_label.HALF if threshold is None else threshold] * len(names)
    return {"kind": "label set", "target": target, "labels": names, "given": bool(given), "thresholds": thresholds}


def learn_number(table: pa.Table, target: str, faults: list[Fault]) -> dict[str, Any]:
    """The mean and the deviation of a column of numbers."""
    scale = learn_number_scale(target_cells(table, target), target, "none", faults)
    return {"kind": "number", "target": target, "scale": scale}


def outcome_of(state: dict[str, Any], *, top: int) -> Outcome:
    """The outcome that was learned; an answer lists at most `top` classes with their probability."""
    if state["kind"] == "number":
        return NumberOutcome(state)
    return ClassOutcome(state, top) if state["kind"] == "class" else LabelSetOutcome(state, top)


def exported_answer(state: Mapping[str, Any], *, top: int) -> dict[str, Any]:
    """What a file says of its outputs, which are those of the outcome that was learned (runtime/answer_*.py)."""
    if state["kind"] == "number":
        deviation = state["scale"]["deviation"]
        return {"kind": "number", "target": state["target"], "deviation": deviation, "log": False, "correlates": True}
    kind = "classes" if state["kind"] == "class" else "label_set"
    named = {name: state[name] for name in ("target", "labels", "given", "thresholds") if name in state}
    return {**named, "kind": kind, "top": top}


class ClassOutcome:
    """One class of K: softmax and cross-entropy."""

    objective: tuple[str, str] = ("cross_entropy", "min")

    def __init__(self, state: dict[str, Any], top: int) -> None:
        self.state, self.top = state, top
        self.labels: tuple[str, ...] = tuple(state["labels"])
        self.num_outputs = len(self.labels)

    def encode(self, table: pa.Table, split: str, faults: list[Fault]) -> tuple[dict[str, Tensor], np.ndarray]:
        """`truth` [n] int64"""
        given = self.state["given"]
        truth, rows = labels.encode(table, self.state["target"], self.labels, split, faults, given=given)
        return {TRUTH: truth}, rows

    def loss_sum(self, raw: Tensor, batch: Mapping[str, Tensor], *, label_smoothing: float = 0.0) -> Tensor:
        """Cross-entropy."""
        return cross_entropy_sum(raw, batch[TRUTH], label_smoothing=label_smoothing, weights=batch.get("weight"))

    def metrics(self) -> Classification:
        """Accuracy and its company."""
        return Classification(self.num_outputs)

    def outputs(self, raw: Tensor) -> Tensor:
        """The logits as they are."""
        return raw

    def combine(self, outputs: Sequence[Tensor], weights: Sequence[float]) -> Tensor:
        """Logits of the mean of the probabilities."""
        return mean_class_logits(outputs, weights)

    def score(self, outputs: Tensor, batch: Mapping[str, Tensor], rows: np.ndarray, metrics: Classification) -> None:
        """Adds logits [B, K]."""
        metrics.add(outputs, batch[TRUTH], rows)

    def answers(self, outputs: Tensor, sources: Sequence[str]) -> list[Any]:
        """The most probable classes."""
        return class_answers(outputs, list(self.labels), sources, top=self.top)

    def figures(self, metrics: Classification, samples: Callable[[int], Sample]) -> list[Figure]:
        """Confusion, per-class figures, calibration, and the worst mistakes."""
        return classify.figures_of(metrics, self.labels, samples)


class LabelSetOutcome:
    """Any of K labels: a sigmoid and a threshold for each, and the mean of their binary cross-entropies.

    loss = -(1 / K) sum_k  y[k] log s(z[k]) + (1 - y[k]) log(1 - s(z[k])),    y smoothed to y (1 - e) + e / 2
    """

    objective: tuple[str, str] = ("binary_cross_entropy", "min")

    def __init__(self, state: dict[str, Any], top: int) -> None:
        self.state, self.top = state, top
        self.labels: tuple[str, ...] = tuple(state["labels"])
        self.num_outputs = len(self.labels)

    def encode(self, table: pa.Table, split: str, faults: list[Fault]) -> tuple[dict[str, Tensor], np.ndarray]:
        """`truth` [n, K] float32 of 0 and 1"""
        given = self.state["given"]
        truth, rows = label_sets.encode(table, self.state["target"], self.labels, split, faults, given=given)
        return {TRUTH: truth}, rows

    def loss_sum(self, raw: Tensor, batch: Mapping[str, Tensor], *, label_smoothing: float = 0.0) -> Tensor:
        """Binary cross-entropy, the mean over labels."""
        truth = batch[TRUTH] * (1 - label_smoothing) + label_smoothing / 2
        losses = F.binary_cross_entropy_with_logits(raw, truth.to(raw.dtype), reduction="none").mean(1)
        return weighted_sum(losses, batch.get("weight"))

    def metrics(self) -> MultiLabel:
        """F1 and its company."""
        return MultiLabel(self.state["thresholds"])

    def outputs(self, raw: Tensor) -> Tensor:
        """The logits as they are; the sigmoid of each is its label's probability."""
        return raw

    def combine(self, outputs: Sequence[Tensor], weights: Sequence[float]) -> Tensor:
        """Logits of the mean of the probabilities."""
        if len(outputs) == 1:
            return outputs[0]
        mean = sum(torch.sigmoid(each.double()) * weight for each, weight in zip(outputs, weights, strict=True))
        return torch.logit(mean, eps=1e-12)  # type: ignore[arg-type]

    def score(self, outputs: Tensor, batch: Mapping[str, Tensor], rows: np.ndarray, metrics: MultiLabel) -> None:
        """Adds logits [B, K]."""
        metrics.add(outputs, batch[TRUTH], rows)

    def answers(self, outputs: Tensor, sources: Sequence[str]) -> list[Any]:
        """The labels that reach their threshold."""
        return label_sets.answers(outputs, self.labels, self.state["thresholds"], sources, top=self.top)

    def decide(self, metrics: MultiLabel) -> None:
        """Takes for each label the threshold with the largest F1 on the samples of the metrics, which go by it too."""
        self.state["thresholds"] = metrics.best_thresholds()
        metrics.decide(self.state["thresholds"])

    def figures(self, metrics: MultiLabel, samples: Callable[[int], Sample]) -> list[Figure]:
        """Figures per label, and the worst mistakes."""
        return multi_label.figures_of(metrics, self.labels, samples)


class NumberOutcome:
    """A number, learned in deviations from the training samples' mean by squared error."""

    objective: tuple[str, str] = ("rmse", "min")
    num_outputs: int = 1
    labels: tuple[str, ...] = ()

    def __init__(self, state: dict[str, Any]) -> None:
        self.state = state
        self.scale: dict[str, Any] = state["scale"]

    def encode(self, table: pa.Table, split: str, faults: list[Fault]) -> tuple[dict[str, Tensor], np.ndarray]:
        """`truth` [n] float64 in the target's unit, `learned` [n] float32 in deviations"""
        name = self.state["target"]
        numbers = numbers_with_faults(table, target_cells(table, name), name, split, faults, positive=False)
        rows = np.flatnonzero(np.isfinite(numbers))
        learned = to_learned(numbers[rows], self.scale).astype(np.float32)
        return {TRUTH: torch.from_numpy(numbers[rows]), "learned": torch.from_numpy(learned)}, rows

    def loss_sum(self, raw: Tensor, batch: Mapping[str, Tensor], *, label_smoothing: float = 0.0) -> Tensor:
        """Squared error in deviations; there is nothing to smooth."""
        return squared_error_sum(raw[:, 0], batch["learned"], weights=batch.get("weight"))

    def metrics(self) -> Correlation:
        """Correlations and errors."""
        return Correlation()

    def outputs(self, raw: Tensor) -> Tensor:
        """[B] float64 in the target's unit."""
        return raw[:, 0].double() * self.scale["deviation"] + self.scale["mean"]

    def combine(self, outputs: Sequence[Tensor], weights: Sequence[float]) -> Tensor:
        """The mean of the numbers."""
        return mean_values(outputs, weights)

    def score(self, outputs: Tensor, batch: Mapping[str, Tensor], rows: np.ndarray, metrics: Correlation) -> None:
        """Adds numbers [B]."""
        metrics.add(outputs, batch[TRUTH], rows)

    def answers(self, outputs: Tensor, sources: Sequence[str]) -> list[Any]:
        """The number of each row."""
        return [NumberAnswer(source, value) for source, value in zip(sources, outputs.tolist(), strict=True)]

    def figures(self, metrics: Correlation, samples: Callable[[int], Sample]) -> list[Figure]:
        """Answer against truth, errors, and the worst mistakes."""
        return regress.figures_of(metrics.regression, name=self.state["target"], samples=samples)
