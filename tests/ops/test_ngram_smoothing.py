import math

import numpy as np
import pytest

from deepen.ops.ngram_counts import count_ngrams, marked
from deepen.ops.ngram_scoring import Scorer, next_log10
from deepen.ops.ngram_smoothing import FALLBACK, absolute_discount, additive, best_k, kneser_ney, modified_discounts
from tests.ops.naive_ngrams import BEGIN, Additive, KneserNey, sentences

WORDS, END = 7, 1


def text_of(seed, length=503, words=WORDS - 1):
    """Random words, each drawn with the one before in mind, so that contexts say something; word 6 never occurs."""
    draw = np.random.default_rng(seed)
    table = draw.dirichlet(np.full(words, 0.6), size=words)
    found = [0]
    for _ in range(length - 1):
        found.append(int(draw.choice(words, p=table[found[-1]])))
    return np.array(found)


def check_all(model, reference, text):
    """Every word after every context of the text, and after contexts that never occurred."""
    ids = marked([text], WORDS, end=END)
    contexts = [ids[: i + 1] for i in range(0, len(ids), 3)]
    contexts += [np.array([6]), np.array([0, 6, 2]), np.array([WORDS, 6]), np.array([2, 3, 4, 5, 0])]
    for context in contexts:
        found = 10 ** next_log10(model, context)
        named = [BEGIN if word == WORDS else int(word) for word in context[-9:]]
        expected = [reference.p(word, named) for word in range(WORDS)]
        assert np.allclose(found, expected, rtol=2e-6, atol=0), named
        assert found.sum() == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("modified", [True, False])
@pytest.mark.parametrize(("order", "prune"), [(1, ()), (2, ()), (3, (0, 1)), (4, (1,)), (5, (1, 1, 2, 2))])
def test_every_probability_is_that_of_a_dictionary(seed, modified, order, prune):
    text = text_of(seed)
    model, discounts = kneser_ney(
        count_ngrams(marked([text], WORDS, end=END), WORDS, order), modified=modified, prune=prune
    )
    reference = KneserNey(sentences(text, END), order, WORDS, modified, prune)
    for own, other in zip(discounts, reference.discounts, strict=True):
        assert own.values == pytest.approx(tuple(other.values()))
    check_all(model, reference, text)


@pytest.mark.parametrize("order", [1, 2, 3])
@pytest.mark.parametrize("k", [1.0, 0.037])
def test_add_k_is_that_of_a_dictionary(order, k):
    text = text_of(5, 211)
    model = additive(count_ngrams(marked([text], WORDS, end=END), WORDS, order), k)
    check_all(model, Additive(sentences(text, END), order, WORDS, k), text)


def test_laplace_by_hand():
    # lines "0 2 </s>" and "0 </s>" with </s> = 1; after 0 stands 2 once and </s> once
    model = additive(count_ngrams(marked([np.array([0, 2, 1, 0, 1])], 4, end=1), 4, 2), 1.0)
    assert 10 ** next_log10(model, [0]) == pytest.approx([1 / 6, 2 / 6, 2 / 6, 1 / 6])
    assert 10 ** next_log10(model, [4]) == pytest.approx([3 / 6, 1 / 6, 1 / 6, 1 / 6])
    assert 10 ** next_log10(model, [3]) == pytest.approx([1 / 4] * 4)


def test_discounts_by_hand():
    # Y = 8 / (8 + 2 * 4) = 1/2; D1 = 1 - 2/2 * 4/8, D2 = 2 - 3/2 * 3/4, D3 = 3 - 4/2 * 2/3
    found = modified_discounts([8, 4, 3, 2])
    assert found.is_own and found.values == pytest.approx((0.5, 0.875, 5 / 3))
    assert found.of(np.array([0, 1, 2, 3, 40])).tolist() == pytest.approx([0, 0.5, 0.875, 5 / 3, 5 / 3])
    assert absolute_discount([8, 4, 3, 2]).values == (0.5, 0.5, 0.5)
    assert modified_discounts([8, 0, 3, 2]).values == FALLBACK and not modified_discounts([8, 0, 3, 2]).is_own
    assert modified_discounts([100, 1, 90, 0]).values == FALLBACK  # D2 would be negative
    assert absolute_discount([5, 0, 0, 0]).values == (0.5, 0.5, 0.5)


def test_kneser_ney_bigrams_by_hand():
    # "0 0 2 </s>": bigrams <s>0, 00, 02, 2</s>, each once, so D = 0.5 by fallback of one discount; a(0) = 2, a(1) = 1,
    # a(2) = 1, n1 = 2, n2 = 1 give D = 2 / 4 = 0.5
    model, _ = kneser_ney(count_ngrams(marked([np.array([0, 0, 2, 1])], 3, end=1), 3, 2), modified=False)
    unigram = [(2 - 0.5) / 4 + 1.5 / 4 / 3, 0.5 / 4 + 1.5 / 4 / 3, 0.5 / 4 + 1.5 / 4 / 3]
    assert 10 ** next_log10(model, []) == pytest.approx(unigram)
    after_0 = [0.5 / 2 + 0.5 * unigram[0], 0.5 * unigram[1], 0.5 / 2 + 0.5 * unigram[2]]
    assert 10 ** next_log10(model, [0]) == pytest.approx(after_0)


def test_the_best_k_is_better_than_its_neighbours():
    train, val = text_of(7), text_of(7, 1009)[503:]
    val[::17] = 6  # a word that was not counted
    marked_val = marked([val], WORDS, end=END)
    for order in (1, 2, 3):
        counts = count_ngrams(marked([train], WORDS, end=END), WORDS, order)
        k = best_k(counts, marked_val)
        score = {c: Scorer(additive(counts, c * k), compiled=False).log10(marked_val).sum() for c in (0.8, 1.0, 1.25)}
        assert score[1.0] > max(score[0.8], score[1.25])
    assert best_k(counts, marked([], WORDS)) == 1.0


def test_unknown_words_get_the_uniform_share():
    text = text_of(2)
    model, discounts = kneser_ney(count_ngrams(marked([text], WORDS, end=END), WORDS, 3))
    reference = KneserNey(sentences(text, END), 1, WORDS)
    adjusted = KneserNey(sentences(text, END), 3, WORDS).counts[0]
    freed = sum(discounts[0].values[min(c, 3) - 1] for c in adjusted.values())
    assert 10 ** float(model.probabilities[0][6]) == pytest.approx(freed / sum(adjusted.values()) / WORDS, rel=1e-6)
    assert reference.p(6, []) > 0
    assert math.isclose(float(model.probabilities[0][WORDS]), -99)
