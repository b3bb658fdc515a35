from __future__ import annotations

import math

import numpy as np
import pytest
import sklearn.metrics as reference
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from deepen.core.figures import Curves, Gallery, Matrix, Rows, Sample
from deepen.metrics.classify import Classification, figures_of

N, K = 101, 7


def _data(seed: int = 0, *, n: int = N, k: int = K) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    targets = torch.randint(k, (n,), generator=generator)
    logits = torch.randn(n, k, generator=generator) + 1.5 * torch.nn.functional.one_hot(targets, k)
    return logits, targets


def _filled(logits: torch.Tensor, targets: torch.Tensor, rows: np.ndarray | None = None) -> Classification:
    metrics = Classification(logits.shape[1])
    metrics.add(logits, targets, np.arange(len(logits)) if rows is None else rows)
    return metrics


def test_figures_equal_scikit_learn():
    logits, targets = _data()
    result = _filled(logits, targets).result()
    truth, answers, p = targets.numpy(), logits.argmax(1).numpy(), logits.double().softmax(1).numpy()
    labels = list(range(K))
    assert result["accuracy"] == pytest.approx(reference.accuracy_score(truth, answers), abs=1e-12)
    assert result["balanced_accuracy"] == pytest.approx(reference.balanced_accuracy_score(truth, answers), abs=1e-12)
    assert result["macro_f1"] == pytest.approx(reference.f1_score(truth, answers, average="macro"), abs=1e-12)
    assert result["cross_entropy"] == pytest.approx(reference.log_loss(truth, p, labels=labels), abs=1e-6)
    assert result["top5_accuracy"] == pytest.approx(reference.top_k_accuracy_score(truth, p, k=5, labels=labels))
    assert "roc_auc" not in result


def test_binary_figures_equal_scikit_learn():
    logits, targets = _data(3, k=2)
    result = _filled(logits, targets).result()
    scores = logits.double().softmax(1)[:, 1].numpy()
    assert result["roc_auc"] == pytest.approx(reference.roc_auc_score(targets.numpy(), scores), abs=1e-9)
    expected = reference.average_precision_score(targets.numpy(), scores)
    assert result["average_precision"] == pytest.approx(expected, abs=1e-9)
    assert "top5_accuracy" not in result


def test_binary_ranking_survives_probabilities_that_round_to_one():
    logits = torch.tensor([[0.0, 40.0], [0.0, 50.0], [0.0, 60.0]])
    result = _filled(logits, torch.tensor([0, 1, 1])).result()
    assert result["roc_auc"] == 1.0


def test_by_hand():
    # Probabilities 3/4 and 1/4: the losses are log(4/3) and log 4; both answers 3/4 sure, half of them right.
    logits = torch.log(torch.tensor([[3.0, 1.0], [3.0, 1.0]]))
    result = _filled(logits, torch.tensor([0, 1])).result()
    assert result["accuracy"] == 0.5
    assert result["cross_entropy"] == pytest.approx((math.log(4 / 3) + math.log(4)) / 2, abs=1e-6)
    assert result["expected_calibration_error"] == pytest.approx(0.25, abs=1e-6)
    assert result["roc_auc"] == 0.5


def test_calibration_error_equals_its_formula_bin_by_bin():
    logits, targets = _data(5, n=499)
    metrics = _filled(logits, targets)
    confidence, answers = logits.softmax(1).max(1)
    expected = 0.0
    for index in range(15):
        inside = (confidence > index / 15) & (confidence <= (index + 1) / 15)
        if inside.any():
            gap = (answers[inside] == targets[inside]).double().mean() - confidence[inside].double().mean()
            expected += inside.double().mean().item() * abs(gap.item())
    assert metrics.calibration_error() == pytest.approx(expected, abs=1e-7)  # float32 confidences
    assert sum(each.count for each in metrics.reliability()) == 499


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(0, 2), min_size=N, max_size=N), st.integers(0, 10**6))
def test_merging_any_partition_into_ranks_gives_the_same_bits(ranks: list[int], seed: int):
    logits, targets = _data()
    order = np.random.default_rng(seed).permutation(N)
    states = []
    for rank in range(3):
        rows = order[np.array(ranks)[order] == rank]
        states.append(_filled(logits[rows], targets[rows], rows).state() if len(rows) else {})
    merged = Classification(K)
    merged.merge(states)
    assert merged.result() == _filled(logits, targets).result()


def test_101_samples_padded_over_two_ranks_count_101():
    logits, targets = _data()
    padded = np.append(np.arange(N), 0)  # what DistributedSampler does
    states = [_filled(logits[rows], targets[rows], rows).state() for rows in (padded[0::2], padded[1::2])]
    merged = Classification(K)
    merged.merge(states)
    assert merged.confusion().sum() == N
    assert merged.result() == _filled(logits, targets).result()
    assert merged.intervals() == _filled(logits, targets).intervals()


