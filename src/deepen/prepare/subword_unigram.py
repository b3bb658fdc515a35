"""Pieces of words under a unigram model: a word is pieces drawn independently, and the pieces make the words probable.

    P(word) = sum over its segmentations of the product of P(piece)

    1. the pieces to begin with are the substrings of words that weigh most (count x length), and every character
    2. twice: the expected count of each piece over all segmentations (forward and backward sums), from which come new
       probabilities (expectation maximization, with the digamma function as under a Dirichlet prior near 0)
    3. the quarter of the pieces without which the words stay most probable goes, until few enough are left; a character
       never goes

All segmentations of all words are one graph, whose edges are pieces; each step goes through it by the place in the
word, for all words at once. Nothing depends on the order of the words, so that equal texts give equal pieces. (The
trainer of the library `tokenizers` adds up in an order of chance, and its pieces differ from run to run.)

Source: Kudo 2018, Subword Regularization, section 3.2; the loss of a piece and the digamma step as in SentencePiece
(Kudo and Richardson 2018).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

LONGEST_PIECE = 16
NUM_WORDS = 200_000  # the commonest words, from which is learned
SEEDS = 10  # pieces to begin with, for each that is to be left
KEPT = 0.75  # of the pieces after each round
ROUNDS_OF_EXPECTATION = 2
LEAST_EXPECTED = 0.5  # a piece expected more rarely goes at once
_SPARE = 1.1  # the pieces left by pruning, for each that is kept in the end


def learn(word_counts: Mapping[str, int], size: int, alphabet: Sequence[str]) -> list[tuple[str, float]]:
    """At most `size` pieces with the natural logarithms of their probabilities, the most probable first.

    alphabet  single characters, which all become pieces even beyond `size`; words with others are passed over
    """
    known = set(alphabet)
    ordered = sorted(word_counts, key=lambda word: (-word_counts[word], word))
    words = [word for word in ordered if known.issuperset(word)][:NUM_WORDS]
    if not words:
        return [(character, -np.log(len(alphabet))) for character in sorted(alphabet)]
    counts = np.array([word_counts[word] for word in words], np.float64)
    pieces, weights = _seeds(words, counts, alphabet, SEEDS * size)
    is_character = np.array([len(piece) == 1 for piece in pieces])
    graph = Graph.of(words, pieces)
    inside = Graph.of(pieces, pieces).without_whole()
    scores = np.log(weights / weights.sum())
    while True:
        for _ in range(ROUNDS_OF_EXPECTATION):
            expected = graph.expected_counts(scores, counts)
            alive = np.isfinite(scores) & ((expected >= LEAST_EXPECTED) | is_character)
            scores = _new_scores(expected, alive)
            graph, inside = graph.only(alive), inside.only(alive)
        if alive.sum() <= max(size * _SPARE, is_character.sum()):
            break
        kept = _pruned(graph, inside, scores, counts, is_character, int(max(size * _SPARE, KEPT * alive.sum())))
        scores = np.where(kept, scores, -np.inf)
        graph, inside = graph.only(kept), inside.only(kept)
    order = sorted(np.flatnonzero(np.isfinite(scores)).tolist(), key=lambda i: (-scores[i], pieces[i]))
    room = max(0, size - int(is_character.sum()))
    longer = [index for index in order if not is_character[index]][:room]
    final = {*longer, *np.flatnonzero(is_character).tolist()}
    return [(pieces[index], float(scores[index])) for index in order if index in final]


@dataclass(frozen=True)
class Graph:
    """All segmentations of many words: nodes are the places between characters, edges are pieces.

    starts, ends  [E] int64, nodes; the nodes of a word follow each other
    piece         [E] int64
    place         [nodes] int64, each node's place in its word, from 0
    first, last   [W] int64, the nodes before and behind each word
    """

    starts: np.ndarray
    ends: np.ndarray
    piece: np.ndarray
    place: np.ndarray
    first: np.ndarray
    last: np.ndarray

    @staticmethod
    def of(words: Sequence[str], pieces: Sequence[str]) -> Graph:
        """The graph of words under pieces."""
        number = {piece: index for index, piece in enumerate(pieces)}
        longest = max(map(len, pieces))
        lengths = np.fromiter(map(len, words), np.int64, len(words))
        last = np.cumsum(lengths + 1) - 1
        first = last - lengths
        edges: list[tuple[int, int, int]] = []
        for offset, word in zip(first.tolist(), words, strict=True):
            for start in range(len(word)):
                for end in range(start + 1, min(len(word), start + longest) + 1):
                    index = number.get(word[start:end])
                    if index is not None:
                        edges.append((offset + start, offset + end, index))
        table = np.array(edges, np.int64).reshape(-1, 3)
        place = np.arange(int(last[-1]) + 1) - np.repeat(first, lengths + 1)
        return Graph(*table.T.copy(), place, first, last)  # type: ignore[misc]

    def only(self, kept: np.ndarray) -> Graph:
        """The graph with the edges of these pieces alone. [pieces] bool"""
        inside = kept[self.piece]
        return replace(self, starts=self.starts[inside], ends=self.ends[inside], piece=self.piece[inside])

    def without_whole(self) -> Graph:
        """The graph without the edges that span a word."""
        is_last = np.zeros(len(self.place), bool)
        is_last[self.last] = True
        part = ~((self.place[self.starts] == 0) & is_last[self.ends])
        return replace(self, starts=self.starts[part], ends=self.ends[part], piece=self.piece[part])

    def expected_counts(self, scores: np.ndarray, counts: np.ndarray) -> np.ndarray:
        """How often each piece is expected in all segmentations of all words. [pieces]"""
        forward, _ = self._passed(scores, self.starts, self.ends, self.first, is_best=False)
        backward, _ = self._passed(scores, self.ends, self.starts, self.last, is_best=False)
        word = np.repeat(np.arange(len(self.first)), self.last - self.first + 1)[self.starts]
        log_share = forward[self.starts] + scores[self.piece] + backward[self.ends] - forward[self.last][word]
        return np.bincount(self.piece, np.exp(log_share) * counts[word], minlength=len(scores))

    def log_probabilities(self, scores: np.ndarray) -> np.ndarray:
        """The logarithm of the probability of each word, over all segmentations. [W]"""
        return self._passed(scores, self.starts, self.ends, self.first, is_best=False)[0][self.last]

    def best(self, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The most probable segmentation of each word (Viterbi).

        returns  words and pieces of its edges, [n] each, and the logarithm of its probability [W], -inf where a word
                 has none
        """
        value, edge = self._passed(scores, self.starts, self.ends, self.first, is_best=True)
        node = self.last.copy()
        word = np.flatnonzero(np.isfinite(value[self.last]))
        words, pieces = [word[:0]], [word[:0]]
        while len(word):
            taken = edge[node[word]]
            words.append(word)
            pieces.append(self.piece[taken])
            node[word] = self.starts[taken]
            word = word[self.place[node[word]] > 0]
        return np.concatenate(words), np.concatenate(pieces), value[self.last]

    def _passed(
        self, scores: np.ndarray, sources: np.ndarray, targets: np.ndarray, roots: np.ndarray, *, is_best: bool
    ) -> tuple[np.ndarray, np.ndarray]:
        """Sums (or the best) over all ways from the roots to each node, logarithms [nodes], and the best last edge."""
        value = np.full(len(self.place), -np.inf)
        value[roots] = 0.0
        chosen = np.full(len(self.place), -1)
        length = np.abs(
            np.arange(len(self.place)) - roots[np.repeat(np.arange(len(roots)), self.last - self.first + 1)]
        )
        order = np.lexsort((self.piece, targets, length[targets]))
        levels = length[targets][order]
        for part in np.split(order, np.flatnonzero(np.diff(levels)) + 1):
            if not len(part):
                continue
            through = value[sources[part]] + scores[self.piece[part]]
            begins = np.flatnonzero(np.diff(targets[part], prepend=-1))
            nodes = targets[part][begins]
            most = np.maximum.reduceat(through, begins)
            if is_best:
                value[nodes] = most
                sizes = np.diff(begins, append=len(part))
                hits = np.flatnonzero(through == np.repeat(most, sizes))
                chosen[targets[part][hits][::-1]] = part[hits][::-1]  # of equals the first
                continue
            safe = np.where(np.isfinite(most), most, 0.0)
            shares = np.exp(through - np.repeat(safe, np.diff(begins, append=len(part))))
            with np.errstate(divide="ignore"):
                value[nodes] = safe + np.log(np.add.reduceat(shares, begins))
        return value, chosen


