"""Where a language model is surprised: by the frequency of tokens, and the tokens and lines that it expected least."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from deepen.core.figures import Bars, Figure, Rows

EDGES = (0, 1, 4, 11, 101, 1001, 10_001)  # times in training at which a bar begins
TOKENS_SHOWN = 20
LINES_SHOWN = 10
SHORTEST_LINE = 5  # tokens; a line of one or two is improbable by chance
BEFORE = 8  # tokens shown before a surprising one
LONGEST_SHOWN = 160  # characters of a line


@dataclass(frozen=True)
class Surprise:
    """-ln p of tokens of a stream.

    places  [m] int64, where in the stream each stands
    nats    [m] float
    stream  [total] int64, ids of the whole text
    """

    places: np.ndarray
    nats: np.ndarray
    stream: np.ndarray

    @staticmethod
    def of(rows: np.ndarray, nats: np.ndarray, start: np.ndarray, stream: np.ndarray) -> Surprise:
        """From stretches: row i of `nats` [n, S], NaN behind its last, are the tokens start[rows[i]] + 1, ..."""
        places = start[rows][:, None] + 1 + np.arange(nats.shape[1])
        known = ~np.isnan(nats)
        return Surprise(places[known], nats[known].astype(np.float64), stream)

    @property
    def tokens(self) -> np.ndarray:
        """[m] the ids."""
        return self.stream[self.places]


def figures_of(
    found: Surprise,
    counts: Sequence[int],
    text_of: Callable[[Sequence[int]], str],
    source_of: Callable[[int], str],
    *,
    end: int | None,
) -> list[Figure]:
    """Perplexity by frequency, and the least expected tokens and lines, as far as there are any.

    counts     [V] how often each token stood in training
    text_of    ids as text
    source_of  where the token at a place of the stream comes from
    end        the id that ends a line, None if none does
    """
    if len(found.places) == 0:
        return []
    figures: list[Figure] = [by_frequency(found, np.asarray(counts)), _tokens(found, text_of, source_of)]
    lines = _lines(found, text_of, source_of, end) if end is not None else None
    return [*figures, lines] if lines is not None and lines.rows else figures


def by_frequency(found: Surprise, counts: np.ndarray) -> Bars:
    """exp of the mean of -ln p over the tokens that stood so often in training; one bar for each range of counts."""
    which = np.searchsorted(EDGES, counts[found.tokens], side="right") - 1
    names, values = [], []
    for index, low in enumerate(EDGES):
        own = found.nats[which == index]
        if len(own):
            share = 100 * len(own) / len(found.nats)
            names.append(f"{_range(index, low)} ({share:.0f} %)")
            values.append(_exp(float(own.mean())))
    note = "In brackets the share of the tokens scored. Rare tokens are hard: there is little to learn them from."
    return Bars("Perplexity by how often a token stood in training", names, values, "perplexity", note=note)


def least_expected(nats: np.ndarray, number: int) -> np.ndarray:
    """The places of the largest, the largest first; of equals the first."""
    return np.argsort(-nats, kind="stable")[:number]


def shortened(text: str, longest: int = LONGEST_SHOWN) -> str:
    """The text, or its beginning and an ellipsis."""
    return text if len(text) <= longest else f"{text[: longest - 1]}…"


def _tokens(found: Surprise, text_of: Callable[[Sequence[int]], str], source_of: Callable[[int], str]) -> Rows:
    rows: list[list[str | float | int]] = []
    for at in least_expected(found.nats, TOKENS_SHOWN):
        place = int(found.places[at])
        before = found.stream[max(0, place - BEFORE) : place].tolist()
        token = found.stream[place : place + 1].tolist()
        rows.append([text_of(token), f"{math.exp(-found.nats[at]):.2g}", text_of(before), source_of(place)])
    return Rows("The least expected tokens", ["token", "probability", "after", "where"], rows)


def _lines(found: Surprise, text_of: Callable[[Sequence[int]], str], source_of: Callable[[int], str], end: int) -> Rows:
    order = np.argsort(found.places, kind="stable")
    places, nats = found.places[order], found.nats[order]
    line = np.concatenate([[0], np.cumsum(found.stream[places] == end)[:-1]])
    sizes, sums = np.bincount(line), np.bincount(line, nats)
    firsts = np.concatenate([[0], np.cumsum(sizes)[:-1]])
    long_enough = np.flatnonzero(sizes >= SHORTEST_LINE)
    worst = long_enough[np.argsort(-(sums / np.maximum(sizes, 1))[long_enough], kind="stable")[:LINES_SHOWN]]
    rows: list[list[str | float | int]] = []
    for each in worst.tolist():
        own = places[firsts[each] : firsts[each] + sizes[each]]
        said = shortened(text_of(found.stream[own].tolist()))
        rows.append(
            [_figure(_exp(float(sums[each]) / sizes[each].item())), int(sizes[each]), said, source_of(int(own[0]))]
        )
    return Rows("The least expected lines", ["perplexity", "tokens", "line", "where"], rows)


def _range(index: int, low: int) -> str:
    if index == len(EDGES) - 1:
        return f"over {low - 1:,} times"
    high = EDGES[index + 1] - 1
    return "never" if high == 0 else f"{low:,} to {high:,} times"


def _figure(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def _exp(nats: float) -> float:
    return math.exp(min(nats, 700.0))
