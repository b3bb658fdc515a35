"""The blocks of `word2vec` compiled by numba: same arguments, same draws and same numbers as `word2vec_loops`.

Each kernel lets go of Python's lock, so that several threads can work on the same tables without any lock of their own
(Niu et al. 2011, Hogwild). What is drawn depends on the block's key alone.

A window is one small matrix product: its input rows against its target rows, which all inputs of the window share (Ji
et al. 2016, Parallelizing Word2Vec in Shared and Distributed Memory, arXiv 1604.04661). Loops over a row are
contiguous and of float32, so that LLVM makes vector instructions of them.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit

from deepen.ops.float_rows import add_1, add_3, add_6, dots_1, dots_3, dots_6, fetch

_FAST = {"reassoc", "contract", "arcp", "nsz"}  # not nnan and ninf: a table that runs away must be seen to
_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_FIRST, _SECOND = np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)
_30, _27, _31, _32 = np.uint64(30), np.uint64(27), np.uint64(31), np.uint64(32)
_LOW = np.uint64(0xFFFFFFFF)
_ZERO, _HALF, _ONE, _FURTHEST = np.float32(0), np.float32(0.5), np.float32(1), np.float32(4.97)


@njit(nogil=True, forceinline=True)
def _mixed(x):
    """The finalizer of SplitMix64."""
    x = (x ^ (x >> _30)) * _FIRST
    x = (x ^ (x >> _27)) * _SECOND
    return x ^ (x >> _31)


@njit(nogil=True, forceinline=True)
def _below(bits, count):
    """A whole number in [0, count) from the upper half of 64 random bits."""
    return np.int64(((bits >> _32) * np.uint64(count)) >> _32)


@njit(nogil=True, fastmath=_FAST, forceinline=True)
def _sigmoid(x):
    """1 / (1 + exp(-x)) to 3e-7 for |x| below 8; beyond 9.94 it stays at what it is there, 5e-5 from 0 or 1.

    By tanh(x / 2), as the continued fraction of Lambert cut after nine terms, which needs no table and no branch.
    """
    y = min(max(x * _HALF, -_FURTHEST), _FURTHEST)
    z = y * y
    above = np.float32(34459425) + z * (np.float32(4729725) + z * (np.float32(135135) + z * (np.float32(990) + z)))
    below = np.float32(34459425) + z * (
        np.float32(16216200) + z * (np.float32(945945) + z * (np.float32(13860) + z * np.float32(45)))
    )
    return _HALF + _HALF * y * above / below


@njit(nogil=True, forceinline=True)
def _softplus(x):
    """log(1 + exp(x))"""
    return max(x, 0.0) + math.log1p(math.exp(-abs(x)))


@njit(nogil=True, forceinline=True)
def _kept(ids, start, stop, keep, state, kept):
    """Those of a line's words that subsampling leaves, into `kept`; returns how many, and the state of the draws."""
    n = 0
    for place in range(start, stop):
        word = ids[place]
        if keep[word] <= _LOW:
            state += _GOLDEN
            if (_mixed(state) >> _32) >= keep[word]:
                continue
        kept[n] = word
        n += 1
    return n, state


@njit(nogil=True, forceinline=True)
def _add_noise(positive, negative, limits, others, state, targets, labels, t):
    """Appends words of noise to the targets, but for those that are the positive one."""
    for _ in range(negative):
        state += _GOLDEN
        bits = _mixed(state)
        word = _below(bits, len(limits))
        if (bits & _LOW) >= limits[word]:
            word = np.int64(others[word])
        if word != positive:
            targets[t] = word
            labels[t] = _ZERO
            t += 1
    return t, state


@njit(nogil=True, forceinline=True)
def _fetch_noise(negative, limits, others, state, table):
    """Asks for the rows that `_add_noise` will draw from this state."""
    for _ in range(negative):
        state += _GOLDEN
        bits = _mixed(state)
        word = _below(bits, len(limits))
        if (bits & _LOW) >= limits[word]:
            word = np.int64(others[word])
        fetch(table, word)


