"""What is expected of a value, in words; conversion itself is in test_options.py, by the fields of a dataclass."""

from __future__ import annotations

import pytest

from deepen.core.convert import Kind, converted
from deepen.core.errors import OptionError


@pytest.mark.parametrize(
    ("kind", "words", "limits"),
    [
        (Kind(int), "a whole number", ""),
        (Kind(int, least=1), "a whole number of at least 1", "at least 1"),
        (Kind(float, least=0, most=1), "a number from 0 to 1", "from 0 to 1"),
        (Kind(float, above=0, below=1), "a number above 0 and below 1", "above 0 and below 1"),
        (Kind(float, least=0, below=1), "a number of at least 0 and below 1", "at least 0 and below 1"),
        (Kind(int, most=7), "a whole number of at most 7", "at most 7"),
        (Kind(bool), "true or false", ""),
        (Kind(str, optional=True), "text, or none", ""),
        (Kind(int, many=True), "whole numbers, separated by commas", ""),
        (Kind(str, choices=("a", "b")), "one of a, b", ""),
        (Kind(str, many=True, choices=("a", "b")), "some of a, b, separated by commas", ""),
    ],
)
def test_words(kind: Kind, words: str, limits: str) -> None:
    assert kind.words() == words
    assert kind.limits() == limits


@pytest.mark.parametrize(("value", "fits"), [(0, False), (0.001, True), (0.999, True), (1, False)])
def test_limits_above_and_below_are_exclusive(value: float, fits: bool) -> None:
    kind = Kind(float, above=0, below=1)
    if fits:
        assert converted(kind, value, "x") == value
        return
    with pytest.raises(OptionError, match=f"x: expected a number above 0 and below 1, but is {value}"):
        converted(kind, value, "x")


def test_none_may_be_a_choice_of_its_own() -> None:
    assert converted(Kind(str, choices=("none", "cosine")), "none", "x") == "none"


def test_one_wrong_element_shows_the_whole_value_and_the_nearest_choice() -> None:
    with pytest.raises(OptionError) as caught:
        converted(Kind(str, many=True, choices=("crop", "flip")), "crop,flop", "--augment")
    sentence = "--augment: expected some of crop, flip, separated by commas, but is 'crop,flop'; did you mean flip?"
    assert str(caught.value) == sentence
