"""Classes of words that stand in like places: greedy agglomeration by mutual information (Brown et al. 1992).

    I = sum over classes a, b of p(a, b) ln (p(a, b) / (p(a .) p(. b)))        p from the pairs of neighbouring words

Two classes are merged when that costs the least I. Starting from the C most frequent words, each in a class of its own,
the next word in the order of frequency makes a class C + 1, and the cheapest of all merges brings them to C again.

With counts N of pairs, n their number, f(x) = x ln x and g(x, y) = f(x + y) - f(x) - f(y), a merge of a and b changes

    n I = sum N f(N[a, b]) - sum f(N[a, .]) - sum f(N[., b]) + f(n)

by g summed over the two rows and the two columns, less g of the sums. g is 0 where one of both is 0, so a new word,
which has few neighbours, changes few of these sums: they are kept in a table of all pairs of classes. Words that have
no class yet do not count as neighbours, as in the programs of Brown et al. and of Liang 2005.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

TIE = 1e-9  # costs that differ by less, relative to n ln n, are the same; the earlier pair is then merged


@dataclass(frozen=True)
class Clusters:
    """The classes of words.

    of           [V] int64: the class of each word, 0 .. K - 1. Words that do not occur are together in the last one.
    information  I of the classes, in nats
    """

    of: np.ndarray
    information: float

    @property
    def number(self) -> int:
        """K"""
        return int(self.of.max()) + 1


def brown_clusters(
    pairs: np.ndarray,
    counts: np.ndarray,
    num_classes: int,
    *,
    most_words: int | None = None,
    alone: tuple[int, ...] = (),
    progress: Callable[[int, int], None] | None = None,
) -> Clusters:
    """C classes of the words that occur, and one more of those that do not, where there are such.

    pairs       [n, 2] int: neighbouring words
    counts      [V] int: how often each word occurs, which orders them; of equal ones the lower number is first
    most_words  the window goes over so many words; each later one goes into the class that costs least, and no classes
                are merged for it any more. Default: all
    alone       words that are classes of their own, such as the end of a line; they count among the C
    progress    is told words done and words in all

    For V words with d neighbouring classes each about V (d + C) C operations of numpy.
    """
    words = np.argsort(-counts, kind="stable")
    words = words[counts[words] > 0]
    words = np.concatenate([np.array(alone, np.int64), words[~np.isin(words, alone)]])
    num_classes = max(min(num_classes, len(words)), len(alone) + 1)
    table = _Table(_distinct_pairs(pairs, len(counts)), len(counts), num_classes, len(alone))
    for done, word in enumerate(words):
        table.add(int(word), may_merge_others=most_words is None or done < most_words)
        if progress is not None:
            progress(done + 1, len(words))
    of = table.class_of()
    if (of < 0).any():
        of[of < 0] = of.max() + 1
    return Clusters(of, mutual_information(pairs, of))


def mutual_information(pairs: np.ndarray, of: np.ndarray) -> float:
    """I of a partition, in nats, by its definition.

    pairs  [n, 2] int: neighbouring words
    of     [V] int: the class of each word
    """
    if len(pairs) == 0:
        return 0.0
    number = int(of.max()) + 1
    joint = np.bincount(of[pairs[:, 0]] * number + of[pairs[:, 1]], minlength=number * number).reshape(number, number)
    left, right = joint.sum(1), joint.sum(0)
    whole = _f(np.array([len(pairs)]))
    return float(_f(joint).sum() - _f(left).sum() - _f(right).sum() + whole[0]) / len(pairs)


def log_within(counts: np.ndarray, of: np.ndarray) -> np.ndarray:
    """log10 p(word | its class), [V] float64: its share of the class's count; equal shares where none occurs."""
    number = int(of.max()) + 1
    total = np.bincount(of, counts, number)
    size = np.bincount(of, minlength=number)
    share = np.where(total[of] > 0, counts / np.maximum(total[of], 1), 1 / size[of])
    return np.log10(np.maximum(share, 1e-99))


