"""Decoding: identities between the ways of choosing, exhaustive search, values by hand."""

from __future__ import annotations

import itertools
import math

import pytest
import torch

from deepen.core.errors import OptionError
from deepen.ops.decoding import (
    beam_search,
    chosen,
    drawn,
    greedy,
    tempered,
    top_k,
    top_p,
)
from deepen.ops.decoding_options import DecodingOptions, require_one_way

V, LENGTH = 5, 4


@pytest.fixture
def table():
    """log p(next | the last two): [V + 1, V + 1, V]; V stands for "nothing yet"."""
    draw = torch.Generator().manual_seed(1)
    return torch.log_softmax(2 * torch.randn(V + 1, V + 1, V, generator=draw), -1)


def searched(table, beam, *, length=LENGTH, end=None):
    """Beam search over a second-order Markov chain whose state is the last two choices [K, 2]."""

    def step(choices, state):
        state = torch.stack([state[:, 1], choices], 1)
        return table[state[:, 0], state[:, 1]], state

    state = torch.tensor([[V, V]])
    return beam_search(table[V, V], state, step, lambda s, i: s[i], beam=beam, length=length, end=end)


def log_probability(table, choices):
    padded = [V, V, *choices]
    return sum(float(table[padded[i], padded[i + 1], padded[i + 2]]) for i in range(len(choices)))


def test_a_beam_of_one_is_greedy(table):
    choices, last = [], [V, V]
    for _ in range(LENGTH):
        choices.append(greedy(table[last[0], last[1]]))
        last = [last[1], choices[-1]]
    (found,) = searched(table, 1)
    assert list(found.choices) == choices


def test_a_beam_that_holds_everything_finds_the_best_of_all(table):
    every = sorted(itertools.product(range(V), repeat=LENGTH), key=lambda c: -log_probability(table, c))
    found = searched(table, V**LENGTH)
    assert [one.choices for one in found[:11]] == every[:11]


@pytest.mark.parametrize("beam", [1, 2, 3, 7])
def test_scores_are_true_log_probabilities_and_fall(table, beam):
    found = searched(table, beam)
    assert len(found) == beam
    for one in found:
        assert one.log_probability == pytest.approx(log_probability(table, one.choices), abs=1e-5)
    assert [one.log_probability for one in found] == sorted((one.log_probability for one in found), reverse=True)


def test_a_wide_beam_with_an_end_finds_the_best_of_all_that_end_or_are_cut(table):
    end = 2
    every = {c[: c.index(end) + 1] if end in c else c for c in itertools.product(range(V), repeat=LENGTH)}
    best = sorted(every, key=lambda c: -log_probability(table, c))
    found = searched(table, V**LENGTH, end=end)
    assert [one.choices for one in found[:13]] == best[:13]
    assert all(end not in one.choices[:-1] for one in found)


def test_what_must_not_be_chosen_is_in_no_beam(table):
    table[..., 3] = -math.inf
    assert all(3 not in one.choices for one in searched(table, 7))


@pytest.mark.parametrize("p", [0.05, 0.3, 0.5, 0.9, 0.999, 1.0])
def test_top_p_keeps_the_smallest_set_that_has_p(p):
    for seed in range(17):
        log_p = torch.log_softmax(3 * torch.randn(13, generator=torch.Generator().manual_seed(seed)), -1)
        kept = top_p(log_p, p) > -math.inf
        probability = log_p.double().exp()
        sizes = [
            size
            for size in range(1, 14)
            if probability.sort(descending=True).values[:size].sum() >= min(p, float(probability.sum())) - 1e-12
        ]
        assert int(kept.sum()) == sizes[0]
        assert probability[kept].min() >= (probability[~kept].max() if (~kept).any() else 0)


def test_top_k_of_equals_keeps_the_first():
    found = top_k(torch.tensor([0.25, 0.25, 0.25, 0.25]).log(), 3)
    assert torch.allclose(found.exp(), torch.tensor([1 / 3, 1 / 3, 1 / 3, 0.0]))


def test_temperature_by_hand():
    # 0.8^2 : 0.2^2 = 16 : 1
    assert torch.allclose(tempered(torch.tensor([0.8, 0.2]).log(), 0.5).exp(), torch.tensor([16 / 17, 1 / 17]))


def test_a_draw_is_the_inverse_of_the_cumulative_probabilities():
    log_p = torch.tensor([0.5, 0.0, 0.3, 0.2, 0.0]).log()
    assert [drawn(log_p, u) for u in (0.0, 0.4999, 0.5001, 0.7999, 0.8001, 0.999999999)] == [0, 0, 2, 2, 3, 3]


def test_draws_have_their_probabilities():
    log_p = torch.tensor([0.6, 0.3, 0.1]).log()
    counts = torch.zeros(3)
    for position in range(3000):
        counts[chosen(log_p, DecodingOptions(seed=11), position)] += 1
    # five standard deviations of the most variable share
    assert (counts / 3000 - log_p.exp()).abs().max() < 5 * math.sqrt(0.25 / 3000)


def test_a_draw_depends_on_seed_and_position_alone():
    log_p = torch.log_softmax(torch.zeros(101), -1)
    draws = [[chosen(log_p, DecodingOptions(seed=seed), at) for at in range(20)] for seed in (3, 3, 4)]
    assert draws[0] == draws[1] != draws[2]
    assert draws[0][7] == chosen(log_p, DecodingOptions(seed=3), 7)


def test_limits_hold_together():
    log_p = torch.tensor([0.4, 0.3, 0.2, 0.1]).log()
    options = DecodingOptions(top_k=3, top_p=0.6)  # of 4/9, 3/9, 2/9 the first two have 7/9
    found = {chosen(log_p, options, position) for position in range(200)}
    assert found == {0, 1}


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (DecodingOptions(greedy=True, beam=2), "--greedy: and --beam"),
        (DecodingOptions(greedy=True, top_k=2), "--top-k: .* --greedy"),
        (DecodingOptions(beam=3, temperature=0.7), "--temperature: .* --beam"),
        (DecodingOptions(beam=3, top_p=0.7), "--top-p: .* --beam"),
    ],
)
def test_two_ways_at_once_are_refused(options, said):
    with pytest.raises(OptionError, match=said):
        require_one_way(options)
