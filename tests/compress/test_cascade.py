"""Thresholds of a cascade: by hand, against every threshold one by one, and what they may never do."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from deepen.compress import cascade
from deepen.compress.cascade import Operation, Wish, answered_by, choose, least_accuracy, operation
from deepen.core.errors import OptionError


def drawn(num_runs: int, count: int, seed: int) -> tuple[np.ndarray, np.ndarray, list[float]]:
    """Runs that are surer where they are right, later ones right more often and dearer."""
    generator = np.random.default_rng(seed)
    ease = generator.random(count)
    right = np.stack([ease + 0.3 * generator.normal(size=count) > 0.4 - 0.12 * i for i in range(num_runs)])
    noisy = ease + 0.2 * generator.normal(size=(num_runs - 1, count))
    return 0.1 + 0.9 / (1 + np.exp(-4 * noisy)), right, [1.0, 3.7, 11.3, 29.9][:num_runs]


def test_by_hand():
    """Cheap is right where it is surer than 0.6; the large one is right but for the last sample.

    Of five, two go on: 1 + 10 * 2 / 5 = 5. At 0.45 the last one stays alone, with the wrong answer that it gets anyway.
    """
    confidences = np.array([[0.9, 0.8, 0.7, 0.5, 0.4]])
    right = np.array([[1, 1, 1, 0, 0], [1, 1, 1, 1, 0]], bool)
    found = operation(confidences, right, [1, 10], [0.6])
    assert found == Operation((0.6,), 0.8, 5.0)
    assert choose(confidences, right, [1, 10], Wish("-0%")).thresholds == pytest.approx((0.6,))
    # at 0 one of five is lost: 0.2 with a standard error of sqrt((0.2 - 0.04) / 5) = 0.179, so 0.421 can be relied on
    assert choose(confidences, right, [1, 10], Wish("0.42")) == Operation((0.0,), 0.6, 1.0)
    assert choose(confidences, right, [1, 10], Wish("0.43")).thresholds == pytest.approx((0.6,))
    assert choose(confidences, right, [1, 10], Wish(cost_share=0.4)) == Operation((0.0,), 0.6, 1.0)
    assert operation(confidences, right, [1, 10], [0.45]) == Operation((0.45,), 0.6, 3.0)
    assert choose(confidences, right, [1, 10], Wish(cost_share=0.5)).accuracy == 0.8


def test_zero_is_the_first_run_and_one_the_last():
    confidences, right, costs = drawn(3, 101, 0)
    confidences[0, :7] = 1.0
    assert (answered_by(confidences, [0, 0]) == 0).all() and (answered_by(confidences, [1, 1]) == 2).all()
    assert (answered_by(confidences, [1, 0]) == 1).all()
    alone = operation(confidences, right, costs, [1, 1])
    assert alone.accuracy == right[2].mean() and alone.cost == pytest.approx(sum(costs))
    confidences[0, 3] = np.nan
    assert answered_by(confidences, [0, 0])[3] == 1


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("wish", [Wish(), Wish("-5%"), Wish("55%"), Wish(cost_share=0.5), Wish(cost_share=0.9)])
def test_no_threshold_of_all_is_better(seed, wish):
    """Of two runs the search is over every threshold that makes a difference."""
    confidences, right, costs = drawn(2, 211, seed)
    found = choose(confidences, right, costs, wish)
    every = [operation(confidences, right, costs, [each]) for each in (0.0, *confidences[0], 1.0)]
    if wish.cost_share is not None:
        fit = [each for each in every if each.cost <= wish.cost_share * costs[-1] + 1e-9]
        assert found.cost <= wish.cost_share * costs[-1] + 1e-9
        assert found.accuracy == max(each.accuracy for each in fit)
    else:
        least = least_accuracy(wish.accuracy or "-0.2%", of_last=right[-1].mean())
        kept = [each for each in every if relied_on(confidences, right, each) >= least - 1e-9]
        assert relied_on(confidences, right, found) >= least - 1e-9
        assert found.cost == pytest.approx(min(each.cost for each in kept))


def relied_on(confidences: np.ndarray, right: np.ndarray, found: Operation) -> float:
    """The accuracy less a standard error of its difference from the last run's, sample by sample."""
    by = answered_by(confidences, found.thresholds)
    apart = right[by, np.arange(len(by))].astype(float) - right[-1]
    return found.accuracy - float(apart.std() / np.sqrt(len(by)))


