"""Probabilities from counts of n-grams: Kneser-Ney, interpolated, with one discount or three, and add-k.

Every estimate gives each of the V words a probability above 0 in every context, and they add up to 1. Words that a text
does not have, the unknown word among them, get their share of what is discounted: in a closed vocabulary, where the
unknown word stands in the text as a word, its own n-grams count like any other's.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from deepen.ops.ngram_counts import NGramCounts, adjusted_counts, counts_of_counts
from deepen.ops.ngram_trie import NEVER, BackoffModel, Trie, located, starts_of

FALLBACK = (0.5, 1.0, 1.5)  # where a text is too small for its own discounts; KenLM's --discount_fallback
LEAST_K, MOST_K = 1e-8, 1e2
GOLDEN = (math.sqrt(5) - 1) / 2
GRID = 41
SEARCH_STEPS = 40


@dataclass(frozen=True)
class Discounts:
    """What is taken from the counts 1, 2, and 3 or more of an order.

    is_own  whether the order's counts gave them; else they are FALLBACK
    """

    values: tuple[float, float, float]
    is_own: bool = True

    def of(self, counts: np.ndarray) -> np.ndarray:
        """[n] float64: the discount of each count, 0 for a count of 0."""
        return np.array([0.0, *self.values])[np.minimum(counts, 3)]


def modified_discounts(numbers: Sequence[int] | np.ndarray) -> Discounts:
    """The three discounts of modified Kneser-Ney, from how many n-grams have the counts 1, 2, 3 and 4.

        Y = n1 / (n1 + 2 n2),    D[i] = i - (i + 1) Y n[i + 1] / n[i]   for i = 1, 2, 3;   D[3] is that of 3 and more

    FALLBACK where one of n1, n2, n3 is 0 or a discount is not above 0 and at most i.
    Source: Chen and Goodman 1998, eq. 26 (technical report TR-10-98).

    >>> [round(each, 4) for each in modified_discounts([100, 40, 20, 10]).values]
    [0.5556, 1.1667, 1.8889]
    """
    n1, n2, n3, n4 = (int(each) for each in numbers)
    if min(n1, n2, n3) == 0:
        return Discounts(FALLBACK, is_own=False)
    y = n1 / (n1 + 2 * n2)
    values = (1 - 2 * y * n2 / n1, 2 - 3 * y * n3 / n2, 3 - 4 * y * n4 / n3)
    fits = all(0 < value <= count for count, value in enumerate(values, start=1))
    return Discounts(values) if fits else Discounts(FALLBACK, is_own=False)


def absolute_discount(numbers: Sequence[int] | np.ndarray) -> Discounts:
    """The one discount of Kneser-Ney, D = n1 / (n1 + 2 n2); 0.5 where n1 or n2 is 0.

    Source: Ney, Essen and Kneser 1994.
    """
    n1, n2 = int(numbers[0]), int(numbers[1])
    value = n1 / (n1 + 2 * n2) if min(n1, n2) > 0 else 0.5
    return Discounts((value, value, value), is_own=min(n1, n2) > 0)


def kneser_ney(
    counts: NGramCounts, *, modified: bool = True, prune: Sequence[int] = ()
) -> tuple[BackoffModel, list[Discounts]]:
    """Interpolated Kneser-Ney, and the discounts of each order.

        p(w | h)  = max(a(h w) - D(a(h w)), 0) / a(h .) + g(h) p(w | h'),    a(h .) = sum over w of a(h w)
        g(h)      = (sum over w of D(a(h w))) / a(h .)
        p(w | ) there backs off to 1 / V

    a    the adjusted counts, of all orders but the highest in how many contexts an n-gram stands
    D    by order, of `modified_discounts` or `absolute_discount` on the adjusted counts

    prune  for the orders 2 .. N: n-grams that occur at most so often are left out, and all that their count had goes to
           g(h); must not fall from order to order. The last one stands for all further orders. The discounts are those
           before pruning.

    In a text without n-grams of an order nothing is stored there. Source: Kneser and Ney 1995; Chen and Goodman 1998
    (its interpolated form; KenLM computes the same).
    """
    adjusted = adjusted_counts(counts)
    rule = modified_discounts if modified else absolute_discount
    discounts = [rule(counts_of_counts(each)) for each in adjusted]
    kept = _kept(counts, prune)
    words = counts.trie.num_words
    probabilities, backoffs = [_unigrams(adjusted[0][:words], discounts[0])], []
    for n in range(2, counts.order + 1):
        a, parents = adjusted[n - 1], counts.trie.parents(n)
        size = len(adjusted[n - 2])
        discount = discounts[n - 1].of(a)
        total = np.bincount(parents, a, size)
        freed = np.bincount(parents, np.where(kept[n - 2], np.minimum(discount, a), a), size)
        has_children = total > 0
        weight = np.divide(freed, total, out=np.ones(size), where=has_children)
        lower = probabilities[-1][counts.suffixes[n - 2]]
        probabilities.append(np.maximum(a - discount, 0) / total[parents] + weight[parents] * lower)
        backoffs.append(weight)
    return _stored(counts.trie, probabilities, backoffs, kept), discounts


def additive(counts: NGramCounts, k: float) -> BackoffModel:
    """Add-k of the highest order; k = 1 is Laplace's rule.

        p(w | h) = (c(h w) + k) / (c(h) + k V)

    h is the last N - 1 words, or fewer where a beginning stands before them; c(h) is how often something follows h. In
    contexts that never occurred every word has 1 / V.

    As a backoff model: all shorter n-grams have 1 / V, and backoff(h) = k V / (c(h) + k V).
    Source: Laplace's rule of succession; Lidstone 1920; Chen and Goodman 1998, section 2.1.
    """
    assert k > 0
    words, trie, order = counts.trie.num_words, counts.trie, counts.order
    sizes = trie.sizes
    probabilities = [np.full(size, 1 / words) for size in sizes]
    backoffs = [np.ones(size) for size in sizes[:-1]]
    if order == 1:
        held = counts.counts[0][:words]
        probabilities[0][:words] = (held + k) / (held.sum() + k * words)
    for n in range(2, order + 1):
        parents = trie.parents(n)
        is_used = np.ones(sizes[n - 1], bool) if n == order else trie.begun(n)
        followed = np.bincount(parents, counts.counts[n - 1], sizes[n - 2])
        share = (counts.counts[n - 1] + k) / (followed[parents] + k * words)
        probabilities[n - 1] = np.where(is_used, share, 1 / words)
        is_context = followed > 0
        if n < order:
            is_context &= trie.begun(n - 1)
        backoffs[n - 2] = np.where(is_context, k * words / (followed + k * words), 1.0)
    return _stored(trie, probabilities, backoffs, [np.ones(size, bool) for size in sizes[1:]])


def best_k(counts: NGramCounts, text: np.ndarray) -> float:
    """The k of add-k under which a text that was not counted is the most likely, between 1e-8 and 100.

    text  [n] int, as `marked` gives it

    A grid over log k, and golden sections around its best point.
    """
    own, followed = _counts_met(counts, text)
    words = counts.trie.num_words

    def nats(log_k: float) -> float:
        k = math.exp(log_k)
        return float(-np.log((own + k) / (followed + k * words)).sum())

    if len(own) == 0:
        return 1.0
    grid = np.linspace(math.log(LEAST_K), math.log(MOST_K), GRID)
    best = int(np.argmin([nats(each) for each in grid]))
    low, high = float(grid[max(best - 1, 0)]), float(grid[min(best + 1, GRID - 1)])
    for _ in range(SEARCH_STEPS):
        a, b = high - GOLDEN * (high - low), low + GOLDEN * (high - low)
        low, high = (low, b) if nats(a) <= nats(b) else (a, high)
    return math.exp((low + high) / 2)


def _unigrams(adjusted: np.ndarray, discounts: Discounts) -> np.ndarray:
    """[V + 1] float64: the probabilities without a context, and 0 for the beginning."""
    total = adjusted.sum()
    if total == 0:
        return np.append(np.full(len(adjusted), 1 / len(adjusted)), 0.0)
    discount = np.minimum(discounts.of(adjusted), adjusted)
    own = (adjusted - discount) / total
    return np.append(own + discount.sum() / total / len(adjusted), 0.0)


def _kept(counts: NGramCounts, prune: Sequence[int]) -> list[np.ndarray]:
    """For the orders 2 .. N, which n-grams are stored."""
    given = [*prune, *[prune[-1] if prune else 0] * (counts.order - 1 - len(prune))]
    assert given == sorted(given), "an n-gram would be stored without its context"
    return [each > least for each, least in zip(counts.counts[1:], given, strict=False)]


def _stored(
    trie: Trie, probabilities: Sequence[np.ndarray], backoffs: Sequence[np.ndarray], kept: Sequence[np.ndarray]
) -> BackoffModel:
    """The model in the numbers that are stored, without the n-grams that are not kept."""
    held = [np.ones(trie.num_words + 1, bool), *kept]
    words, starts = [], []
    for n in range(2, trie.order + 1):
        new_place = np.cumsum(held[n - 2]) - 1
        parents = new_place[trie.parents(n)[held[n - 1]]]
        words.append(trie.words[n - 2][held[n - 1]])
        starts.append(starts_of(parents, int(held[n - 2].sum())))
    logs = [np.log10(np.clip(p[keep], 1e-99, 1.0)) for p, keep in zip(probabilities, held, strict=True)]
    logs[0][trie.num_words] = NEVER
    shares = [np.log10(share[keep]) for share, keep in zip(backoffs, held, strict=False)]
    return BackoffModel(
        Trie(trie.num_words, tuple(words), tuple(starts)),
        tuple(each.astype(np.float32) for each in logs),
        tuple(each.astype(np.float32) for each in shares),
    )


def _counts_met(counts: NGramCounts, text: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """c(h w) and c(h) of each word of a text, [n] int64 each, for the longest context that its beginning allows."""
    trie, text = counts.trie, np.asarray(text).astype(np.int64)
    predicted = text != trie.beginning
    place = np.arange(len(text))
    reach = place - np.maximum.accumulate(np.where(text == trie.beginning, place, 0)) + 1
    if trie.order == 1:
        held = counts.counts[0][: trie.num_words]
        return held[text[predicted]], np.full(int(predicted.sum()), held.sum())
    own, followed = np.zeros(len(text), np.int64), np.zeros(len(text), np.int64)
    places = text
    for n in range(2, trie.order + 1):
        here = np.flatnonzero(predicted & (reach >= n))
        before = places[here - 1]
        found = located(trie.all_keys[n - 2], before, text[here], trie.num_words + 1)
        used = (reach[here] == n) if n < trie.order else np.ones(len(here), bool)
        total = np.bincount(trie.parents(n), counts.counts[n - 1], trie.sizes[n - 2]).astype(np.int64)
        own[here[used]] = np.where(found >= 0, counts.counts[n - 1][found], 0)[used]
        followed[here[used]] = np.where(before >= 0, total[before], 0)[used]
        places = np.full(len(text), -1, np.int64)
        places[here] = found
    return own[predicted], followed[predicted]
