"""Shift: found where it was planted, not found where it was not, and weighed away under its own assumption."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import chi2_contingency

from deepen.metrics.shift import (
    MOST_WEIGHT,
    LabelShift,
    black_box_shift,
    class_weights,
    classifier_test,
    density_ratios,
    effective_size,
    group_means,
    grouped_classifier_test,
    label_shift,
    moved,
)


def draw(seed: int) -> np.random.Generator:
    return np.random.default_rng(seed)


def test_alike_data_are_rarely_called_shifted_and_moved_data_are() -> None:
    """Of 60 pairs from one source about 5 % have p < 0.05; at most 8 is what chance gives in 99 of 100 trials."""
    p = [classifier_test(draw(n).normal(size=(211, 3)), draw(n + 999).normal(size=(173, 3))).p for n in range(60)]
    assert sum(each < 0.05 for each in p) <= 8
    assert 0.3 < np.mean(p) < 0.7
    found = classifier_test(draw(1).normal(size=(499, 3)), draw(2).normal(size=(401, 3)) + np.array([0, 0.8, 0]))
    assert found.is_shift and found.auc > 0.62


def test_a_shift_of_dependence_alone_is_found_though_no_column_moved() -> None:
    a, b = draw(3).normal(size=(2_003, 2)), draw(4).normal(size=(1_999, 2))
    b[:, 1] = 0.9 * b[:, 0] + np.sqrt(1 - 0.81) * b[:, 1]
    assert classifier_test(a, b).is_shift
    columns = ({"x": side[:, 0], "y": side[:, 1]} for side in (a, b))
    assert moved(*columns) == []


def test_weights_approach_the_true_ratio_of_densities() -> None:
    """N(1, 1) over N(0, 1) is exp(x - 1/2); weighted, the old data have the new mean."""
    old, new = draw(5).normal(size=(4_001, 1)), draw(6).normal(size=(3_001, 1)) + 1
    weights, truth = density_ratios(old, new), np.exp(old[:, 0] - 0.5)
    assert weights.mean() == pytest.approx(1, abs=0.01) and weights.max() <= MOST_WEIGHT
    assert np.corrcoef(weights, np.minimum(truth, MOST_WEIGHT))[0, 1] > 0.8
    assert np.average(old[:, 0], weights=weights) == pytest.approx(1, abs=0.15)
    assert 0.1 < effective_size(weights) / len(old) < 0.7  # exp(-1) = 0.37 for the true weights


def test_without_shift_weights_are_near_one() -> None:
    weights = density_ratios(draw(7).normal(size=(1_009, 4)), draw(8).normal(size=(997, 4)))
    assert effective_size(weights) > 0.75 * 1_009


def test_effective_size_by_hand() -> None:
    assert effective_size(np.array([1.0, 1.0, 1.0])) == pytest.approx(3)
    assert effective_size(np.array([3.0, 1.0])) == pytest.approx(16 / 10)


def test_shares_are_found_through_the_mistakes_of_a_classifier() -> None:
    """A classifier that errs in a known way; the shares of the new data are 0.1, 0.2 and 0.7."""
    generator, errs = draw(9), np.array([[0.8, 0.15, 0.05], [0.1, 0.7, 0.2], [0.0, 0.1, 0.9]])  # by truth

    def answered(shares, count):
        truths = generator.choice(3, count, p=shares)
        return truths, np.array([generator.choice(3, p=errs[truth]) for truth in truths])

    truths, answers = answered([0.5, 0.3, 0.2], 6_007)
    _, new_answers = answered([0.1, 0.2, 0.7], 5_003)
    found = black_box_shift(truths, answers, new_answers, 3)
    assert found.is_shift
    assert found.new == pytest.approx([0.1, 0.2, 0.7], abs=0.03)
    assert found.weights == pytest.approx([0.2, 0.667, 3.5], rel=0.2)
    same = black_box_shift(truths, answers, answered([0.5, 0.3, 0.2], 5_003)[1], 3)
    assert not same.is_shift and same.weights == pytest.approx([1, 1, 1], abs=0.15)  # errors near 0.05


def test_an_exact_system_is_solved_exactly() -> None:
    """Two classes, no mistakes: the weights are the ratios of shares, 0.25 / 0.5 and 0.75 / 0.5."""
    found = black_box_shift(np.array([0, 0, 1, 1]), np.array([0, 0, 1, 1]), np.array([0, 1, 1, 1]), 2)
    assert found.weights == pytest.approx([0.5, 1.5]) and found.new == pytest.approx([0.25, 0.75])


def test_a_class_that_is_never_found_keeps_its_weight_near_one() -> None:
    truths, answers = np.array([0, 0, 1, 1, 2, 2]), np.array([0, 0, 1, 1, 0, 1])
    found = black_box_shift(truths, answers, np.array([0, 0, 0, 1]), 3)
    assert np.isfinite(found.weights).all() and (found.new >= 0).all() and found.new.sum() == pytest.approx(1)


def test_known_labels_are_counted() -> None:
    found = label_shift(np.array([0] * 50 + [1] * 50), np.array([0] * 90 + [1] * 10), 2)
    assert found.is_shift and found.weights == pytest.approx([1.8, 0.2])


def told(old, new) -> LabelShift:
    return LabelShift(np.array(old), np.array(new), np.ones(len(old)), 0.5)


def test_weights_of_classes_divide_by_the_shares_of_training_by_hand() -> None:
    """Not by those of the old samples through which the new shares were found."""
    assert class_weights(told([0.5, 0.5], [0.2, 0.8]), np.array([0.9, 0.1])) == pytest.approx([2 / 9, 8])
    counted = label_shift(np.array([0, 0, 0, 1]), np.array([0, 1, 1, 1]), 2)
    assert class_weights(counted, counted.old) == pytest.approx(counted.weights)


def test_weights_of_classes_that_one_side_lacks_by_hand() -> None:
    """One class that the new data lack, one that training lacks, one of which nothing is told: its share stays 0.5."""
    found = told([0.4, 0.3, 0.2, 0.1, 0], [0.3, 0.1, 0, 0.6, 0])
    train = np.array([0.1, 0.2, 0.2, 0, 0.5])
    assert class_weights(found, train) == pytest.approx([0.375 / 0.1, 0.125 / 0.2, 0, 0, 1])
    assert not class_weights(told([1, 0], [0, 1]), np.array([1.0, 0])).any()


def test_the_columns_that_moved_are_named_the_farthest_first() -> None:
    generator, count = draw(11), 1_501
    old = {
        "age": generator.normal(40, 10, count),
        "city": generator.choice(["Oslo", "Lima"], count),
        "same": generator.normal(size=count),
        "gaps": generator.normal(size=count),
    }
    new = {
        "age": generator.normal(52, 10, count),
        "city": generator.choice(["Oslo", "Lima"], count, p=[0.7, 0.3]),
        "same": generator.normal(size=count),
        "gaps": np.where(generator.random(count) < 0.15, np.nan, generator.normal(size=count)),
    }
    found = moved(old, new)
    assert [each.name for each in found] == ["age", "city", "gaps"]
    assert found[0].old.startswith("median 4") and found[0].new.startswith("5")
    assert found[1].distance == pytest.approx(0.2, abs=0.05)
    assert found[2].old == "missing 0.0%"


def test_nothing_moved_among_many_columns_names_none() -> None:
    """Holm's correction: 40 columns of one source, and still nothing is called moved."""
    sides = [{f"c{n}": draw(100 * side + n).normal(size=307) for n in range(40)} for side in (1, 2)]
    assert moved(*sides) == []


