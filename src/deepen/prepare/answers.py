"""What a classifier or a regressor answers: frozen, JSON-able, the schema of every output."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
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
    return answers_of(logits.detach().float().softmax(1).cpu().numpy(), labels, sources, top=top)


def answers_of(
    probabilities: np.ndarray, labels: Sequence[str], sources: Sequence[str], *, top: int
) -> list[ClassAnswer]:
    """The same for probabilities `[B, K]`."""
    indices = np.argsort(-probabilities, axis=1, kind="stable")[:, :top]
    values = np.take_along_axis(probabilities, indices, axis=1)
    answers = []
    for source, row, order in zip(sources, values.tolist(), indices.tolist(), strict=True):
        ranked = tuple(ClassProbability(labels[int(k)], p) for p, k in zip(row, order, strict=True))
        answers.append(ClassAnswer(source, ranked[0].label, ranked[0].probability, ranked))
    return answers
