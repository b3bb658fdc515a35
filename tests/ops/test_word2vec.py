"""The compiled blocks against plain loops, the loops against gradients, and what they draw against arithmetic."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from deepen.ops import word2vec, word2vec_loops
from deepen.ops.huffman import huffman_tree

NUM_WORDS, NUM_PIECES = 23, 41
COUNTS = np.array([0, *range(67, 67 - 3 * (NUM_WORDS - 1), -3)])


def corpus(seed=0, lengths=(13, 1, 2, 7, 31, 5)):
    draw = np.random.default_rng(seed)
    ids = draw.integers(1, NUM_WORDS, sum(lengths)).astype(np.int32)
    return ids, np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)


def pieces(seed=0):
    draw = np.random.default_rng(seed)
    rows = [[word, *draw.integers(NUM_WORDS, NUM_PIECES, draw.integers(0, 5))] for word in range(NUM_WORDS)]
    starts = np.concatenate([[0], np.cumsum([len(each) for each in rows])]).astype(np.int64)
    return word2vec.Pieces(np.concatenate(rows).astype(np.int32), starts)


def tables(width, seed=0):
    draw = np.random.default_rng(seed)
    return (
        draw.normal(0, 0.5, (NUM_PIECES, width)).astype(np.float32),
        draw.normal(0, 0.5, (NUM_WORDS, width)).astype(np.float32),
    )


def run(block, how, width, *, rates=(0.2, 0.1), key=12345, loss_every=3):
    ids, starts = corpus()
    table, contexts = tables(width)
    given = (ids, starts, table, contexts) + ((pieces(),) if block is not word2vec.skip_gram_block else ())
    found = block(*given, how, rates=rates, key=key, loss_every=loss_every)
    return found, table, contexts


@pytest.mark.parametrize("width", [16, 37])
@pytest.mark.parametrize("negative", [0, 7])
@pytest.mark.parametrize(
    "block", [word2vec.skip_gram_block, word2vec.skip_gram_subword_block, word2vec.cbow_block], ids=lambda b: b.__name__
)
def test_the_compiled_block_is_the_loop(monkeypatch, block, negative, width):
    pytest.importorskip("numba")
    how = word2vec.sampling(COUNTS, window=3, negative=negative, sample=0.02)
    assert (how.keep < 2**32).any(), "some words are left out now and then"
    fast = run(block, how, width)
    monkeypatch.setattr(word2vec, "_kernels", lambda: word2vec_loops)
    slow = run(block, how, width)
    assert fast[0][1] == slow[0][1] > 0
    assert fast[0][0] == pytest.approx(slow[0][0], rel=1e-5)
    begun = tables(width)
    for one, other, first in zip(fast[1:], slow[1:], begun, strict=True):
        assert np.abs(one - first).max() > 0.05
        np.testing.assert_allclose(one, other, atol=2e-5)


@pytest.mark.parametrize("output", ["noise", "tree"])
def test_a_window_goes_down_the_gradient_of_its_loss(output):
    """One line of two words: autograd of the docstring's loss, at the targets that the draws give."""
    how = word2vec.sampling(COUNTS, window=1, negative=5 if output == "noise" else 0, sample=0)
    table, contexts = tables(19)
    x, y = torch.from_numpy(table.copy()).requires_grad_(), torch.from_numpy(contexts.copy()).requires_grad_()
    draws, rate, losses = word2vec_loops._Draws(77), 0.3, []
    v, c = x, y
    ids, starts = np.array([4, 9], np.int32), np.array([0, 2])
    for _, centre, around in word2vec_loops._windows(ids, starts, how.keep, 1, rate, rate, draws):
        targets, labels = word2vec_loops._targets(
            centre, how.negative, how.limits, how.others, how.nodes, how.signs, how.paths, draws
        )
        scores = v[around] @ c[torch.from_numpy(targets)].T
        loss = F.binary_cross_entropy_with_logits(scores, torch.from_numpy(labels).expand_as(scores), reduction="sum")
        down = torch.autograd.grad(loss, (v, c))
        v, c = (each - rate * slope for each, slope in zip((v, c), down, strict=True))
        losses.append(float(loss))
    found = word2vec.skip_gram_block(ids, starts, table, contexts, how, rates=(rate, rate), key=77, loss_every=1)
    assert found == (pytest.approx(sum(losses), rel=1e-5), 2)
    np.testing.assert_allclose(table, v.detach().numpy(), atol=1e-5)
    np.testing.assert_allclose(contexts, c.detach().numpy(), atol=1e-5)