def test_what_samples_have_is_compared_by_hand() -> None:
    """200 of 400 have it, then 240 of 300; SciPy tests the same counts, and Holm doubles its p."""
    old, new = np.arange(400) % 2 == 0, np.arange(300) % 5 != 0
    (found,) = moved({"it": old, "other": old}, {"it": new, "other": np.arange(300) % 2 == 0})
    assert (found.name, found.old, found.new) == ("it", "50.0% have it", "80.0%")
    whole = chi2_contingency([[200, 200], [240, 60]], correction=False)
    assert found.distance == pytest.approx(0.3) and found.p == pytest.approx(2 * whole.pvalue)


def test_rows_that_hang_together_count_as_one() -> None:
    """Each passage has its own mean: rows by themselves look like a shift nearly always, passages hardly ever."""

    def passages(seed: int, count: int, mean: float) -> tuple[np.ndarray, np.ndarray]:
        groups = np.arange(count * 11) // 11
        values = mean + draw(seed).normal(size=(count, 5))[groups] + draw(seed + 1).normal(size=(len(groups), 5)) / 3
        return values, groups

    def both(seed: int, mean: float = 0.0) -> tuple[bool, bool]:
        (old, of_old), (new, of_new) = passages(seed, 23, 0.0), passages(seed + 2_000, 29, mean)
        grouped = grouped_classifier_test(old, new, (of_old, of_new), seed=seed)
        return classifier_test(old, new, seed=seed).is_shift, grouped.is_shift

    found = [both(seed) for seed in range(12)]
    assert sum(alone for alone, _ in found) >= 11 and sum(grouped for _, grouped in found) <= 1
    assert both(0, 1.5) == (True, True)


def test_means_of_groups_by_hand() -> None:
    values = np.array([1.0, 2.0, np.nan, 5.0, np.nan])
    np.testing.assert_array_equal(group_means(values, np.array([3, 3, 4, 4, 5])), [1.5, 5.0, np.nan])
