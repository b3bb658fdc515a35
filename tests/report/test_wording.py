from __future__ import annotations

import doctest
import math

import pytest

from deepen.report import wording
from deepen.report.wording import interval, number, quantity, short, visible, visible_lines


def test_examples_in_the_docstrings_hold():
    assert doctest.testmod(wording).failed == 0


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.97593, "0.9759"),
        (1.0, "1.0000"),
        (12.345, "12.35"),
        (0.0, "0.0000"),
        (-0.25, "-0.2500"),
        (31204.4, "31,204"),
        (-math.inf, "-\N{INFINITY}"),
        (None, "\N{EN DASH}"),
        (True, "True"),
        ("word", "word"),
    ],
)
def test_numbers_by_hand(value: object, text: str):
    assert number(value) == text


def test_control_characters_direction_overrides_and_lone_surrogates_are_escaped():
    assert visible("a\nb\x1b[31m\u202ec\udcff\x00") == "a\\nb\\x1b[31m\\u202ec\\udcff\\x00"
    visible("\ud800\udfff").encode()


def test_letters_of_every_script_stay_as_they_are():
    for text in ("猫和狗", "قطة سوداء", "\u0645\u06cc\u200c\u062e\u0648", "👩\u200d🔬", "naïve"):
        assert visible(text) == text


def test_long_text_is_cut_and_says_so():
    assert visible("x" * 1000, limit=10) == "xxxxxxxxxx… (1,000 characters)"


def test_lines_stay_lines():
    assert visible_lines("one\r\ntwo\tthree\x07") == "one\ntwo    three\\x07"


def test_short_counts_wide_characters_twice():
    assert short("abcdef", 6) == "abcdef"
    assert short("abcdefg", 6) == "abcde…"
    assert short("猫和狗的照片", 6) == "猫和…"


def test_quantities_and_intervals():
    assert quantity("seconds_per_epoch", 3.14) == ("3.1 s", "time per epoch")
    assert quantity("peak_memory", 1.5) == ("1.500", "peak memory")
    assert interval((0.1, 0.25)) == "0.1000 to 0.2500"
