"""Perplexity: one definition, by hand, in any order and over any ranks."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from deepen.metrics.perplexity import Perplexity, Signature

NAN = math.nan


def filled(level="word", rows=17, stretch=7):
    draw = torch.Generator().manual_seed(3)
    nats = torch.rand(rows, stretch, generator=draw) * 5
    nats[-1, 4:] = NAN
    unknown = torch.rand(rows, stretch, generator=draw) < 0.2
    metrics = Perplexity(level, stretch)
    metrics.add(nats, unknown, np.arange(rows))
    return metrics, nats, unknown


def test_by_hand():
    metrics = Perplexity("character", 3)
    # probabilities 1/2, 1/4, 1/8 and 1/16: 10 bits over 4 characters
    nats = torch.tensor([[0.5, 0.25, 0.125], [0.0625, NAN, NAN]]).log().neg()
    metrics.add(nats, torch.tensor([[True, False, False], [False, True, True]]), np.array([0, 1]))
    found = metrics.result()
    assert found["perplexity"] == pytest.approx(2**2.5)
    assert found["bits_per_character"] == pytest.approx(2.5)
    assert found["cross_entropy"] == pytest.approx(2.5 * math.log(2))
    assert found["unknown_rate"] == 0.25
    assert metrics.counts() == (4, 1)


def test_it_is_exp_of_the_mean_over_tokens_not_over_rows():
    metrics, nats, _ = filled()
    assert metrics.result()["perplexity"] == pytest.approx(math.exp(float(nats.double().nanmean())), rel=1e-6)
    assert set(metrics.result()) == {"perplexity", "cross_entropy", "unknown_rate"}


def test_any_order_and_any_ranks_read_out_the_same():
    whole, nats, unknown = filled()
    ranks = []
    for rows in ([5, 2, 16], [0, 1, 3, 4, 6, 7, 2], list(range(8, 16))):
        part = Perplexity("word", 7)
        part.add(nats[rows], unknown[rows], np.array(rows))
        ranks.append(part.state())
    merged = Perplexity("word", 7)
    merged.merge(ranks)
    assert merged.result() == whole.result()
    assert merged.intervals() == whole.intervals()
    for one, other in zip(merged.by_token(), whole.by_token(), strict=True):
        assert np.array_equal(one, other, equal_nan=True)


def test_nothing_added_has_no_figures():
    assert Perplexity("word", 3).result() == {}
    merged = Perplexity("word", 3)
    merged.merge([Perplexity("word", 3).state()])
    assert merged.result() == {}


def test_the_interval_holds_the_figure_and_narrows_with_more_text():
    few, many = filled(rows=17)[0], filled(rows=331)[0]
    for metrics in (few, many):
        low, high = metrics.intervals()["perplexity"]
        assert low < metrics.result()["perplexity"] < high
    width = [np.subtract(*metrics.intervals()["cross_entropy"][::-1]) for metrics in (few, many)]
    assert width[1] < width[0] / 2
    assert filled(rows=9)[0].intervals() == {}


def test_per_row_means_are_the_figure():
    metrics, _, _ = filled()
    assert metrics.per_row()["cross_entropy"].figure() == pytest.approx(metrics.result()["cross_entropy"])


def test_an_impossible_token_makes_it_infinite():
    metrics = Perplexity("word", 2)
    metrics.add(torch.tensor([[math.inf, 1.0]]), torch.zeros(1, 2, dtype=torch.bool), np.array([0]))
    assert metrics.result()["perplexity"] == math.inf


def test_a_signature_says_what_was_counted():
    said = Signature("word", 245_569, 4_358, 15_218, 33_278, has_ends=True).sentence()
    assert said == (
        "word level, 245,569 tokens in 4,358 lines, <eos> counted at the end of each line, vocabulary of 33,278, "
        "unknown ones are <unk> (15,218, 6.2 %)"
    )
    assert "line breaks counted as they stand" in Signature("byte", 5, 1, 0, 256, has_ends=False).sentence()
