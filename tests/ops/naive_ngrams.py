"""N-gram models by dictionaries and the formulas of the papers, word by word: what the fast ones are compared with."""

from __future__ import annotations

from collections import Counter, defaultdict

BEGIN = "<s>"


def sentences(ids, end):
    """Lists of words, each ended by `end` but perhaps the last."""
    found, line = [], []
    for word in ids:
        line.append(int(word))
        if word == end:
            found.append(line)
            line = []
    return [*found, line] if line else found


def raw_counts(lines, order):
    """[Counter of tuples] for the orders 1 .. N, of all n-grams that do not reach before the beginning."""
    counts = [Counter() for _ in range(order)]
    for line in lines:
        words = (BEGIN, *line)
        for n in range(1, order + 1):
            for i in range(len(words) - n + 1):
                counts[n - 1][words[i : i + n]] += 1
    return counts


def adjusted(counts):
    """Kneser and Ney's counts: how many different words stand before, but for the highest order and behind <s>."""
    found = []
    for n, own in enumerate(counts, start=1):
        if n == len(counts):
            found.append(Counter(own))
            continue
        before = defaultdict(set)
        for gram in counts[n]:
            before[gram[1:]].add(gram[0])
        found.append(Counter({g: own[g] if g[0] == BEGIN else len(before[g]) for g in own}))
    del found[0][(BEGIN,)]
    return found


def discounts(counts, modified):
    """D(1), D(2), D(3+) of one order; the fallback of KenLM where they cannot be had."""
    n = Counter(min(c, 5) for c in counts.values())
    if not modified:
        d = n[1] / (n[1] + 2 * n[2]) if n[1] and n[2] else 0.5
        return {1: d, 2: d, 3: d}
    if not (n[1] and n[2] and n[3]):
        return {1: 0.5, 2: 1.0, 3: 1.5}
    y = n[1] / (n[1] + 2 * n[2])
    found = {i: i - (i + 1) * y * n[i + 1] / n[i] for i in (1, 2, 3)}
    return found if all(0 < found[i] <= i for i in found) else {1: 0.5, 2: 1.0, 3: 1.5}


class KneserNey:
    """p(word | context) of interpolated Kneser-Ney by recursion."""

    def __init__(self, lines, order, num_words, modified=True, prune=()):
        raw = raw_counts(lines, order)
        self.order, self.num_words = order, num_words
        self.counts = adjusted(raw)
        self.discounts = [discounts(each, modified) for each in self.counts]
        least = [0, *prune, *[prune[-1] if prune else 0] * (order - 1 - len(prune))]
        self.kept = [{g for g in own if n == 0 or raw[n][g] > least[n]} for n, own in enumerate(self.counts)]
        self.followers = [defaultdict(list) for _ in range(order)]
        for n, own in enumerate(self.counts):
            for gram in own:
                self.followers[n][gram[:-1]].append(gram)

    def p(self, word, context):
        context = tuple(context)
        if BEGIN in context:
            context = context[len(context) - 1 - context[::-1].index(BEGIN) :]
        return self._p(word, context[max(0, len(context) - self.order + 1) :])

    def _p(self, word, context):
        n = len(context)
        grams = self.followers[n][context]
        lower = self._p(word, context[1:]) if n else 1 / self.num_words
        total = sum(self.counts[n][g] for g in grams)
        if total == 0:
            return lower
        d = self.discounts[n]
        freed = sum(d[min(self.counts[n][g], 3)] if g in self.kept[n] else self.counts[n][g] for g in grams)
        own = (*context, word)
        count = self.counts[n][own] if own in self.kept[n] else 0
        return max(count - (d[min(count, 3)] if count else 0), 0) / total + freed / total * lower


class Additive:
    """p(word | context) of add-k."""

    def __init__(self, lines, order, num_words, k):
        self.raw = raw_counts(lines, order)
        self.order, self.num_words, self.k = order, num_words, k

    def p(self, word, context):
        context = tuple(context)
        if BEGIN in context:
            context = context[len(context) - 1 - context[::-1].index(BEGIN) :]
        context = context[max(0, len(context) - self.order + 1) :]
        own = self.raw[len(context)]
        total = sum(own[(*context, w)] for w in range(self.num_words))
        return (own[(*context, word)] + self.k) / (total + self.k * self.num_words)