def test_rows_without_a_target_are_not_counted():
    logits, targets = _data()
    masked = targets.clone()
    masked[::3] = -100
    kept = masked >= 0
    expected = _filled(logits[kept], targets[kept], np.flatnonzero(kept.numpy())).result()
    assert _filled(logits, masked).result() == expected


def test_half_precision_is_scored_in_float32():
    logits, targets = _data()
    half = logits.to(torch.bfloat16)
    assert _filled(half, targets).result() == _filled(half.float(), targets).result()


def test_equal_logits_do_not_count_as_top_5():
    result = _filled(torch.zeros(14, 7), torch.arange(14) % 7).result()
    assert result["top5_accuracy"] == pytest.approx(5 / 7)


def test_nothing_added_gives_no_figures():
    metrics = Classification(3)
    assert metrics.result() == {}
    assert metrics.intervals() == {}
    assert figures_of(metrics, ["a", "b", "c"]) == []
    metrics.add(torch.zeros(2, 3), torch.tensor([-100, -100]), np.arange(2))
    assert metrics.result() == {}


def test_one_class_in_the_truth_has_no_roc():
    result = _filled(torch.randn(5, 2), torch.zeros(5, dtype=torch.int64)).result()
    assert "roc_auc" not in result


def test_not_a_number_is_shown_and_not_hidden():
    logits, targets = _data()
    logits[13] = float("nan")
    result = _filled(logits, targets).result()
    assert math.isnan(result["cross_entropy"])


def test_worst_mistakes_are_wrong_and_ordered_by_loss():
    logits, targets = _data()
    worst = _filled(logits, targets, np.arange(N) + 1000).worst(11)
    losses = torch.nn.functional.cross_entropy(logits, targets, reduction="none")
    wrong = logits.argmax(1) != targets
    expected = losses[wrong].sort(descending=True).values[:11]
    assert [each.loss for each in worst] == pytest.approx(expected.tolist(), abs=1e-5)
    assert all(each.truth == targets[each.row - 1000] != each.answer for each in worst)


def test_intervals_hold_their_figures_and_repeat():
    metrics = _filled(*_data())
    result, intervals = metrics.result(), metrics.intervals(seed=1)
    assert set(intervals) == {"accuracy", "balanced_accuracy", "macro_f1", "cross_entropy", "top5_accuracy"}
    assert all(low < result[name] < high for name, (low, high) in intervals.items())
    assert intervals == metrics.intervals(seed=1)


def test_figures_show_samples_and_every_class():
    metrics = _filled(*_data())
    labels = [f"class {index}" for index in range(K)]
    figures = {each.title: each for each in figures_of(metrics, labels, lambda row: Sample([f"row {row}"], text="x"))}
    matrix, worst = figures["Confusion matrix"], figures["Worst mistakes"]
    assert isinstance(matrix, Matrix) and sum(map(sum, matrix.values)) == N
    assert isinstance(worst, Gallery) and worst.samples[0].caption[2].startswith("row ")
    assert worst.samples[0].caption[0].startswith("truth: class ")
    per_class = figures["Per class"]
    assert isinstance(per_class, Rows) and len(per_class.rows) == K


def test_figures_without_samples_list_rows_and_binary_ones_have_curves():
    figures = figures_of(_filled(*_data(3, k=2)), ["no", "yes"])
    kinds = {each.title: type(each) for each in figures}
    assert kinds["Worst mistakes"] is Rows
    assert kinds["ROC curve"] is Curves


def test_a_matrix_of_many_classes_is_cut_to_the_confused_ones():
    logits, targets = _data(1, n=2003, k=131)
    matrix = figures_of(_filled(logits, targets), [str(index) for index in range(131)])[0]
    assert isinstance(matrix, Matrix)
    assert len(matrix.row_names) == 50
    assert "50 of 131" in matrix.note


@pytest.mark.parametrize("k", [2, K])
def test_the_values_per_row_mean_the_figures_in_the_order_of_the_rows(k: int):
    logits, targets = _data(7, k=k)
    order = np.random.default_rng(0).permutation(len(targets))
    metrics = _filled(logits[order], targets[order], order)
    found, figures = metrics.per_row(), metrics.result()
    assert {name: each.figure() for name, each in found.items()} == pytest.approx(
        {name: figures[name] for name in found}, rel=1e-6
    )
    assert set(found) == {"accuracy", "cross_entropy"} | ({"top5_accuracy"} if k > 5 else set())
    losses = torch.nn.functional.cross_entropy(logits.double(), targets, reduction="none")
    assert found["cross_entropy"].values == pytest.approx(losses.numpy(), abs=1e-5)
    assert found["accuracy"].values.tolist() == (logits.argmax(1) == targets).double().tolist()
    assert Classification(k).per_row() == {}