@njit(nogil=True, forceinline=True)
def _add_path(word, nodes, signs, paths, targets, labels, t):
    """Appends the inner nodes on the way to a word."""
    for at in range(paths[word], paths[word + 1]):
        targets[t] = nodes[at]
        labels[t] = signs[at]
        t += 1
    return t


@njit(nogil=True, forceinline=True)
def _scores(rows, m, targets, t, table, scores):
    """scores[i * t + k] = rows[i] . table[targets[k]]; six or three targets share one reading of the row."""
    for i in range(m):
        at, k = i * t, 0
        while k + 6 <= t:
            a, b, c, d, e, f = dots_6(
                rows, i, table,
                targets[k], targets[k + 1], targets[k + 2], targets[k + 3], targets[k + 4], targets[k + 5],
            )  # fmt: skip
            scores[at + k], scores[at + k + 1], scores[at + k + 2] = a, b, c
            scores[at + k + 3], scores[at + k + 4], scores[at + k + 5] = d, e, f
            k += 6
        while k + 3 <= t:
            a, b, c = dots_3(rows, i, table, targets[k], targets[k + 1], targets[k + 2])
            scores[at + k], scores[at + k + 1], scores[at + k + 2] = a, b, c
            k += 3
        while k < t:
            scores[at + k] = dots_1(rows, i, table, targets[k])[0]
            k += 1


@njit(nogil=True, forceinline=True)
def _loss(scores, labels, m, t):
    """The summed cross-entropy of sigmoids."""
    total = 0.0
    for i in range(m):
        for k in range(t):
            score = float(scores[i * t + k])
            total += _softplus(-score) if labels[k] > _HALF else _softplus(score)
    return total


@njit(nogil=True, fastmath=_FAST, forceinline=True)
def _errors(scores, labels, m, t, rate):
    """scores become rate * (label - sigmoid(score)), the steps along the other side's rows."""
    for at in range(m * t):
        scores[at] = -rate * _sigmoid(scores[at])
    for i in range(m):
        for k in range(t):
            scores[i * t + k] += rate * labels[k]


@njit(nogil=True, forceinline=True)
def _add_targets(errors, first, targets, t, table, to, row):
    """to[row] += sum over k of errors[first + k] * table[targets[k]]"""
    k = 0
    while k + 6 <= t:
        at = first + k
        add_6(
            to, row, table, targets[k], targets[k + 1], targets[k + 2], targets[k + 3], targets[k + 4], targets[k + 5],
            errors[at], errors[at + 1], errors[at + 2], errors[at + 3], errors[at + 4], errors[at + 5],
        )  # fmt: skip
        k += 6
    while k + 3 <= t:
        at = first + k
        add_3(to, row, table, targets[k], targets[k + 1], targets[k + 2], errors[at], errors[at + 1], errors[at + 2])
        k += 3
    while k < t:
        add_1(to, row, table, targets[k], errors[first + k])
        k += 1


@njit(nogil=True, forceinline=True)
def _add_rows(errors, rows, m, targets, t, table):
    """table[targets[k]] += sum over i of errors[i * t + k] * rows[i]"""
    for k in range(t):
        row, at, i = targets[k], k, 0
        while i + 6 <= m:
            add_6(
                table, row, rows, i, i + 1, i + 2, i + 3, i + 4, i + 5,
                errors[at], errors[at + t], errors[at + 2 * t], errors[at + 3 * t], errors[at + 4 * t],
                errors[at + 5 * t],
            )  # fmt: skip
            i, at = i + 6, at + 6 * t
        while i + 3 <= m:
            add_3(table, row, rows, i, i + 1, i + 2, errors[at], errors[at + t], errors[at + 2 * t])
            i, at = i + 3, at + 3 * t
        while i < m:
            add_1(table, row, rows, i, errors[at])
            i, at = i + 1, at + t


@njit(nogil=True, forceinline=True)
def _mean_of(table, rows, n, to):
    """to[0] = the mean of n rows of a table."""
    part = _ONE / np.float32(n)
    for j in range(to.shape[1]):
        to[0, j] = _ZERO
    i = 0
    while i + 3 <= n:
        add_3(to, 0, table, rows[i], rows[i + 1], rows[i + 2], part, part, part)
        i += 3
    while i < n:
        add_1(to, 0, table, rows[i], part)
        i += 1