class _Table:
    """The classes so far, C at most and one slot for the newest, with the counts between them and the costs.

    joint  [S, S] N of the slots' classes in the order (left, right)
    gain   [S, S] sum over all c of g(N[a, c], N[b, c]) + g(N[c, a], N[c, b])
    fixed  [S, S] what else a merge of a and b costs; infinite where they shall not be merged. cost = fixed - gain
    left, right  [S] the classes' margins in the whole text
    rank   [S] when the slot's class began; the earlier pair is merged where costs are the same
    """

    def __init__(self, pairs: tuple[np.ndarray, ...], num_words: int, num_classes: int, num_alone: int) -> None:
        left, right, count = pairs
        self._after = _rows(left, right, count, num_words)
        self._before = _rows(right, left, count, num_words)
        self._row = np.bincount(left, count, num_words)
        self._column = np.bincount(right, count, num_words)
        size = num_classes + 1
        self.joint, self.gain, self.fixed = (np.zeros((size, size)) for _ in range(3))
        self.left, self.right, self.rank = np.zeros(size), np.zeros(size), np.zeros(size, np.int64)
        self.num_classes, self.num_alone = num_classes, num_alone
        self.used = self._begun = 0
        self.slot = np.full(num_words, -1)  # of each word that was added
        self._tolerance = TIE * float(_f(np.maximum(count.sum(keepdims=True), 2.0))[0])

    def add(self, word: int, *, may_merge_others: bool) -> None:
        """Gives a word a slot, and merges where there is one class too many."""
        new = self.used
        self.used += 1
        self.slot[word], self.rank[new] = new, self._begun
        self._begun += 1
        self.left[new], self.right[new] = self._row[word], self._column[word]
        self._enter(new, word)
        self._fix(new)
        if self.used > self.num_classes:
            self._merge(*(self._cheapest() if may_merge_others else self._cheapest_for(new)))

    def class_of(self) -> np.ndarray:
        """[V] int64, the classes in the order in which they began; -1 for words that were not added."""
        place = np.empty(max(self.used, 1), np.int64)
        place[np.argsort(self.rank[: self.used])] = np.arange(self.used)
        return np.where(self.slot >= 0, place[np.maximum(self.slot, 0)], -1)

    def _enter(self, new: int, word: int) -> None:
        """The counts between a word and the classes, and what they change in `gain`."""
        used = self.used
        self.joint[new, :used] = self._neighbours(self._after[word])[:used]
        self.joint[:used, new] = self._neighbours(self._before[word])[:used]
        joint = self.joint[:used, :used]
        own = np.zeros(used)
        for side in (joint, joint.T):
            line = side[:new, new]
            some = np.flatnonzero(line)
            self.gain[np.ix_(some, some)] += _g(line[some][:, None], line[some])
            some = np.flatnonzero(side[new])
            own += _g(side[:, some], side[new, some]).sum(1)
        self.gain[new, :used] = self.gain[:used, new] = own

    def _neighbours(self, row: tuple[np.ndarray, np.ndarray]) -> np.ndarray:
        """[S] counts of a word with each slot's class, from its counts with words."""
        slots = self.slot[row[0]]
        is_in = slots >= 0
        return np.bincount(slots[is_in], row[1][is_in], len(self.joint))

    def _fix(self, a: int) -> None:
        """What a merge of slot a with each other costs beside `gain`, whose sums hold c = a and c = b as two."""
        joint = self.joint[: self.used, : self.used]
        across, back, own = joint[a], joint[:, a], np.diagonal(joint)
        apart = _g(own[a], back) + _g(across, own) + _g(own[a], across) + _g(back, own)
        one = _f(own[a] + own + across + back) - _f(own[a]) - _f(own) - _f(across) - _f(back)
        margins = _g(self.left[a], self.left[: self.used]) + _g(self.right[a], self.right[: self.used])
        found = margins + apart - one
        is_alone = self.rank[: self.used] < self.num_alone
        found[is_alone | is_alone[a]] = np.inf
        found[a] = np.inf
        self.fixed[a, : self.used] = self.fixed[: self.used, a] = found

    def _cheapest(self) -> tuple[int, int]:
        costs = self.fixed[: self.used, : self.used] - self.gain[: self.used, : self.used]
        near = np.argwhere(costs <= costs.min() + self._tolerance)
        ranks = self.rank[near]
        a, b = near[np.lexsort((ranks[:, 1], ranks[:, 0]))[0]]
        return int(a), int(b)

    def _cheapest_for(self, new: int) -> tuple[int, int]:
        costs = self.fixed[new, : self.used] - self.gain[new, : self.used]
        near = np.flatnonzero(costs <= costs.min() + self._tolerance)
        return int(near[np.argmin(self.rank[near])]), new

    def _merge(self, into: int, other: int) -> None:
        """The class in slot `other` becomes part of `into`; the last slot moves to its place."""
        used = self.used
        joint, gain = self.joint[:used, :used], self.gain[:used, :used]
        for side in (joint, joint.T):
            self._merge_places(side, gain, into, other)
        own = gain[into] + sum(_added(side, into, other) for side in (joint, joint.T))
        gain[into] = gain[:, into] = own
        joint[into] += joint[other]
        joint[:, into] += joint[:, other]
        self.left[into] += self.left[other]
        self.right[into] += self.right[other]
        self.slot[self.slot == other] = into
        self._remove(other)
        self._fix(into)  # never the last slot, which is the newest class

    @staticmethod
    def _merge_places(side: np.ndarray, gain: np.ndarray, into: int, other: int) -> None:
        """Two places c of all rows become one: g(x + y) for g(x) + g(y), where one of two rows has a y."""
        a, b = side[:, into], side[:, other]
        some = np.flatnonzero(b)
        change = _g((a + b)[some][:, None], a + b) - _g(a[some][:, None], a) - _g(b[some][:, None], b)
        gain[some] += change
        change[:, some] = 0
        gain[:, some] += change.T

    def _remove(self, free: int) -> None:
        """The last slot takes the place of one that is free."""
        last = self.used - 1
        if last != free:
            for square in (self.joint, self.gain, self.fixed):
                square[free, : last + 1] = square[last, : last + 1]
                square[: last + 1, free] = square[: last + 1, last]
            for line in (self.left, self.right, self.rank):
                line[free] = line[last]
            self.slot[self.slot == last] = free
        for square in (self.joint, self.gain, self.fixed):
            square[last] = square[:, last] = 0
        self.used = last


