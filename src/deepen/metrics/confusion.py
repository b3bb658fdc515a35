"""Figures of a confusion matrix: counts [K, K] int by truth (row) and answer (column)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class ClassFigures:
    """One class: precision and recall are 0 where nothing was answered so, or nothing truly is so."""

    precision: float
    recall: float
    f1: float
    support: int  # samples that truly are of this class
    answered: int  # samples answered with this class


def per_class(confusion: np.ndarray) -> list[ClassFigures]:
    """Precision, recall, F1 and support of each class, in the order of the classes."""
    right, support, answered = np.diag(confusion), confusion.sum(axis=1), confusion.sum(axis=0)
    precision, recall = right / np.maximum(answered, 1), right / np.maximum(support, 1)
    f1 = 2 * right / np.maximum(answered + support, 1)
    table = zip(precision.tolist(), recall.tolist(), f1.tolist(), support.tolist(), answered.tolist(), strict=True)
    return [ClassFigures(*row) for row in table]


def balanced_accuracy(confusion: np.ndarray) -> float:
    """Mean recall over the classes that truly occur."""
    support = confusion.sum(axis=1)
    occurs = support > 0
    return float(np.mean(np.diag(confusion)[occurs] / support[occurs]))


def macro_f1(confusion: np.ndarray) -> float:
    """Mean F1 over the classes that occur as truth or answer."""
    both = confusion.sum(axis=0) + confusion.sum(axis=1)
    occurs = both > 0
    return float(np.mean(2 * np.diag(confusion)[occurs] / both[occurs]))


def confused_pairs(confusion: np.ndarray, number: int) -> list[tuple[int, int, int]]:
    """(truth, answer, count) of the most frequent mistakes, at most `number`, ties in the order of the classes."""
    wrong = confusion.copy()
    np.fill_diagonal(wrong, 0)
    order = np.argsort(-wrong, axis=None, kind="stable")[:number]
    pairs = [(int(cell // len(wrong)), int(cell % len(wrong))) for cell in order]
    return [(truth, answer, int(wrong[truth, answer])) for truth, answer in pairs if wrong[truth, answer]]


def most_confused(confusion: np.ndarray, number: int) -> np.ndarray:
    """The classes with the most mistakes to or from them, at most `number`, in the order of the classes."""
    mistakes = confusion.sum(axis=0) + confusion.sum(axis=1) - 2 * np.diag(confusion)
    return np.sort(np.argsort(-mistakes, kind="stable")[:number])