def test_cbow_by_hand():
    """Two words that are their own only piece: h is the other word's row, which gets its whole gradient."""
    how = word2vec.sampling([0, 1, 1], window=1, negative=0, sample=0)  # 0 and 1 share a node below 2's
    assert [huffman_tree([0, 1, 1]).code(word) for word in range(3)] == ["10", "11", "0"]
    table, contexts = np.full((3, 2), 1.0, np.float32), np.zeros((3, 2), np.float32)
    ids, starts = np.array([2, 1], np.int32), np.array([0, 2])
    given = (word2vec.Pieces.whole(3), how)
    loss, count = word2vec.cbow_block(ids, starts, table, contexts, *given, rates=(1.0, 1.0), key=1, loss_every=1)
    # word 2 from row 1: node 1 only, bit 0, so score 0 should be large: loss log 2, step 1 - s(0) = 1/2
    # word 1 from row 2: nodes 1 (now (1/2, 1/2), score 1) with bit 1, and 0 (score 0) with bit 1
    assert count == 2
    assert loss == pytest.approx(2 * math.log(2) + math.log(1 + math.e), rel=1e-6)
    at_one = 1 / (1 + math.exp(-1))
    np.testing.assert_allclose(contexts[:2], [[-0.5, -0.5], [0.5 - at_one] * 2], rtol=1e-5)
    np.testing.assert_allclose(table, [[1, 1], [1, 1], [1 - at_one / 2] * 2], rtol=1e-5)


def test_without_a_rate_nothing_is_moved_and_untrained_contexts_lose_log_2_a_target():
    how = word2vec.sampling(np.array([1000, 0, 0]), window=2, negative=4, sample=0)  # all noise is word 0
    table, contexts = np.ones((3, 5), np.float32), np.zeros((3, 5), np.float32)
    ids, starts = np.array([1, 2], np.int32), np.array([0, 2])
    found = word2vec.skip_gram_block(ids, starts, table, contexts, how, rates=(0.0, 0.0), key=3, loss_every=1)
    assert found == (pytest.approx(2 * 5 * math.log(2)), 2)
    assert (table == 1).all() and not contexts.any()


def test_the_chance_to_be_kept_is_word2vec_cs():
    counts = np.array([900, 90, 10])
    chances = word2vec.keep_limits(counts, 0.05) / 2.0**32
    share = 0.9 / 0.05
    assert chances[0] == pytest.approx((math.sqrt(share) + 1) / share, rel=1e-6)
    assert chances[1] == 1 and chances[2] == 1, "1 / 1.8 + sqrt(1 / 1.8) is above 1"
    assert (word2vec.keep_limits(counts, 0) == 2**32).all()


@pytest.mark.parametrize("size", [1, 2, 37, 1009])
def test_the_alias_table_is_the_distribution(size):
    weights = np.random.default_rng(size).zipf(1.4, size).clip(max=10**6).astype(float)
    weights[size // 2] = 0 if size > 1 else 1
    limits, others = word2vec.alias_table(weights)
    chance = np.zeros(size)
    kept = limits / 2.0**32
    np.add.at(chance, np.arange(size), kept / size)
    np.add.at(chance, others, (1 - kept) / size)
    np.testing.assert_allclose(chance, weights / weights.sum(), atol=1e-8)


def test_noise_is_drawn_by_counts_to_the_three_quarters():
    how = word2vec.sampling([0, 16, 81, 256], window=1, negative=9, sample=0)
    draws, drawn = word2vec_loops._Draws(5), np.zeros(4)
    for _ in range(3000):
        targets, labels = word2vec_loops._targets(0, 9, how.limits, how.others, how.nodes, how.signs, how.paths, draws)
        np.add.at(drawn, targets[1:], 1)
        assert labels.tolist() == [1, *[0] * 9]
    np.testing.assert_allclose(drawn / 27000, np.array([0, 8, 27, 64]) / 99, atol=0.012)  # 4 deviations


def test_a_key_decides_every_draw():
    how = word2vec.sampling(COUNTS, window=3, negative=5, sample=0.02)
    first, again, other = (run(word2vec.skip_gram_block, how, 16, key=key)[1] for key in (1, 1, 2))
    assert (first == again).all() and not np.allclose(first, other)


def test_without_numba_the_loops_stand_in(monkeypatch):
    monkeypatch.setattr(word2vec.importlib.util, "find_spec", lambda name: None)
    word2vec.is_compiled.cache_clear()
    word2vec._kernels.cache_clear()
    try:
        assert not word2vec.is_compiled() and word2vec._kernels() is word2vec_loops
    finally:
        monkeypatch.undo()
        word2vec.is_compiled.cache_clear()
        word2vec._kernels.cache_clear()
