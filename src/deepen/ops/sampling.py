"""Words drawn at random from a noise distribution, and the losses that stand on such draws instead of all words."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from deepen.ops.losses import IGNORED

Noise = Literal["unigram", "log-uniform", "uniform"]
NEVER = -1e30  # the log of a probability of nothing, without the NaN that differences of infinities give


def noise_log_probabilities(counts: Sequence[int], kind: Noise, *, power: float = 1.0) -> Tensor:
    """The logarithm of a noise distribution over the words, `[V]` float64.

        unigram      q(w) = c(w)^power / sum over v of c(v)^power
        log-uniform  q(w) = (log(r + 2) - log(r + 1)) / log(V + 1),    r = 0, 1, ... the rank of w by its count
        uniform      q(w) = 1 / V

    counts  [V] how often each word occurs in training; a count below 1 stands for 1, so that no word has q = 0

    Source: log-uniform is Zipf's law put so that it adds up to one; the power of 3/4 is from Mikolov et al. 2013.
    """
    held = torch.tensor(counts, dtype=torch.float64).clamp(min=1)
    if kind == "unigram":
        return torch.log_softmax(power * held.log(), 0)
    if kind == "uniform":
        return torch.full_like(held, -math.log(len(held)))
    ranks = torch.empty_like(held)
    ranks[torch.sort(held, descending=True, stable=True).indices] = torch.arange(len(held), dtype=torch.float64)
    return (torch.log1p(1 / (ranks + 1)) / math.log(len(held) + 1)).log()


def drawn_words(cumulative: Tensor, u: Tensor) -> Tensor:
    """Words from a distribution, one from each k-th part of it.

        w[b, j] = the first w with cumulative[w] > (j + u[b, j]) / k

    cumulative  [V] float64, ascending to 1
    u           [B, k] in [0, 1)
    returns     [B, k] int64

    A word is drawn k q(w) times on average, as if each were drawn from the whole, but how often varies less: by two at
    most. Source: stratified sampling by the inverse of the distribution function.
    """
    k = u.shape[1]
    places = (torch.arange(k, dtype=torch.float64, device=u.device) + u.double()) / k
    return torch.searchsorted(cumulative, places, right=True).clamp(max=len(cumulative) - 1)


def sampled_softmax_sum(target_scores: Tensor, sampled_scores: Tensor, targets: Tensor, sampled: Tensor) -> Tensor:
    """The summed cross-entropy of a softmax whose normalizer is estimated from drawn words.

        -log( exp(s_y) / Z' ),    Z' = exp(s_y) + sum over drawn w other than y of exp(s'_w)
        s'_w = s_w - log(k q(w))

    target_scores   [B, T] s_y, as the network gives them
    sampled_scores  [B, T, k] s'_w, corrected
    targets         [B, T] int64 or IGNORED, which count for nothing
    sampled         [B, k] int64

    The mean of Z' over draws is Z. Source: Jean et al. 2015, On Using Very Large Target Vocabulary for Neural Machine
    Translation, section 3; there the target is corrected like the others, here it counts in full since it is always
    there. Drawn words that are the target are left out, lest it count twice.
    """
    hits = sampled[:, None, :] == targets[:, :, None]
    others = torch.logsumexp(sampled_scores.masked_fill(hits, NEVER), 2)
    return F.softplus(others - target_scores).masked_fill(targets == IGNORED, 0).sum()


def importance_sum(target_scores: Tensor, sampled_scores: Tensor, targets: Tensor) -> Tensor:
    """The summed loss whose gradient is that of a softmax with its mean over words estimated by importance sampling.

        -s_y + log sum over drawn w of exp(s_w - log(k q(w)))

    Its gradient is -ds_y + sum_w (r_w / sum r) ds_w with r_w = exp(s_w) / q(w). Shapes as in `sampled_softmax_sum`.
    Source: Bengio and Senecal 2003, Quick Training of Probabilistic Neural Nets by Importance Sampling, eq. 12 and 13.
    The target counts in the normalizer only where it is drawn, so the loss may be less than zero.
    """
    losses = torch.logsumexp(sampled_scores, 2) - target_scores
    return losses.masked_fill(targets == IGNORED, 0).sum()


def noise_contrastive_sum(target_scores: Tensor, sampled_scores: Tensor, targets: Tensor) -> Tensor:
    """The summed loss of telling the target from k words of noise.

        -log sigma(d(y)) - sum over drawn w of log(1 - sigma(d(w))),    d(w) = s_w - ln Z - log(k q(w)),    ln Z fixed

    target_scores   [B, T] d(y)
    sampled_scores  [B, T, k] d(w)

    At its least, exp(s_w - ln Z) is the probability of the word: the scores normalize themselves.
    Source: Gutmann and Hyvarinen 2010; for words, Mnih and Teh 2012, A fast and simple algorithm for training neural
    probabilistic language models, eq. 8, with ln Z = 0.
    """
    losses = F.softplus(-target_scores) + F.softplus(sampled_scores).sum(2)
    return losses.masked_fill(targets == IGNORED, 0).sum()


def ranking_sum(
    target_scores: Tensor, sampled_scores: Tensor, targets: Tensor, sampled: Tensor, *, margin: float
) -> Tensor:
    """The summed hinge by which the target's score should stand above those of other words.

        1/k sum over drawn w other than y of max(0, margin - s_y + s_w)

    Shapes as in `sampled_softmax_sum`, the scores as they are. Source: Collobert and Weston 2008, A Unified
    Architecture for Natural Language Processing, section 3.2 (there the sum over the whole dictionary, by one draw).
    """
    hinge = F.relu(margin - target_scores[:, :, None] + sampled_scores)
    left_out = (sampled[:, None, :] == targets[:, :, None]) | (targets == IGNORED)[:, :, None]
    return hinge.masked_fill(left_out, 0).sum() / sampled.shape[1]