def _seeds(
    words: Sequence[str], counts: np.ndarray, alphabet: Sequence[str], most: int
) -> tuple[list[str], np.ndarray]:
    """All characters and the heaviest substrings that stand twice, with their counts times lengths."""
    found: Counter[str] = Counter()
    for word, count in zip(words, counts.tolist(), strict=True):
        for start in range(len(word)):
            for end in range(start + 2, min(len(word), start + LONGEST_PIECE) + 1):
                found[word[start:end]] += count
    weights = {piece: count * len(piece) for piece, count in found.items() if count >= 2}
    longer = sorted(weights, key=lambda piece: (-weights[piece], piece))[:most]
    single: Counter[str] = Counter()
    for word, count in zip(words, counts.tolist(), strict=True):
        for character in word:
            single[character] += count
    characters = sorted(alphabet)
    return [*characters, *longer], np.array([max(1.0, single[c]) for c in characters] + [weights[p] for p in longer])


def _new_scores(expected: np.ndarray, alive: np.ndarray) -> np.ndarray:
    """Logarithms of new probabilities, -inf for pieces that are gone."""
    mass = np.where(alive, np.maximum(expected, LEAST_EXPECTED), 1.0)
    return np.where(alive, digamma(mass) - digamma(mass[alive].sum(keepdims=True)), -np.inf)


