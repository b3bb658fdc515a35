"""Clusters from distances: by hand, and the figures of arrays against those of tensors."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
import torch

from deepen.metrics.clusters import Clusters
from deepen.runtime.answer_clusters import Answers, ClusterAnswer

STATE = {"clusters": 3, "labels": ["elm", "oak"], "label_column": "tree"}
OUTPUTS = np.array([[4, 1, 9, 0.5, 0.5], [0.25, 0.25, -1e-9, 7, 7]], np.float32)  # distances to three, vectors of two


def test_answers_by_hand() -> None:
    table = pa.table({"source": ["row 1", "row 2"]})
    found = Answers(STATE).answers(OUTPUTS, {}, table)
    assert found == [ClusterAnswer("row 1", 1, 1.0, 0, 2.0), ClusterAnswer("row 2", 2, 0.0, 0, 0.5)]


def test_labels_stand_in_the_column_of_training() -> None:
    table = pa.table({"source": ["a", "b", "c"], "tree": ["oak", None, "elm"], "label": ["elm", "elm", "elm"]})
    numbers, kept = Answers(STATE).targets(table, "test", faults := [])
    assert numbers.tolist() == [1, -1, 0] and kept.tolist() == [0, 1, 2] and not faults


def test_arrays_give_the_figures_of_tensors() -> None:
    draw = np.random.default_rng(0)
    vectors = draw.normal(size=(37, 5)).astype(np.float32)
    squares = ((vectors[:, None] - vectors[:3]) ** 2).sum(2)
    numbers = draw.integers(-1, 2, 37)
    answers = Answers(STATE)
    first, second = answers.metrics(), Clusters(3)
    for part in (slice(0, 23), slice(23, 37)):
        rows = np.arange(37)[part]
        outputs = np.concatenate([squares[part], vectors[part]], axis=1)
        answers.score(first, outputs, numbers[part], {}, rows)
        second.add(*map(torch.from_numpy, (squares[part], numbers[part], vectors[part])), rows)  # type: ignore[arg-type]
    assert first.result() == second.result() and "silhouette" in first.result()
    assert first.intervals() == second.intervals()


def test_how_far_apart_outputs_are() -> None:
    answers, moved = Answers(STATE), OUTPUTS.copy()
    moved[0, 2] = 16  # a distance of 4 in the place of 3; their squares are 4, 1, 9, 0.25, 0.25 and 0
    assert answers.apart(OUTPUTS, moved, {}) == pytest.approx(1 / (14.5 / 6) ** 0.5, rel=1e-6)
    moved[0, 2] = 9
    moved[:, 3:] = 0  # vectors are no answer
    assert answers.apart(OUTPUTS, moved, {}) == 0