@njit(nogil=True, forceinline=True)
def _add_to_all(step, rows, n, table):
    """table[rows[i]] += step[0] for each i."""
    for i in range(n):
        add_1(table, rows[i], step, 0, _ONE)


@njit(nogil=True, forceinline=True)
def _most_targets(negative, paths):
    """The most targets of one word."""
    most = negative + 1
    if negative == 0:
        for word in range(len(paths) - 1):
            most = max(most, paths[word + 1] - paths[word])
    return most


@njit(nogil=True, fastmath=_FAST, forceinline=True)
def _learn_from_bag(rows, n, targets, labels, t, table, contexts, rate, counts_loss, hidden, step, scores):
    """One hidden vector, the mean of n rows, against t targets; returns the loss where it is asked for."""
    _mean_of(table, rows, n, hidden)
    _scores(hidden, 1, targets, t, contexts, scores)
    loss = _loss(scores, labels, 1, t) if counts_loss else 0.0
    if rate != _ZERO:
        _errors(scores, labels, 1, t, rate)
        for j in range(table.shape[1]):
            step[0, j] = _ZERO
        _add_targets(scores, 0, targets, t, contexts, step, 0)
        _add_rows(scores, hidden, 1, targets, t, contexts)
        _add_to_all(step, rows, n, table)
    return loss


@njit(nogil=True, fastmath=_FAST, cache=True)
def skip_gram(
    ids, starts, vectors, contexts, keep, limits, others, nodes, signs, paths,
    window, negative, rate_from, rate_to, key, loss_every,
):  # fmt: skip
    """See `word2vec.skip_gram_block`."""
    most = _most_targets(negative, paths)
    rows = np.empty((2 * window, vectors.shape[1]), np.float32)
    scores = np.empty(2 * window * most, np.float32)
    inputs, targets = np.empty(2 * window, np.int64), np.empty(most, np.int64)
    labels, kept = np.empty(most, np.float32), np.empty(len(ids), np.int32)
    state, number, loss, count = key, 0, 0.0, 0
    for line in range(len(starts) - 1):
        n, state = _kept(ids, starts[line], starts[line + 1], keep, state, kept)
        rate = np.float32(rate_from + (rate_to - rate_from) * starts[line] / max(1, len(ids)))
        for place in range(n):
            state += _GOLDEN
            span = window - _below(_mixed(state), window)
            m = 0
            for other in range(max(0, place - span), min(n, place + span + 1)):
                if other != place:
                    inputs[m] = kept[other]
                    m += 1
            if m == 0:
                continue
            centre = np.int64(kept[place])
            if negative > 0:
                targets[0], labels[0] = centre, _ONE
                t, state = _add_noise(centre, negative, limits, others, state, targets, labels, 1)
                if place + 1 < n:
                    fetch(contexts, np.int64(kept[place + 1]))
                    _fetch_noise(negative, limits, others, state + _GOLDEN, contexts)
            else:
                t = _add_path(centre, nodes, signs, paths, targets, labels, 0)
            if place + window + 1 < n:
                fetch(vectors, np.int64(kept[place + window + 1]))
            for i in range(m):
                row = inputs[i]
                for j in range(vectors.shape[1]):
                    rows[i, j] = vectors[row, j]
            _scores(rows, m, targets, t, contexts, scores)
            if number % loss_every == 0:
                loss += _loss(scores, labels, m, t)
                count += m
            number += 1
            if rate != _ZERO:
                _errors(scores, labels, m, t, rate)
                for i in range(m):
                    _add_targets(scores, i * t, targets, t, contexts, vectors, inputs[i])
                _add_rows(scores, rows, m, targets, t, contexts)
    return loss, count


