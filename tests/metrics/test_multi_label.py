from __future__ import annotations

import numpy as np
import pytest
import torch

from deepen.core.figures import Gallery, Rows, Sample
from deepen.metrics.multi_label import MultiLabel, best_threshold, figures_of

TRUTH = [[1, 0, 0], [1, 1, 0], [0, 0, 0], [0, 1, 0]]
SAID = [[1, 0, 0], [1, 0, 0], [0, 0, 1], [0, 1, 0]]


def added(logits, targets, rows=None, thresholds=(0.5, 0.5, 0.5)):
    metrics = MultiLabel(thresholds)
    metrics.add(torch.as_tensor(logits), torch.as_tensor(targets), np.arange(len(logits)) if rows is None else rows)
    return metrics


def as_logits(said):
    return torch.tensor(said) * 4.0 - 2.0


def test_figures_by_hand():
    found = added(as_logits(SAID), torch.tensor(TRUTH)).result()
    assert found["subset_accuracy"] == 0.5
    assert found["micro_precision"] == 3 / 4 and found["micro_recall"] == 3 / 4 and found["micro_f1"] == 0.75
    assert found["macro_f1"] == pytest.approx((1 + 2 / 3 + 0) / 3)  # the third label is answered once, never true
    assert found["hamming_loss"] == pytest.approx(2 / 12)
    log_right, log_wrong = np.log1p(np.exp(-2.0)), np.log1p(np.exp(2.0))
    assert found["binary_cross_entropy"] == pytest.approx((10 * log_right + 2 * log_wrong) / 12, rel=1e-6)


def test_figures_are_scikit_learns():
    scores = pytest.importorskip("sklearn.metrics")
    draw = torch.Generator().manual_seed(0)
    logits = torch.randn(83, 7, generator=draw)
    truth = (torch.rand(83, 7, generator=draw) < torch.sigmoid(logits)).int()
    found = added(logits, truth, thresholds=[0.5] * 7).result()
    said = (logits >= 0).int()
    assert found["micro_f1"] == pytest.approx(scores.f1_score(truth, said, average="micro"))
    assert found["macro_f1"] == pytest.approx(scores.f1_score(truth, said, average="macro"))
    assert found["subset_accuracy"] == pytest.approx(scores.accuracy_score(truth, said))
    assert found["hamming_loss"] == pytest.approx(scores.hamming_loss(truth, said))
    expected = scores.average_precision_score(truth, torch.sigmoid(logits), average="macro")
    assert found["mean_average_precision"] == pytest.approx(expected)


def test_parts_merge_to_the_same_bits_in_any_order():
    draw = torch.Generator().manual_seed(0)
    logits, truth, rows = (
        torch.randn(37, 3, generator=draw),
        torch.randint(0, 2, (37, 3), generator=draw),
        np.arange(37),
    )
    whole = added(logits, truth)
    parts = [added(logits[index], truth[index], rows[index]) for index in (slice(19, 37), slice(0, 20))]
    merged = MultiLabel((0.5, 0.5, 0.5))
    merged.merge([part.state() for part in parts])
    assert merged.result() == whole.result() and merged.intervals() == whole.intervals()


def test_nothing_added_gives_nothing():
    metrics = MultiLabel((0.5,))
    assert metrics.result() == {} and metrics.intervals() == {} and metrics.per_row() == {} and metrics.worst(3) == []
    assert figures_of(metrics, ["a"]) == []


def test_the_best_threshold_is_that_of_trying_all():
    draw = np.random.default_rng(0)
    for _ in range(50):
        probabilities = np.round(draw.random(23), 1)  # with ties
        truth = draw.random(23) < probabilities
        found = best_threshold(truth, probabilities)

        def f1(threshold, truth=truth, probabilities=probabilities):
            said = probabilities >= threshold
            return 2 * (truth & said).sum() / max(1, truth.sum() + said.sum())

        assert f1(found) == max(f1(level) for level in np.linspace(0, 1, 201))
    assert best_threshold(np.zeros(3, bool), np.array([0.1, 0.2, 0.9])) == 0.5


def test_thresholds_change_the_answers_and_not_the_loss():
    logits, truth = as_logits(SAID), torch.tensor(TRUTH)
    half, never = added(logits, truth), added(logits, truth, thresholds=(0.5, 0.5, 0.99))
    assert never.result()["subset_accuracy"] == 0.75
    assert never.result()["binary_cross_entropy"] == half.result()["binary_cross_entropy"]
    assert added(logits, truth, thresholds=half.best_thresholds()).result()["micro_f1"] >= half.result()["micro_f1"]


def test_worst_mistakes_come_with_their_texts():
    metrics = added(as_logits(SAID) * torch.tensor([[1.0], [3.0], [2.0], [1.0]]), torch.tensor(TRUTH))
    assert [each.row for each in metrics.worst(5)] == [1, 2]
    assert metrics.worst(1)[0].truth == (0, 1) and metrics.worst(1)[0].answer == (0,)
    table, gallery = figures_of(metrics, ["a", "b", "c"], lambda row: Sample([f"row {row}"], text="?"))
    assert isinstance(table, Rows) and table.rows[0] == ["a", 1.0, 1.0, 1.0, 2, 0.5]
    assert isinstance(gallery, Gallery)
    assert gallery.samples[1].caption == ["truth: none", "answer: c", "row 2"]


def test_runs_with_other_thresholds_are_put_together_by_their_own_until_one_is_decided():
    logits = torch.zeros(2, 3)
    low = added(logits, torch.ones(2, 3), thresholds=(0.4, 0.4, 0.6))
    high = added(logits, torch.ones(2, 3), rows=np.array([2, 3]), thresholds=(0.6, 0.4, 0.6))
    both = MultiLabel((0.5, 0.5, 0.5))
    both.merge([low.state(), high.state()])
    assert both.answers().tolist() == [[True, True, False]] * 2 + [[False, True, False]] * 2
    both.decide((0.9, 0.9, 0.1))
    assert both.answers().tolist() == [[False, False, True]] * 4
