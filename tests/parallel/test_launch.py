"""Two processes as one group: the same step, the same figures, and no orphan when one fails."""

from __future__ import annotations

import multiprocessing
import time

import pytest
import torch
import two_ranks

from deepen.core.errors import DataError, RunError
from deepen.engine.options import FitOptions, OptimizerOptions
from deepen.parallel import launch
from deepen.parallel.ranks import Alone
from tests.torture.kills import succeeds

OPTIONS = FitOptions(epochs=2, batch_size=30, ema=0.9, optimizer=OptimizerOptions(kind="sgd", learning_rate=0.05))


def both(function, arguments):
    with launch.group(2, "cpu", function, arguments) as ranks:
        return function(ranks, arguments)


def test_two_ranks_take_the_same_steps_as_one():
    """Only the order of additions differs: 2e-6 of the largest weight after 16 steps."""
    one = two_ranks.train(Alone(), OPTIONS)
    two = both(two_ranks.train, OPTIONS)
    for a, b in zip(one.model.parameters(), two.model.parameters(), strict=True):
        assert (a - b).abs().max() <= 2e-6 * a.abs().max()
    assert [r["val_accuracy"] for r in one.history] == [r["val_accuracy"] for r in two.history]


@pytest.mark.parametrize("num_rows", [1, 101])
def test_a_metric_over_two_ranks_counts_each_sample_once(num_rows):
    one, two = two_ranks.score(Alone(), num_rows), both(two_ranks.score, num_rows)
    assert one.result() == pytest.approx(two.result(), rel=1e-6)
    assert len(two.state()["targets"]) == num_rows


def test_gathering_and_sending():
    gathered, sent = both(two_ranks.gather, None)
    assert [part["a"].tolist() for part in gathered] == [[0, 1, 2], [0, 1, 2, 3, 4]]
    assert [float(part["b"]) for part in gathered] == [0.0, 1.0]
    assert sent == {"x": [1, "zwei"]}


def test_sums_are_in_place():
    tensors = [torch.ones(3), torch.ones(2, 2)]
    Alone().sum_(tensors)
    assert tensors[0].tolist() == [1, 1, 1]


def test_another_ranks_sentence_reaches_the_user():
    with (
        pytest.raises(DataError, match="row 7: planted for rank 1"),
        launch.group(2, "cpu", two_ranks.refuse, None) as r,
    ):
        two_ranks.wait(r, None)


@pytest.mark.parametrize(
    ("function", "code"),
    [(two_ranks.leave, "0"), (two_ranks.fail, "1"), (two_ranks.die, "-9")],
    ids=("leave", "fail", "die"),
)
def test_a_rank_that_ends_early_is_named_however_it_ends(function, code):
    with (
        pytest.raises(RunError, match=rf"rank 1: .*ended with {code}; go on"),
        launch.group(2, "cpu", function, 0) as r,
    ):
        two_ranks.wait(r, None)
    assert not multiprocessing.active_children()


def test_a_rank_killed_in_evaluation_is_named():
    with pytest.raises(RunError, match=r"rank 1: .*ended with -9; go on"):
        both(two_ranks.die_in_evaluation, OPTIONS)
    assert not multiprocessing.active_children()


def test_what_is_prepared_before_joining_takes_the_place_of_the_arguments():
    with launch.group(2, "cpu", two_ranks.send, 7, prepare=two_ranks.double) as ranks:
        gathered = two_ranks.send(ranks, 5)
    assert [int(part["a"]) for part in gathered] == [5, 14]


def test_a_rank_killed_while_it_prepares_is_named():
    with (
        pytest.raises(RunError, match=r"rank 1: .*ended with -9; go on"),
        launch.group(2, "cpu", two_ranks.wait, None, prepare=two_ranks.die_preparing),
    ):
        pass


def test_a_rank_held_while_it_prepares_is_given_up():
    with (
        pytest.raises(
            RunError, match=r"rank 1: expected to join within 3 seconds, but its process \(pid \d+\) has not"
        ),
        launch.group(2, "cpu", two_ranks.wait, None, prepare=two_ranks.stop_preparing, join_seconds=3),
    ):
        pass
    assert not multiprocessing.active_children()


def test_a_killed_rank_ends_the_job_soon_and_is_named():
    start = time.monotonic()
    with (
        pytest.raises(RunError, match=r"rank 1: .*ended with -9; go on"),
        launch.group(2, "cpu", two_ranks.die, None) as r,
    ):
        two_ranks.wait(r, None)
    assert time.monotonic() - start < 20
    assert not multiprocessing.active_children()


def test_a_fork_of_a_process_with_ranks_has_ranks_of_its_own():
    """The server that ranks are forked from belongs to the parent, and cannot be waited for from here."""
    with launch.group(2, "cpu", two_ranks.send, 7) as ranks:
        two_ranks.send(ranks, 5)

    def group():
        with launch.group(2, "cpu", two_ranks.send, 7) as ranks:
            assert [int(part["a"]) for part in two_ranks.send(ranks, 5)] == [5, 7]

    assert succeeds(group)


def test_ranks_have_the_environment_of_their_group(monkeypatch):
    """Not the one in which the first group of this process began."""
    for word in ("one", "two"):
        monkeypatch.setenv("DEEPEN_TEST_WORD", word)
        with launch.group(2, "cpu", two_ranks.has_word, word) as ranks:
            two_ranks.has_word(ranks, word)
