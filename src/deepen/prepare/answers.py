"""What a classifier or a regressor answers: frozen, JSON-able, the schema of every output."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class ClassProbability:
    """One class and its probability."""

    label: str
    probability: float


@dataclass(frozen=True)
class ClassAnswer:
    """The most probable class of a sample, and the next ones.

    source       where the sample came from
    probability  of the label, in [0, 1]
    top          the most probable classes, the label first
    """

    source: str
    label: str
    probability: float
    top: tuple[ClassProbability, ...]


@dataclass(frozen=True)
class NumberAnswer:
    """A predicted number."""

    source: str
    value: float


def class_answers(logits: Tensor, labels: list[str], sources: Sequence[str], *, top: int) -> list[ClassAnswer]:
    """An answer per row of logits `[B, K]`; at most `top` classes in each, ties by the order of the labels."""
    probabilities = torch.softmax(logits.float(), 1).cpu()
    values, indices = probabilities.sort(dim=1, descending=True, stable=True)
    answers = []
    for source, row, order in zip(sources, values[:, :top].tolist(), indices[:, :top].tolist(), strict=True):
        ranked = tuple(ClassProbability(labels[k], p) for p, k in zip(row, order, strict=True))
        answers.append(ClassAnswer(source, ranked[0].label, ranked[0].probability, ranked))
    return answers