@njit(nogil=True, fastmath=_FAST, cache=True)
def skip_gram_subword(
    ids, starts, table, contexts, pieces, piece_starts, keep, limits, others, nodes, signs, paths,
    window, negative, rate_from, rate_to, key, loss_every,
):  # fmt: skip
    """See `word2vec.skip_gram_subword_block`."""
    most = _most_targets(negative, paths) * 2 * window
    hidden = np.empty((1, table.shape[1]), np.float32)
    step = np.empty((1, table.shape[1]), np.float32)
    scores, targets, labels = np.empty(most, np.float32), np.empty(most, np.int64), np.empty(most, np.float32)
    kept = np.empty(len(ids), np.int32)
    state, number, loss, count = key, 0, 0.0, 0
    for line in range(len(starts) - 1):
        n, state = _kept(ids, starts[line], starts[line + 1], keep, state, kept)
        rate = np.float32(rate_from + (rate_to - rate_from) * starts[line] / max(1, len(ids)))
        for place in range(n):
            state += _GOLDEN
            span = window - _below(_mixed(state), window)
            t = m = 0
            for other in range(max(0, place - span), min(n, place + span + 1)):
                if other == place:
                    continue
                m += 1
                word = np.int64(kept[other])
                if negative > 0:
                    targets[t], labels[t] = word, _ONE
                    t, state = _add_noise(word, negative, limits, others, state, targets, labels, t + 1)
                else:
                    t = _add_path(word, nodes, signs, paths, targets, labels, t)
            if m == 0:
                continue
            first, last = piece_starts[kept[place]], piece_starts[kept[place] + 1]
            counts_loss = number % loss_every == 0
            loss += _learn_from_bag(
                pieces[first:last], last - first, targets, labels, t, table, contexts, rate, counts_loss, hidden, step,
                scores,
            )  # fmt: skip
            count += m if counts_loss else 0
            number += 1
    return loss, count


@njit(nogil=True, fastmath=_FAST, cache=True)
def cbow(
    ids, starts, table, contexts, pieces, piece_starts, keep, limits, others, nodes, signs, paths,
    window, negative, rate_from, rate_to, key, loss_every,
):  # fmt: skip
    """See `word2vec.cbow_block`."""
    most = _most_targets(negative, paths)
    longest = 1
    for word in range(len(piece_starts) - 1):
        longest = max(longest, piece_starts[word + 1] - piece_starts[word])
    hidden = np.empty((1, table.shape[1]), np.float32)
    step = np.empty((1, table.shape[1]), np.float32)
    scores, targets, labels = np.empty(most, np.float32), np.empty(most, np.int64), np.empty(most, np.float32)
    rows, kept = np.empty(2 * window * longest, np.int32), np.empty(len(ids), np.int32)
    state, number, loss, count = key, 0, 0.0, 0
    for line in range(len(starts) - 1):
        n, state = _kept(ids, starts[line], starts[line + 1], keep, state, kept)
        rate = np.float32(rate_from + (rate_to - rate_from) * starts[line] / max(1, len(ids)))
        for place in range(n):
            state += _GOLDEN
            span = window - _below(_mixed(state), window)
            filled = 0
            for other in range(max(0, place - span), min(n, place + span + 1)):
                if other == place:
                    continue
                for at in range(piece_starts[kept[other]], piece_starts[kept[other] + 1]):
                    rows[filled] = pieces[at]
                    filled += 1
            if filled == 0:
                continue
            centre = np.int64(kept[place])
            if negative > 0:
                targets[0], labels[0] = centre, _ONE
                t, state = _add_noise(centre, negative, limits, others, state, targets, labels, 1)
                if place + 1 < n:
                    fetch(contexts, np.int64(kept[place + 1]))
                    _fetch_noise(negative, limits, others, state + _GOLDEN, contexts)
            else:
                t = _add_path(centre, nodes, signs, paths, targets, labels, 0)
            if place + window + 1 < n:
                fetch(table, np.int64(kept[place + window + 1]))
            counts_loss = number % loss_every == 0
            loss += _learn_from_bag(
                rows, filled, targets, labels, t, table, contexts, rate, counts_loss, hidden, step, scores
            )
            count += 1 if counts_loss else 0
            number += 1
    return loss, count
