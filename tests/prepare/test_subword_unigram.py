"""The unigram model against all segmentations written out."""

from __future__ import annotations

import math
import random
from collections import Counter

import numpy as np
import pytest
import torch

from deepen.prepare.subword_unigram import Graph, digamma, learn

PIECES = ["a", "b", "c", "ab", "bc", "abc", "ca", "aa"]
WORDS = ["abc", "aab", "cabc", "b", "aaaaa", "abcabca"]
SCORES = np.log(np.array([0.11, 0.07, 0.05, 0.23, 0.19, 0.13, 0.12, 0.10]))
COUNTS = np.array([3.0, 2.0, 5.0, 7.0, 1.0, 11.0])


def segmentations(word: str) -> list[list[int]]:
    if not word:
        return [[]]
    return [
        [index, *rest]
        for index, piece in enumerate(PIECES)
        if word.startswith(piece)
        for rest in segmentations(word[len(piece) :])
    ]


def test_sums_over_all_segmentations_are_those_written_out():
    graph = Graph.of(WORDS, PIECES)
    expected, log_probabilities = np.zeros(len(PIECES)), []
    for word, count in zip(WORDS, COUNTS, strict=True):
        ways = segmentations(word)
        shares = np.array([math.exp(sum(SCORES[way])) for way in ways])
        log_probabilities.append(math.log(shares.sum()))
        for way, share in zip(ways, shares / shares.sum(), strict=True):
            np.add.at(expected, way, share * count)
    np.testing.assert_allclose(graph.log_probabilities(SCORES), log_probabilities, rtol=1e-12)
    np.testing.assert_allclose(graph.expected_counts(SCORES, COUNTS), expected, rtol=1e-12)


def test_the_best_segmentation_is_the_best_of_all():
    words, pieces, values = Graph.of(WORDS, PIECES).best(SCORES)
    for index, word in enumerate(WORDS):
        best = max(segmentations(word), key=lambda way: sum(SCORES[way]))
        assert values[index] == pytest.approx(sum(SCORES[best]), rel=1e-12)
        assert sorted(pieces[words == index].tolist()) == sorted(best)


def test_a_graph_without_an_edge_is_one_without_that_piece():
    alive = np.array([piece != "ab" for piece in PIECES])
    smaller = [piece for piece in PIECES if piece != "ab"]
    np.testing.assert_allclose(
        Graph.of(WORDS, PIECES).only(alive).log_probabilities(SCORES),
        Graph.of(WORDS, smaller).log_probabilities(SCORES[alive]),
        rtol=1e-12,
    )
    inside = Graph.of(PIECES, PIECES).without_whole()
    assert not np.isfinite(inside.log_probabilities(SCORES)[:3]).any(), "a character has no other segmentation"
    assert inside.log_probabilities(SCORES)[3] == pytest.approx(SCORES[0] + SCORES[1])


def test_expectation_maximization_never_makes_the_words_less_probable():
    """Without pruning and with plain expected counts as new probabilities (Dempster, Laird and Rubin 1977)."""
    graph, scores, before = Graph.of(WORDS, PIECES), SCORES, -np.inf
    for _ in range(17):
        total = float((graph.log_probabilities(scores) * COUNTS).sum())
        assert total >= before - 1e-9
        before = total
        expected = np.maximum(graph.expected_counts(scores, COUNTS), 1e-12)
        scores = np.log(expected / expected.sum())


def random_words(seed: int, count: int) -> Counter[str]:
    draw = random.Random(seed)
    stems = ["".join(draw.choices("abcdefg", k=draw.randint(2, 4))) for _ in range(23)]
    return Counter("".join(draw.choices(stems, k=draw.randint(1, 3))) for _ in range(count))


def test_the_size_is_kept_and_characters_never_go():
    words = random_words(0, 1009)
    pieces = learn(words, 37, "abcdefg")
    assert 30 <= len(pieces) <= 37 and set("abcdefg") <= {piece for piece, _ in pieces}
    assert [score for _, score in pieces] == sorted((score for _, score in pieces), reverse=True)
    assert {piece for piece, _ in learn(words, 3, "abcdefg")} == set("abcdefg")
    assert dict(learn(words, 37, "abcdefgz"))["z"] < min(score for _, score in pieces) + 1
    assert learn(dict(reversed(words.items())), 37, "abcdefg") == pieces
    assert {piece for piece, _ in learn({}, 5, "ab")} == {"a", "b"}


def test_as_good_as_the_library_s_on_other_words():
    """tokenizers' UnigramTrainer with as many pieces: no more than 2 % more pieces for words it did not see."""
    tokenizers = pytest.importorskip("tokenizers")
    words, others = random_words(0, 4001), random_words(0, 6007)
    library = tokenizers.Tokenizer(tokenizers.models.Unigram())
    library.pre_tokenizer = tokenizers.pre_tokenizers.WhitespaceSplit()
    trainer = tokenizers.trainers.UnigramTrainer(vocab_size=31, show_progress=False)
    library.train_from_iterator([" ".join([word] * count) for word, count in words.items()], trainer)
    theirs = len(library.encode(" ".join(others)).ids)
    pieces = learn(words, library.get_vocab_size(), "abcdefg")
    used, _, _ = Graph.of(list(others), [piece for piece, _ in pieces]).best(np.array([score for _, score in pieces]))
    assert len(used) <= 1.02 * theirs


def test_digamma_is_torch_s():
    x = np.array([0.5, 0.7, 1.0, 2.3, 11.0, 1e3, 1e7])
    np.testing.assert_allclose(digamma(x), torch.digamma(torch.from_numpy(x)).numpy(), rtol=1e-11, atol=1e-12)
