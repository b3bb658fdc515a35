"""What a backoff model says of a text: every word's probability at once, and all words' probabilities in one context.

Numba's compiled lookup, where it is installed and the text is long, gives the same numbers as numpy's sorted one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import numpy as np

from deepen.ops.ngram_trie import MISSING, BackoffModel, located

LONG = 200_000  # words from which compiling and an index are worth their time
LN10 = float(np.log(10.0))
SLOT = np.dtype([("key", np.int64), ("place", np.int32), ("probability", np.float32)])
MULTIPLIER = 0x9E3779B97F4A7C15  # Fibonacci hashing: Knuth, The Art of Computer Programming 3, section 6.4


class Scorer:
    """A backoff model with what makes looking up fast.

    compiled  whether numba is used; default: if it is installed, from texts of 200,000 words on

    With numba an open table by order is built when it is first needed: 16 bytes for a slot, 1.5 to 3 slots for an
    n-gram, so that key, place and probability are fetched at once. Without, the sorted keys are: 8 bytes for an n-gram.
    """

    def __init__(self, model: BackoffModel, *, compiled: bool | None = None) -> None:
        self.model = model
        self._compiled = compiled
        self._tables: list[np.ndarray] | None = None

    def log10(self, text: np.ndarray) -> np.ndarray:
        """log10 of each word's probability in the context of all that stands before it since the last beginning.

        text     [n] int, as `ngram_counts.marked` gives it; -1 stands for something that is not known, and no context
                 reaches over it
        returns  [n] float64, 0 at the beginnings and where the text is -1
        """
        text = np.ascontiguousarray(text, np.int32)
        model = self.model
        is_word = (text != model.num_words) & (text >= 0)
        total = np.where(is_word, model.probabilities[0][text].astype(np.float64), 0.0)
        kernels = self._kernels(len(text))
        contexts, shorter = text, np.where(is_word, text, MISSING)  # the n-grams that end one place before, and here
        for n in range(2, model.order + 1):
            step = self._compiled_step if kernels else self._sorted_step
            found = step(n, text, contexts, shorter, total)
            contexts, shorter = found, (found if model.is_closed else shorter)
        return total

    def _sorted_step(
        self, n: int, text: np.ndarray, contexts: np.ndarray, shorter: np.ndarray, total: np.ndarray
    ) -> np.ndarray:
        """The n-grams of one order that end at each place, [n] int32; `total` goes on to that order."""
        model = self.model
        before = np.full(len(text), MISSING, np.int32)
        before[1:] = contexts[:-1]
        before[(text == model.num_words) | (text < 0)] = MISSING
        asked = np.where(shorter >= 0, before, MISSING)
        found = located(model.trie.all_keys[n - 2], asked, text, model.num_words + 1)
        backs_off = (before >= 0) & (found < 0)
        total[backs_off] += model.backoffs[n - 2][before[backs_off]]
        total[found >= 0] = model.probabilities[n - 1][found[found >= 0]]
        return found.astype(np.int32)

    def _compiled_step(
        self, n: int, text: np.ndarray, contexts: np.ndarray, shorter: np.ndarray, total: np.ndarray
    ) -> np.ndarray:
        found = np.empty(len(text), np.int32)
        _, look_up = _compile()
        backoffs = self.model.backoffs[n - 2]
        look_up(text, contexts, shorter, self.model.num_words, self._hashed()[n - 2], backoffs, total, found)
        return found

    def _kernels(self, length: int) -> bool:
        wanted = self._compiled if self._compiled is not None else length >= LONG
        return wanted and is_compilable() and max(self.model.trie.sizes) < 2**31

    def _hashed(self) -> list[np.ndarray]:
        if self._tables is None:
            fill, _ = _compile()
            trie, found = self.model.trie, []
            for n in range(2, trie.order + 1):
                bits = max(1, int(np.ceil(np.log2(1.5 * len(trie.words[n - 2]) + 1))))
                slots = np.zeros(1 << bits, SLOT)
                slots["key"] = MISSING
                fill(trie.keys(n), self.model.probabilities[n - 1], slots)
                found.append(slots)
            self._tables = found
        return self._tables


def next_log10(model: BackoffModel, context: Sequence[int] | np.ndarray) -> np.ndarray:
    """log10 of every word's probability after a context.

    context  the words before, the last one last, from the beginning V on where that is near; only the last N - 1
             count, and none before a -1
    returns  [V] float64

    From the shortest context to the longest: each one's backoff is added to all words, and the n-grams that it has
    take the place of the sums.
    """
    words, trie = model.num_words, model.trie
    found = model.probabilities[0][:words].astype(np.float64)
    history = np.asarray(context, np.int64)
    begins = np.flatnonzero((history == words) | (history < 0))
    if len(begins):
        history = history[begins[-1] + (history[begins[-1]] < 0) :]
    for length in range(1, min(model.order - 1, len(history)) + 1):
        place = trie.find(history[len(history) - length :])
        if place == MISSING:
            continue
        found += model.backoffs[length - 1][place]
        low, high = trie.starts[length - 1][place : place + 2]
        found[trie.words[length - 1][low:high]] = model.probabilities[length][low:high]
    return found


@cache
def is_compilable() -> bool:
    """Whether numba is installed."""
    try:
        import numba  # noqa: F401
    except ImportError:
        return False
    return True


@cache
def _compile() -> tuple[Callable[..., Any], Callable[..., Any]]:
    """Numba's versions of the two loops, kept on disk between processes where that is possible."""
    import numba

    compiled = numba.njit(cache=True)
    return compiled(_fill), compiled(_look_up)


def _fill(keys: np.ndarray, probabilities: np.ndarray, slots: np.ndarray) -> None:
    """Puts each key into the first free slot from the one that its hash names."""
    mask = len(slots) - 1
    shift = np.uint64(64)
    while mask >> (64 - np.int64(shift)):
        shift -= np.uint64(1)
    for place in range(len(keys)):
        slot = np.int64((np.uint64(keys[place]) * np.uint64(MULTIPLIER)) >> shift)
        while slots[slot].key >= 0:
            slot = (slot + 1) & mask
        slots[slot].key = keys[place]
        slots[slot].place = place
        slots[slot].probability = probabilities[place]


def _look_up(
    text: np.ndarray,
    contexts: np.ndarray,
    shorter: np.ndarray,
    beginning: int,
    slots: np.ndarray,
    backoffs: np.ndarray,
    total: np.ndarray,
    found: np.ndarray,
) -> None:
    """One order over a whole text. No word waits for another's answer, so the processor fetches several at once."""
    mask = len(slots) - 1
    shift = np.uint64(64)
    while mask >> (64 - np.int64(shift)):
        shift -= np.uint64(1)
    if len(text) > 0:
        found[0] = -1
    for here in range(1, len(text)):
        result = -1
        context = contexts[here - 1]
        if context >= 0 and text[here] >= 0 and text[here] != beginning:
            if shorter[here] >= 0:
                key = np.int64(context) * (beginning + 1) + text[here]
                slot = np.int64((np.uint64(key) * np.uint64(MULTIPLIER)) >> shift)
                while slots[slot].key >= 0:
                    if slots[slot].key == key:
                        result = slots[slot].place
                        total[here] = slots[slot].probability
                        break
                    slot = (slot + 1) & mask
            if result < 0:
                total[here] += backoffs[context]
        found[here] = result
