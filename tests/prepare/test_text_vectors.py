"""Texts as vectors: measures by hand, and classes of texts that a person tells are told, others not."""

from __future__ import annotations

import numpy as np

from deepen.metrics.shift import classifier_test, density_ratios, moved
from deepen.prepare.text_vectors import text_vectors

THINGS = ("lamp", "chair", "kettle", "radio", "clock", "mirror", "table")


def orders(seed: int, count: int, *, broken: float = 0.3) -> list[str]:
    draw = np.random.default_rng(seed)
    words = np.where(draw.random(count) < broken, "broken", "lovely")
    things = draw.choice(THINGS, (count, 2))
    return [f"My {a} is {word}, unlike the {b}." for (a, b), word in zip(things, words, strict=True)]


def test_measures_by_hand() -> None:
    old = {"text": ["Ab 12, ab!", "", "x"] * 5}
    _, _, measures, other = text_vectors(old, {"text": ["7"]})
    assert measures["length in words"][:3].tolist() == [5, 0, 1]  # Ab 12 , ab !
    np.testing.assert_equal(measures["letters of a word"][:3], [2, np.nan, 1])
    np.testing.assert_equal(measures["share of capitals"][:3], [0.25, np.nan, 0])
    np.testing.assert_equal(measures["share of digits"][:3], [2 / 6, np.nan, 0])
    assert other["length in words"].tolist() == [1] and np.isnan(other["letters of a word"][0])


def test_two_columns_stand_side_by_side_with_what_they_share() -> None:
    old = {"text_a": ["a b c", "d"], "text_b": ["B c e", ""]}
    one, other, measures, _ = text_vectors(old, old)
    assert measures["words in common"].tolist() == [0.5, 0]  # b, c of a, b, c, e
    assert "text_a: length in words" in measures and one.shape == other.shape == (2, one.shape[1])


def test_what_is_alike_is_rarely_called_shifted_and_what_is_not_is() -> None:
    """Of 23 pairs from one source 5 % have p < 0.05; more than 4 come in one of 100 trials."""

    def told(seed: int, broken: float) -> float:
        old, new, *_ = text_vectors({"text": orders(seed, 211)}, {"text": orders(seed + 500, 173, broken=broken)})
        return classifier_test(old, new, seed=seed).p

    assert sum(told(seed, 0.3) < 0.05 for seed in range(23)) <= 4
    assert all(told(seed, 0.9) < 0.001 for seed in range(3))


def test_the_word_that_became_frequent_is_named_and_weighed() -> None:
    one, other, *measures = text_vectors({"text": orders(1, 607)}, {"text": orders(2, 401, broken=0.8)})
    assert [each.name for each in moved(*measures)][:2] == ["the word broken", "the word lovely"]
    weights, is_broken = density_ratios(one, other), measures[0]["the word broken"]
    assert 0.7 < weights[is_broken].sum() / weights.sum() < 0.9


def test_texts_without_a_word_in_common_have_vectors_too() -> None:
    one, other, *_ = text_vectors({"text": [""] * 11}, {"text": [""] * 13})
    assert (one.shape[0], other.shape[0]) == (11, 13) and classifier_test(one, other).p > 0.01
