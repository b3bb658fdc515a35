"""Shares of several labels a sample: the textbook's figures for one label, and samples, not places, are what counts."""

from __future__ import annotations

import numpy as np
import pytest

from deepen.metrics.share_shift import Counted, black_box_shares, share_shift
from deepen.metrics.shift import black_box_shift, label_shift


def of(flags: np.ndarray, sizes: np.ndarray | None = None) -> Counted:
    return Counted(flags.astype(float), np.ones(len(flags)) if sizes is None else sizes.astype(float))


def test_one_label_a_sample_is_nearly_the_chi_square_test_of_two_shares() -> None:
    """That one takes both variances for equal, which they nearly are."""
    draw = np.random.default_rng(0)
    old, new = draw.random((307, 1)) < 0.4, draw.random((211, 1)) < 0.5
    found = share_shift(of(old), of(new))
    whole = label_shift(old[:, 0].astype(int), new[:, 0].astype(int), 2)
    assert 0 < found.p == pytest.approx(whole.p, rel=0.1) and found.new[0] == whole.new[1]


def test_tokens_that_hang_together_make_nothing_surer() -> None:
    """Each token of a sentence three times over: the same shares, and the same chance of them."""
    draw = np.random.default_rng(1)
    sizes = [draw.integers(1, 12, count) for count in (101, 83)]
    counts = [draw.binomial(size[:, None], (0.1, 0.3)) for size in sizes]
    once = share_shift(*(of(c, s) for c, s in zip(counts, sizes, strict=True)))
    thrice = share_shift(*(of(3 * c, 3 * s) for c, s in zip(counts, sizes, strict=True)))
    assert thrice.p == pytest.approx(once.p, rel=1e-9)
    np.testing.assert_allclose(thrice.new, once.new)


def test_alike_sentences_are_rarely_called_shifted() -> None:
    """Tokens of a sentence are alike, as in life; of 200 pairs from one source 1 % is called a shift, at most 7 are."""

    def sentences(seed: int, times: float) -> Counted:
        draw = np.random.default_rng(seed)
        sizes = draw.integers(1, 20, 151)
        return of(draw.binomial(sizes[:, None], np.minimum(1, times * draw.beta(1, 4, (151, 3)))), sizes)

    assert sum(share_shift(sentences(n, 1), sentences(n + 500, 1)).is_shift for n in range(200)) <= 7
    assert share_shift(sentences(0, 1), sentences(1, 1.9)).is_shift


def test_a_label_for_itself_is_a_classifier_of_two_classes() -> None:
    draw = np.random.default_rng(2)
    there, here = draw.random(2_003) < 0.3, draw.random(1_501) < 0.6
    said = [np.where(side, draw.random(len(side)) < 0.8, draw.random(len(side)) < 0.1) for side in (there, here)]
    found = black_box_shares(of(there[:, None]), of(said[0][:, None]), of(said[1][:, None]))
    whole = black_box_shift(there.astype(int), said[0].astype(int), said[1].astype(int), 2)
    assert found.new[0] == pytest.approx(whole.new[1], abs=1e-9)
    assert found.new[0] == pytest.approx(0.6, abs=0.04) and found.is_shift


def test_a_label_that_is_never_answered_keeps_its_share() -> None:
    there = np.arange(97)[:, None] % 5 == 0
    found = black_box_shares(of(there), of(there & False), of(there & False))
    assert found.new[0] == found.old[0] == pytest.approx(there.mean()) and found.p == 1
