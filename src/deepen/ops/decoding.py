"""Choosing what comes next from log-probabilities: greedy, sampled, from a part of the choices, or by a beam.

    [V]  all choices, [K]  hypotheses side by side.  log p is -inf for what must not be chosen.

All functions are pure. A draw takes its number from outside, so that it can be a function of (seed, position).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import Tensor

from deepen.core import rng
from deepen.ops.decoding_options import DecodingOptions

S = TypeVar("S")


def greedy(log_p: Tensor) -> int:
    """The most probable choice; of equals the first. log_p [V]"""
    return int(log_p.argmax())


def tempered(log_p: Tensor, temperature: float) -> Tensor:
    """The log-probabilities of p^(1/t), normalized; [..., V] to [..., V].

    >>> tempered(torch.tensor([0.8, 0.2]).log(), 0.5).exp()
    tensor([0.9412, 0.0588])
    """
    return torch.log_softmax(log_p / temperature, -1)


def top_k(log_p: Tensor, k: int) -> Tensor:
    """The k most probable choices, normalized, and -inf for the others; of equals the first stay. [V] to [V]."""
    order = torch.argsort(log_p, descending=True, stable=True)
    return _only(log_p, order[:k])


def top_p(log_p: Tensor, p: float) -> Tensor:
    """The smallest set of most probable choices that together have at least p, normalized; -inf for the others.

    log_p    [V], normalized
    returns  [V]; at least one choice stays

    Source: Holtzman et al., The Curious Case of Neural Text Degeneration, 2020 (nucleus sampling).
    """
    order = torch.argsort(log_p, descending=True, stable=True)
    before = log_p[order].double().exp().cumsum(0) - log_p[order].double().exp()  # what the better ones have together
    size = int((before < p).sum()) if p < 1 else int((log_p > -math.inf).sum())
    return _only(log_p, order[: max(1, size)])


def drawn(log_p: Tensor, u: float) -> int:
    """The choice at u of the cumulative probabilities in the order of the choices.

    log_p  [V], normalized
    u      in [0, 1)
    """
    cumulative = log_p.double().exp().cumsum(0)
    found = int(torch.searchsorted(cumulative, u * float(cumulative[-1]), right=True))
    last = int(torch.nonzero(log_p > -math.inf)[-1])
    return min(found, last)


def chosen(log_p: Tensor, options: DecodingOptions, position: int) -> int:
    """The next choice; its draw is a function of (seed, position).

    The temperature comes first, then the k most probable, then the smallest set of probability p.
    """
    if options.greedy:
        return greedy(log_p)
    if options.temperature != 1.0:
        log_p = tempered(log_p, options.temperature)
    if options.top_k is not None:
        log_p = top_k(log_p, options.top_k)
    if options.top_p is not None:
        log_p = top_p(torch.log_softmax(log_p, -1), options.top_p)
    u = rng.generator(options.seed, "decoding", position).random()
    return drawn(log_p, float(u))


@dataclass(frozen=True)
class Hypothesis:
    """A sequence of choices and its log-probability, the sum of those of its choices."""

    choices: tuple[int, ...]
    log_probability: float


def beam_search(
    first: Tensor,
    state: S,
    step: Callable[[Tensor, S], tuple[Tensor, S]],
    select: Callable[[S, Tensor], S],
    *,
    beam: int,
    length: int,
    end: int | None = None,
) -> list[Hypothesis]:
    """The most probable sequences that a beam finds, the best first.

        score(y[1..t]) = sum over i of log p(y[i] | y[1..i-1]),    kept: the `beam` best continuations of those kept

    first    [V] log-probabilities of the first choice
    state    what goes with them, for one hypothesis
    step     (choices [K] int64, state of K) -> (log-probabilities [K, V], state of K): one further choice
    select   (state, index [K]) -> the state of these hypotheses, in this order
    length   how many choices there are; a sequence ends earlier where it chooses `end`
    end      a choice after which a sequence is complete; None: there is none

    With a beam of 1 it is the greedy choice. With a beam as wide as there are sequences it is exact.
    """
    finished: list[Hypothesis] = []
    scores = first.double()[None]  # [K, V]: of a hypothesis with each continuation
    kept: list[tuple[int, ...]] = [()]
    for position in range(length):
        flat = scores.reshape(-1)
        number = min(beam, int((flat > -math.inf).sum()))
        if number == 0:
            break
        best = torch.argsort(flat, descending=True, stable=True)[:number]
        origin, choice = best // scores.shape[1], best % scores.shape[1]
        found = [
            Hypothesis((*kept[int(o)], int(c)), float(flat[at]))
            for o, c, at in zip(origin.tolist(), choice.tolist(), best.tolist(), strict=True)
        ]
        finished += [one for one in found if one.choices[-1] == end]
        going = [at for at, one in enumerate(found) if one.choices[-1] != end]
        if position == length - 1 or not going or _is_settled(finished, found, going, beam):
            finished += [found[at] for at in going]
            break
        index = torch.tensor(going, device=best.device)
        kept = [found[at].choices for at in going]
        log_p, state = step(choice[index], select(state, origin[index]))
        scores = flat[best[index]][:, None] + log_p.double()
    return sorted(finished, key=lambda one: -one.log_probability)[:beam]


def _is_settled(finished: list[Hypothesis], found: list[Hypothesis], going: list[int], beam: int) -> bool:
    """Whether no continuation can come among the `beam` best: a longer sequence is never more probable."""
    if len(finished) < beam:
        return False
    worst = sorted((one.log_probability for one in finished), reverse=True)[beam - 1]
    return worst >= max(found[at].log_probability for at in going)


def _only(log_p: Tensor, kept: Tensor) -> Tensor:
    found = torch.full_like(log_p, -math.inf)
    found[kept] = log_p[kept]
    return torch.log_softmax(found, -1)