def digamma(x: np.ndarray) -> np.ndarray:
    """The derivative of the logarithm of the gamma function, for numbers of at least 0.5, to 12 digits.

        digamma(x) = digamma(x + 1) - 1 / x,    digamma(x) ~ log x - 1 / 2x - sum over k of B[2k] / (2k x^2k)

    Source: Abramowitz and Stegun 1964, 6.3.5 and 6.3.18.
    """
    below = sum(1 / (x + step) for step in range(8))
    x = x + 8
    square = 1 / (x * x)
    tail = square * (1 / 12 - square * (1 / 120 - square * (1 / 252 - square * (1 / 240 - square / 132))))
    return np.log(x) - 0.5 / x - tail - below


def _pruned(
    graph: Graph, inside: Graph, scores: np.ndarray, counts: np.ndarray, is_character: np.ndarray, most: int
) -> np.ndarray:
    """Which pieces stay, [pieces] bool: all characters, and of the others those whose absence would cost most.

    The loss of a piece is what its words lose in logarithm if its best other segmentation takes its place:

        F_i / N (log F_i / N - sum over j of log (F_j + F_i) / (N + F_i (n - 1)))

    F are the counts in the best segmentations, N their sum, j the n pieces of the other segmentation. A piece whose
    other segmentation is more probable than itself goes.
    """
    words, used, _ = graph.best(scores)
    frequency = np.bincount(used, counts[words], minlength=len(scores))
    total = frequency.sum()
    whole, parts, probability = inside.best(np.where(np.isfinite(scores), scores, -np.inf))
    num_parts = np.bincount(whole, minlength=len(scores))
    with np.errstate(divide="ignore", invalid="ignore"):
        joint = np.log(frequency[parts] + frequency[whole]) - np.log(total + frequency[whole] * (num_parts[whole] - 1))
        others = np.bincount(whole, np.where(frequency[whole] > 0, joint, 0.0), minlength=len(scores))
        loss = np.where(frequency > 0, frequency / total * (np.log(frequency / total) - others), 0.0)
    alive = np.isfinite(scores)
    candidates = np.flatnonzero(alive & ~is_character & (frequency > 0) & (probability < scores))
    room = max(0, most - int(is_character.sum()))
    order = candidates[np.lexsort((candidates, -loss[candidates]))][:room]
    kept = is_character.copy()
    kept[order] = True
    return kept
