from collections import Counter

import numpy as np
import pytest

from deepen.ops.ngram_counts import adjusted_counts, count_ngrams, counts_of_counts, marked
from deepen.ops.ngram_trie import MISSING, BackoffModel, uniform
from tests.ops import naive_ngrams
from tests.ops.naive_ngrams import BEGIN

WORDS, END = 7, 1


def text_of(seed, length=211):
    draw = np.random.default_rng(seed)
    return draw.choice(WORDS - 1, size=length, p=draw.dirichlet(np.ones(WORDS - 1)))


def gram_of(row):
    return tuple(BEGIN if word == WORDS else int(word) for word in row)


@pytest.mark.parametrize("order", [1, 2, 3, 5])
@pytest.mark.parametrize("end", [END, None])
def test_counts_and_adjusted_counts_are_those_of_dictionaries(order, end):
    text = text_of(order)
    counts = count_ngrams(marked([text], WORDS, end=end), WORDS, order)
    raw = naive_ngrams.raw_counts(naive_ngrams.sentences(text, end), order)
    by_dictionary = naive_ngrams.adjusted(raw)
    found = adjusted_counts(counts)
    for n in range(1, order + 1):
        grams = [gram_of(row) for row in counts.trie.grams(n)]
        assert grams == [gram_of(row) for row in sorted(counts.trie.grams(n).tolist())]
        assert Counter(dict(zip(grams, counts.counts[n - 1].tolist(), strict=True))) == raw[n - 1]
        assert Counter(dict(zip(grams, found[n - 1].tolist(), strict=True))) == by_dictionary[n - 1]


def test_every_n_gram_is_found_and_no_other():
    counts = count_ngrams(marked([text_of(3)], WORDS, end=END), WORDS, 3)
    trie = counts.trie
    grams = trie.grams(3)
    assert [trie.find(gram) for gram in grams] == list(range(len(grams)))
    assert trie.find_all(grams).tolist() == list(range(len(grams)))
    held = {tuple(gram) for gram in grams.tolist()}
    other = next((a, b, c) for a in range(7) for b in range(7) for c in range(7) if (a, b, c) not in held)
    assert trie.find(other) == MISSING == trie.find_all(np.array([other]))[0]
    suffixes = trie.grams(2)[counts.suffixes[1]]
    assert (suffixes == grams[:, 1:]).all()


def test_a_text_of_one_line_by_hand():
    # <s> 0 0 2 </s>, with </s> = 1
    counts = count_ngrams(marked([np.array([0, 0, 2, 1])], 3, end=1), 3, 2)
    assert counts.counts[0].tolist() == [2, 1, 1, 1]
    assert counts.trie.grams(2).tolist() == [[0, 0], [0, 2], [2, 1], [3, 0]]
    assert adjusted_counts(counts)[0].tolist() == [2, 1, 1, 0]  # before 0 stand 0 and <s>
    assert counts_of_counts(np.array([1, 1, 3, 4, 4, 4, 9, 0])).tolist() == [2, 0, 1, 3]


def test_empty_streams_leave_nothing_behind():
    assert marked([np.zeros(0, np.int64)], 5).tolist() == []
    assert marked([np.zeros(0, np.int64), np.array([4])], 5, end=1).tolist() == [5, 4]
    counts = count_ngrams(marked([np.array([2])], 5), 5, 4)
    assert counts.trie.sizes == [6, 1, 0, 0]


def test_bytes_are_those_of_the_arrays():
    model = uniform(5)
    assert isinstance(model, BackoffModel) and model.num_bytes() == 6 * 4
    assert np.allclose(10 ** model.probabilities[0][:5], 0.2)
