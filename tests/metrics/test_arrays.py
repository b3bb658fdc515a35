"""Metrics fed with numpy arrays against the same fed with tensors."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from deepen.metrics.classify import Classification
from deepen.metrics.correlation import Correlation
from deepen.metrics.multi_label import MultiLabel
from deepen.metrics.regress import Regression


@pytest.mark.parametrize("num_classes", [2, 7])
def test_classification(num_classes: int) -> None:
    draw = np.random.default_rng(num_classes)
    by_tensor, by_array = Classification(num_classes), Classification(num_classes)
    for start in (0, 13):
        logits = draw.normal(0, 3, (13, num_classes)).astype(np.float32)
        logits[2] = 1.0  # a tie of all
        targets, rows = draw.integers(-1, num_classes, 13), np.arange(start, start + 13)
        by_tensor.add(torch.from_numpy(logits), torch.from_numpy(targets), rows)
        by_array.add_arrays(logits, targets, rows)
    _same(by_tensor.result(), by_array.result())
    _same(by_tensor.state(), by_array.state())


def test_multi_label() -> None:
    draw = np.random.default_rng(0)
    by_tensor, by_array = MultiLabel([0.3, 0.5, 0.8]), MultiLabel([0.3, 0.5, 0.8])
    logits, targets = draw.normal(0, 30, (29, 3)).astype(np.float32), draw.integers(0, 2, (29, 3)).astype(np.float32)
    by_tensor.add(torch.from_numpy(logits), torch.from_numpy(targets), np.arange(29))
    by_array.add_arrays(logits, targets, np.arange(29))
    _same(by_tensor.result(), by_array.result())


@pytest.mark.parametrize("made", [Regression, Correlation])
def test_numbers(made: type) -> None:
    draw = np.random.default_rng(0)
    answers, truth = draw.normal(size=(2, 17))
    by_tensor, by_array = made(), made()
    by_tensor.add(torch.from_numpy(answers), torch.from_numpy(truth), np.arange(17))
    by_array.add(answers, truth, np.arange(17))
    assert by_tensor.result() == by_array.result() != {}
    assert by_tensor.intervals() == by_array.intervals()


def _same(a, b) -> None:
    assert a.keys() == b.keys() and a
    for name in a:
        assert np.allclose(np.asarray(a[name]), np.asarray(b[name]), rtol=1e-5, atol=1e-6), name
