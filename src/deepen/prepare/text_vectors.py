"""Texts of two samples as vectors by the same rules, and measures of them that have a name.

Words are found by the rules of prepare/text_rules.py, in lower case. A text's vector is the TF-IDF of its words and
pairs of words, (1 + ln count) (1 + ln((1 + n) / (1 + n_w))), brought to length 1, and behind it the named measures in
deviations.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from deepen.prepare.text_rules import cleaned, normalized, rules

MOST_TERMS = 20_000  # words and pairs of words that a vector counts
FEWEST_TEXTS = 3  # that hold such a term
MOST_FITTED = 5_000  # texts of each side that the terms are learned from
MOST_NAMED = 500  # words that are compared one by one
FEWEST_NAMED = 10  # texts that hold such a word

Texts = Mapping[str, Sequence[str]]  # by column: one text a sample, as many in each
Measures = dict[str, np.ndarray]


def text_vectors(old: Texts, new: Texts) -> tuple[Any, Any, Measures, Measures]:
    """Both sides as sparse matrices [n, D] and [m, D] float64, and their measures by name, [n] and [m] each.

    Terms, their weights and deviations are learned from both sides alike, without a look at which is which: so what
    is equal stays equal, and nothing lies outside of what was learned. Where there are several columns, the vectors
    stand side by side, and a measure says which it is of.

    Measures are floats, NaN where a text has nothing to measure, or bool: whether a text holds the word of that name.
    """
    from scipy.sparse import csr_matrix, hstack

    parts: list[tuple[Any, Any]] = []
    measures: tuple[Measures, Measures] = ({}, {})
    words: list[tuple[list[list[str]], list[list[str]]]] = []
    for column in old:
        both = [words_of(old[column]), words_of(new[column])]
        words.append((both[0], both[1]))
        parts.append(_terms(*both))
        before = f"{column}: " if len(old) > 1 else ""
        named = _frequent(both)
        for found, texts, own in zip(measures, (old[column], new[column]), both, strict=True):
            found |= {before + name: values for name, values in _shape(texts, own).items()}
            found |= {f"{before}the word {name}": values for name, values in _held(own, named).items()}
    if len(words) == 2:
        for found, first, second in zip(measures, words[0], words[1], strict=True):
            found["words in common"] = _in_common(first, second)
    scaled = _in_deviations(*measures)
    sides = [csr_matrix(hstack([*(part[at] for part in parts), csr_matrix(scaled[at])])) for at in (0, 1)]
    return sides[0], sides[1], *measures


def words_of(texts: Sequence[str]) -> list[list[str]]:
    """The words of each text in lower case.

    >>> words_of(["Don't panic!"])
    [["don't", 'panic', '!']]
    """
    split = rules()
    return [split(normalized(cleaned(text), "NFC", lower=True)) for text in texts]


def _terms(old: list[list[str]], new: list[list[str]]) -> tuple[Any, Any]:
    from scipy.sparse import csr_matrix
    from sklearn.feature_extraction.text import TfidfVectorizer

    drawn = [text for side in (old, new) for text in _spread(side)]
    terms: Any = _words_and_pairs  # the stub knows only names of analyzers
    learned: Any = TfidfVectorizer(analyzer=terms, min_df=FEWEST_TEXTS, max_features=MOST_TERMS, sublinear_tf=True)
    try:
        learned.fit(drawn)
    except ValueError:  # no term is in so many texts
        return csr_matrix((len(old), 0)), csr_matrix((len(new), 0))
    return learned.transform(old), learned.transform(new)


def _words_and_pairs(words: list[str]) -> list[str]:
    return [*words, *(f"{first} {second}" for first, second in pairwise(words))]


def _spread(texts: list[list[str]]) -> list[list[str]]:
    """At most MOST_FITTED of them, from all over."""
    places = np.linspace(0, len(texts) - 1, min(len(texts), MOST_FITTED)).astype(int)
    return [texts[place] for place in places.tolist()]


def _shape(texts: Sequence[str], words: Sequence[list[str]]) -> Measures:
    """What a person would name of a text beside its words."""
    letters = np.array([sum(map(str.isalpha, text)) for text in texts], float)
    digits = np.array([sum(map(str.isdigit, text)) for text in texts], float)
    capitals = np.array([sum(map(str.isupper, text)) for text in texts], float)
    spelled = np.array([sum(any(map(str.isalpha, word)) for word in own) for own in words], float)
    with np.errstate(invalid="ignore", divide="ignore"):
        return {
            "length in words": np.array([len(own) for own in words], float),
            "letters of a word": np.where(spelled > 0, letters / spelled, np.nan),
            "share of capitals": np.where(letters > 0, capitals / letters, np.nan),
            "share of digits": np.where(letters + digits > 0, digits / (letters + digits), np.nan),
        }


def _frequent(both: Sequence[Sequence[list[str]]]) -> list[str]:
    """The words that the most texts of both sides together hold, but not all."""
    counts = Counter(word for side in both for own in side for word in set(own))
    total = sum(map(len, both))
    known = [(word, count) for word, count in counts.items() if FEWEST_NAMED <= count < total]
    return [word for word, _ in sorted(known, key=lambda each: (-each[1], each[0]))[:MOST_NAMED]]


def _held(words: Sequence[list[str]], named: Sequence[str]) -> Measures:
    places = {word: place for place, word in enumerate(named)}
    found = np.zeros((len(words), len(named)), bool)
    for row, own in enumerate(words):
        for word in set(own) & places.keys():
            found[row, places[word]] = True
    return {word: found[:, place] for word, place in places.items()}


def _in_common(first: Sequence[list[str]], second: Sequence[list[str]]) -> np.ndarray:
    """Of the words of two texts the share that both have; NaN where neither has any. Jaccard 1901."""
    pairs = [(set(a), set(b)) for a, b in zip(first, second, strict=True)]
    return np.array([len(a & b) / len(a | b) if a | b else np.nan for a, b in pairs])


def _in_deviations(old: Measures, new: Measures) -> tuple[np.ndarray, np.ndarray]:
    """The measures that are numbers, less their mean over their deviation over both sides, 0 where there is none."""
    columns = []
    for name in (name for name in old if old[name].dtype.kind == "f"):
        both = np.concatenate([old[name], new[name]])
        known = both[np.isfinite(both)]
        deviation = float(known.std()) if len(known) else 0.0
        columns.append(np.nan_to_num((both - known.mean()) / deviation) if deviation > 0 else np.zeros(len(both)))
    count = len(next(iter(old.values())))
    together = np.stack(columns, 1)
    return together[:count], together[count:]