def test_wishes_are_kept_on_samples_that_thresholds_were_not_chosen_on():
    """A wish that were kept to the letter on 300 samples would be missed by half of the other samples."""
    kept = []
    for seed in range(40):
        confidences, right, costs = drawn(2, 6_300, 100 + seed)
        found = choose(confidences[:, :300], right[:, :300], costs, Wish("-2%"))
        there = operation(confidences[:, 300:], right[:, 300:], costs, found.thresholds)
        kept.append(there.accuracy >= 0.98 * right[-1, 300:].mean())
    assert np.mean(kept) > 0.75


@pytest.mark.parametrize("num_runs", [2, 3, 4])
def test_the_tables_are_the_operations_one_by_one(num_runs):
    confidences, right, costs = drawn(num_runs, 97, 1)
    cuts = [cascade._cuts(each, 5) for each in confidences]
    assert all(3 <= len(own) <= 5 and own[0] == 0 and own[-1] == 1 for own in cuts)
    accuracy, errors, cost = cascade._tables(confidences, right, costs, cuts)
    for place in itertools.product(*map(range, accuracy.shape)):
        found = operation(confidences, right, costs, [own[at] for own, at in zip(cuts, place, strict=True)])
        assert accuracy[place] == pytest.approx(found.accuracy) and cost[place] == pytest.approx(found.cost)
        assert accuracy[place] - errors[place] == pytest.approx(relied_on(confidences, right, found))


def test_three_runs_are_no_worse_than_any_two_thresholds_of_a_grid():
    confidences, right, costs = drawn(3, 499, 2)
    found = choose(confidences, right, costs, Wish("-1%"))
    least = least_accuracy("-1%", of_last=right[-1].mean())
    assert relied_on(confidences, right, found) >= least - 1e-9
    values = [np.quantile(each, np.linspace(0, 1, 23)) for each in confidences]
    every = [operation(confidences, right, costs, each) for each in itertools.product(*values)]
    kept = [each.cost for each in every if relied_on(confidences, right, each) >= least]
    assert found.cost <= min(kept) + 1e-2 * costs[-1]


def test_equal_confidences_go_the_same_way():
    confidences = np.full((1, 13), 0.5)
    right = np.array([[True] * 6 + [False] * 7, [True] * 13])
    assert choose(confidences, right, [1, 2], Wish()).cost == 3
    assert choose(confidences, right, [1, 2], Wish("30%")) == Operation((0.0,), 6 / 13, 1.0)


@pytest.mark.parametrize(
    ("text", "share"), [("93%", 0.93), ("0.93", 0.93), ("-0.2%", 0.5 * 0.998), ("+1%", 0.505), ("-0%", 0.5)]
)
def test_a_wish_in_words(text, share):
    assert least_accuracy(text, of_last=0.5) == pytest.approx(share)


def test_what_is_no_wish():
    for text in ("high", "-0.002", "0.9.1", ""):
        with pytest.raises(OptionError, match=f"--accuracy '{text}': expected one such as"):
            least_accuracy(text, of_last=0.5)
    with pytest.raises(OptionError, match="'93': expected at most 1"):
        Wish("93")
    with pytest.raises(OptionError, match="a part of the last run's cost, but is 0"):
        Wish(cost_share=0)
    with pytest.raises(OptionError, match="are two wishes"):
        Wish("93%", 0.5)
    confidences, right, costs = drawn(2, 31, 3)
    with pytest.raises(OptionError, match="--accuracy 100%: the best that can be relied on here by validation is"):
        choose(confidences, np.zeros_like(right), costs, Wish("100%"))
    with pytest.raises(OptionError, match=r"--cost-share 0.2: what answers first takes 0.270 alone"):
        choose(confidences, right, costs, Wish(cost_share=0.2))