def _added(side: np.ndarray, into: int, other: int) -> np.ndarray:
    """What row `into` gains with every other row when row `other` is added to it; the two places are one already."""
    first, second = side[into].copy(), side[other].copy()
    for row in (first, second):
        row[into], row[other] = row[into] + row[other], 0
    some = np.flatnonzero(second)
    rows = side[:, some]
    if second[into]:
        rows[:, np.searchsorted(some, into)] += side[:, other]
    return (_g(rows, (first + second)[some]) - _g(rows, first[some])).sum(1)


def _f(x: np.ndarray) -> np.ndarray:
    """x ln x, and 0 for 0."""
    return x * np.log(np.maximum(x, 1.0))


def _g(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """f(x + y) - f(x) - f(y)"""
    return _f(x + y) - _f(x) - _f(y)


def _distinct_pairs(pairs: np.ndarray, num_words: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Left words, right words and how often each pair occurs."""
    keys, counts = np.unique(pairs[:, 0].astype(np.int64) * num_words + pairs[:, 1], return_counts=True)
    return keys // num_words, keys % num_words, counts.astype(np.float64)


def _rows(of: np.ndarray, other: np.ndarray, count: np.ndarray, num_words: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """For each word, the words that stand with it and how often."""
    order = np.argsort(of, kind="stable")
    cuts = np.searchsorted(of[order], np.arange(1, num_words))
    return list(zip(np.split(other[order], cuts), np.split(count[order], cuts), strict=True))
