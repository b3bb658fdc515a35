import numpy as np
import pytest

from deepen.ops import ngram_scoring
from deepen.ops.ngram_counts import count_ngrams, marked
from deepen.ops.ngram_scoring import Scorer, next_log10
from deepen.ops.ngram_smoothing import additive, kneser_ney
from deepen.ops.ngram_trie import uniform

WORDS, END = 13, 1


def text_of(seed, length):
    draw = np.random.default_rng(seed)
    return draw.choice(WORDS, size=length, p=draw.dirichlet(np.ones(WORDS)))


def models():
    counts = count_ngrams(marked([text_of(0, 997)], WORDS, end=END), WORDS, 4)
    return [kneser_ney(counts)[0], kneser_ney(counts, prune=(0, 1, 2))[0], additive(counts, 0.3), uniform(WORDS)]


@pytest.mark.parametrize("number", range(4))
def test_each_word_has_the_probability_that_it_has_among_all(number):
    model = models()[number]
    text = marked([text_of(1, 307), text_of(2, 5)], WORDS, end=END)
    found = Scorer(model, compiled=False).log10(text)
    for i, word in enumerate(text):
        if word == WORDS:
            assert found[i] == 0
        else:
            assert found[i] == pytest.approx(next_log10(model, text[:i])[word], abs=1e-12)


@pytest.mark.parametrize("number", range(4))
def test_compiled_numbers_are_the_same_bits(number):
    pytest.importorskip("numba")
    model = models()[number]
    text = marked([text_of(1, 1009)], WORDS, end=END).astype(np.int64)
    text[[0, 100, 101, 500]] = -1
    fast, plain = Scorer(model, compiled=True).log10(text), Scorer(model, compiled=False).log10(text)
    assert np.array_equal(fast, plain)
    assert len(Scorer(model, compiled=True).log10(text[:0])) == 0


def test_no_context_reaches_over_what_is_not_known():
    model = models()[0]
    text = marked([text_of(4, 59)], WORDS)
    cut = np.insert(text.astype(np.int64), 31, -1)
    found, whole = Scorer(model).log10(cut), Scorer(model).log10(text)
    assert found[31] == 0 and np.array_equal(found[:31], whole[:31])
    assert found[32] == pytest.approx(float(model.probabilities[0][text[31]]))
    assert np.array_equal(found[36:], whole[35:])  # four words later the order is full again
    assert next_log10(model, cut[:34])[text[33]] == pytest.approx(found[34])


def test_without_numba_numpy_answers(monkeypatch):
    monkeypatch.setattr(ngram_scoring, "is_compilable", lambda: False)
    model = models()[0]
    text = marked([text_of(1, 101)], WORDS, end=END)
    assert np.array_equal(Scorer(model, compiled=True).log10(text), Scorer(model, compiled=False).log10(text))
