"""The same for shares where a sample has any number of labels: texts with a set of them, sentences with tagged tokens.

n samples, K labels; c[i, k] labels k of sample i, s[i] places for a label in it, r[k] = sum c[i, k] / sum s[i]
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from deepen.metrics.shift import MOST_WEIGHT, LabelShift

FEWEST_SAMPLES = 10  # with or without a label, below which nothing is said of its share
LEAST_TOLD = 0.05  # by which a label must be answered more often where it is than where it is not


@dataclass(frozen=True)
class Counted:
    """Labels of samples.

    counts  [n, K] float64
    sizes   [n] float64: 1 where each label applies to a sample once or not at all, else its tokens
    """

    counts: np.ndarray
    sizes: np.ndarray

    @property
    def shares(self) -> np.ndarray:
        """[K], of all places those that have the label."""
        return self.counts.sum(0) / max(1.0, self.sizes.sum())


def share_shift(old: Counted, new: Counted) -> LabelShift:
    """The shares before and now, and the chance of so different ones.

        z[k] = (r_new - r_old) / sqrt(v_old + v_new),    v = sum_i (c[i] - r s[i])^2 / (sum_i s[i])^2

    with the r of both together: places of one sample hang together, so that samples are what is counted (a ratio
    estimator, Cochran 1977, Sampling Techniques, section 6.5). p is the least of all labels, times their number
    (Bonferroni); labels that hardly any sample has, or lacks, are passed over.
    """
    places = old.sizes.sum() + new.sizes.sum()
    both = (old.counts.sum(0) + new.counts.sum(0)) / max(1.0, places)
    variances = sum(
        ((side.counts - side.sizes[:, None] * both) ** 2).sum(0) / max(1.0, side.sizes.sum()) ** 2
        for side in (old, new)
    )
    return shift_of(old.shares, new.shares, _p(old, new, np.asarray(variances)))


def black_box_shares(truths: Counted, answers: Counted, new_answers: Counted) -> LabelShift:
    """The shares in new data without labels, through the mistakes of a classifier into sets of labels.

        m[k] = p(answered k) on the new data = t[k] q[k] + f[k] (1 - q[k]),    q[k] = p(k) there

    t and f are the shares of held-out samples with and without the label that are answered it; a label of which the
    answers tell nothing (t is hardly above f) keeps its share. For one label this is `black_box_shift` of two classes.

    truths, answers  of held-out old data, sizes 1    new_answers  of the new data
    """
    is_there, is_said, old = truths.counts > 0, answers.counts > 0, truths.shares
    hits = (is_there & is_said).sum(0) / np.maximum(1, is_there.sum(0))
    false = (~is_there & is_said).sum(0) / np.maximum(1, (~is_there).sum(0))
    tells = hits - false > LEAST_TOLD
    new = np.where(tells, (new_answers.shares - false) / np.where(tells, hits - false, 1.0), old)
    return shift_of(old, np.clip(new, 0.0, 1.0), share_shift(answers, new_answers).p)


def shift_of(old: np.ndarray, new: np.ndarray, p: float) -> LabelShift:
    """Shares [K] before and now, with the weights that follow from them."""
    weights = np.where(old > 0, new / np.maximum(old, 1e-12), 1.0)
    return LabelShift(old, new, np.minimum(weights, MOST_WEIGHT), p)


def _p(old: Counted, new: Counted, variances: np.ndarray) -> float:
    """The least p of the labels that can be tested, times their number; 1 where there are none."""
    from scipy.stats import norm

    held = sum((side.counts > 0).sum(0) for side in (old, new))
    other = sum((side.counts < side.sizes[:, None]).sum(0) for side in (old, new))
    tested = (np.minimum(held, other) >= FEWEST_SAMPLES) & (variances > 0)
    if not tested.any():
        return 1.0
    z = (new.shares - old.shares)[tested] / np.sqrt(variances[tested])
    return float(min(1.0, 2 * norm.sf(np.abs(z)).min() * tested.sum()))
