"""The blocks of `word2vec` as plain loops over numpy rows: slow, to be read, and the test of the compiled ones.

They also stand in where numba is not installed, at a hundredth of the speed.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

_MASK = (1 << 64) - 1
_GOLDEN, _FIRST, _SECOND = 0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB
_LOW = 0xFFFFFFFF
FURTHEST = np.float32(9.94)  # scores are cut there before the sigmoid


class _Draws:
    """Draw number n is SplitMix64's finalizer of key + n * golden ratio: no state but how many were drawn."""

    def __init__(self, key: int) -> None:
        self._state = int(key)

    def bits(self) -> int:
        """64 random bits."""
        self._state = (self._state + _GOLDEN) & _MASK
        x = self._state
        x = ((x ^ (x >> 30)) * _FIRST) & _MASK
        x = ((x ^ (x >> 27)) * _SECOND) & _MASK
        return x ^ (x >> 31)

    def below(self, count: int) -> int:
        """A whole number in [0, count)."""
        return ((self.bits() >> 32) * count) >> 32


def skip_gram(
    ids, starts, vectors, contexts, keep, limits, others, nodes, signs, paths,
    window, negative, rate_from, rate_to, key, loss_every,
):  # fmt: skip
    """See `word2vec.skip_gram_block`."""
    loss, count = 0.0, 0
    draws = _Draws(key)
    windows = _windows(ids, starts, keep, window, rate_from, rate_to, draws)
    for number, (rate, centre, around) in enumerate(windows):
        targets, labels = _targets(centre, negative, limits, others, nodes, signs, paths, draws)
        x, y = vectors[around], contexts[targets]  # [m, D], [t, D]
        scores = x @ y.T
        if number % loss_every == 0:
            loss, count = loss + _loss(scores, labels), count + len(around)
        if rate != 0:
            errors = rate * (labels - _sigmoid(scores))  # [m, t]
            np.add.at(vectors, around, errors @ y)
            np.add.at(contexts, targets, errors.T @ x)
    return loss, count


def skip_gram_subword(
    ids, starts, table, contexts, pieces, piece_starts, keep, limits, others, nodes, signs, paths,
    window, negative, rate_from, rate_to, key, loss_every,
):  # fmt: skip
    """See `word2vec.skip_gram_subword_block`."""
    loss, count = 0.0, 0
    draws = _Draws(key)
    windows = _windows(ids, starts, keep, window, rate_from, rate_to, draws)
    for number, (rate, centre, around) in enumerate(windows):
        found = [_targets(word, negative, limits, others, nodes, signs, paths, draws) for word in around]
        targets = np.concatenate([each for each, _ in found])
        labels = np.concatenate([each for _, each in found])
        rows = pieces[piece_starts[centre] : piece_starts[centre + 1]]
        part = _learn_from_bag(rows, targets, labels, table, contexts, rate)
        if number % loss_every == 0:
            loss, count = loss + part, count + len(around)
    return loss, count


def cbow(
    ids, starts, table, contexts, pieces, piece_starts, keep, limits, others, nodes, signs, paths,
    window, negative, rate_from, rate_to, key, loss_every,
):  # fmt: skip
    """See `word2vec.cbow_block`."""
    loss, count, number = 0.0, 0, 0
    draws = _Draws(key)
    for rate, centre, around in _windows(ids, starts, keep, window, rate_from, rate_to, draws):
        rows = [row for word in around for row in pieces[piece_starts[word] : piece_starts[word + 1]]]
        if not rows:
            continue
        targets, labels = _targets(centre, negative, limits, others, nodes, signs, paths, draws)
        part = _learn_from_bag(np.array(rows), targets, labels, table, contexts, rate)
        if number % loss_every == 0:
            loss, count = loss + part, count + 1
        number += 1
    return loss, count


def _windows(
    ids, starts, keep, window, rate_from, rate_to, draws: _Draws
) -> Iterator[tuple[np.float32, int, list[int]]]:
    """The rate, the centre and the words around it of each window that has any, in lines as subsampling leaves them.

    A window reaches as far as a distance drawn evenly from 1 to `window`.
    """
    for start, stop in zip(starts[:-1].tolist(), starts[1:].tolist(), strict=True):
        rate = np.float32(rate_from + (rate_to - rate_from) * start / max(1, len(ids)))
        line = []
        for word in ids[start:stop].tolist():
            if int(keep[word]) > _LOW or draws.bits() >> 32 < int(keep[word]):
                line.append(word)
        for place, centre in enumerate(line):
            span = window - draws.below(window)
            around = line[max(0, place - span) : place] + line[place + 1 : place + span + 1]
            if around:
                yield rate, centre, around


def _targets(word, negative, limits, others, nodes, signs, paths, draws: _Draws) -> tuple[np.ndarray, np.ndarray]:
    """The rows that a word is told apart by, and 1 or 0 for each."""
    if negative == 0:
        path = slice(paths[word], paths[word + 1])
        return nodes[path].astype(np.int64), signs[path]
    drawn = []
    for _ in range(negative):
        bits = draws.bits()
        at = ((bits >> 32) * len(limits)) >> 32
        drawn.append(at if bits & _LOW < int(limits[at]) else int(others[at]))
    noise = [each for each in drawn if each != word]
    return np.array([word, *noise]), np.array([1.0] + [0.0] * len(noise), np.float32)


def _learn_from_bag(rows, targets, labels, table, contexts, rate) -> float:
    hidden, y = table[rows].mean(axis=0, dtype=np.float32), contexts[targets]  # [D], [t, D]
    scores = y @ hidden
    if rate != 0:
        errors = rate * (labels - _sigmoid(scores))
        np.add.at(table, rows, np.broadcast_to(errors @ y, (len(rows), len(hidden))))
        np.add.at(contexts, targets, errors[:, None] * hidden)
    return _loss(scores, labels)


def _sigmoid(scores: np.ndarray) -> np.ndarray:
    return (1 / (1 + np.exp(-np.clip(scores, -FURTHEST, FURTHEST)))).astype(np.float32)


def _loss(scores: np.ndarray, labels: np.ndarray) -> float:
    """The summed cross-entropy of sigmoids."""
    return float(np.logaddexp(0, np.where(labels > 0.5, -scores, scores).astype(np.float64)).sum())
