"""What a language model expected least, planted and found."""

from __future__ import annotations

import math

import numpy as np
import pytest

from deepen.metrics.surprise import Surprise, by_frequency, figures_of, shortened

NAN = math.nan
STREAM = np.array([1, 2, 3, 4, 2, 5, 1, 3, 3, 3, 3, 2, 1, 4, 1])  # 1 ends a line
START = np.array([0, 5, 10])


def found(nats):
    return Surprise.of(np.array([0, 1, 2]), np.array(nats), START, STREAM)


def test_tokens_stand_behind_the_start_of_their_row():
    nats = np.arange(15, dtype=float).reshape(3, 5)
    nats[2, 4:] = NAN
    surprise = found(nats)
    assert surprise.places.tolist() == list(range(1, 15))
    assert surprise.tokens.tolist() == STREAM[1:].tolist()


def test_perplexity_by_frequency_by_hand():
    surprise = Surprise(np.array([0, 1, 2, 3]), np.log([2.0, 8.0, 3.0, 3.0]), np.array([0, 1, 2, 2]))
    bars = by_frequency(surprise, np.array([0, 1, 50]))
    assert bars.names == ["never (25 %)", "1 to 3 times (25 %)", "11 to 100 times (50 %)"]
    assert bars.values == pytest.approx([2.0, 8.0, 3.0])


def test_planted_surprises_are_named_with_what_stood_before():
    nats = np.full((3, 5), 0.1)
    nats[0, 2] = 5.0  # the 4 at place 3
    nats[1, :] = 2.0  # the line 3 3 3 3 2
    nats[2, 4:] = NAN
    figures = figures_of(
        found(nats), [0] * 6, lambda ids: " ".join(map(str, ids)), lambda place: f"place {place}", end=1
    )
    bars, tokens, lines = figures
    assert len(bars.values) == 1
    assert tokens.rows[0] == ["4", f"{math.exp(-5):.2g}", "1 2 3", "place 3"]
    assert lines.rows[0][1:] == [6, "3 3 3 3 2 1", "place 7"]
    assert float(lines.rows[0][0]) == pytest.approx(math.exp((4 * 2.0 + 2 * 0.1) / 6), rel=1e-2)
    assert len(figures_of(found(nats), [0] * 6, str, str, end=None)) == 2
    assert figures_of(found(np.full((3, 5), NAN)), [0] * 6, str, str, end=1) == []


def test_long_lines_are_shown_in_part():
    assert shortened("abc", 3) == "abc"
    assert shortened("abcd", 3) == "ab…"
