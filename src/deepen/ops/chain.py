"""Sums and maxima over all paths through a linear chain, exactly: forward, backward, Viterbi.

A path y[0..n-1] through K states scores

    s(y) = start[y[0]] + sum over t of e[t, y[t]] + sum over t > 0 of trans[y[t - 1], y[t]] + end[y[n - 1]]

and has the probability exp(s(y)) / Z,  Z = sum over all y of exp(s(y)).

    emissions    e      [B, T, K] float
    mask                [B, T] bool, True up to the end of each row and nowhere behind it
    transitions  trans  [K, K], from row to column
    start, end          [K]

A row without a place has one path, the empty one, which scores 0. Everything is summed as logarithms; all scores are
finite.
Source: Lafferty, McCallum and Pereira, Conditional Random Fields, 2001; Rabiner, A Tutorial on Hidden Markov Models,
1989, for the recursions.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable


def path_score(
    emissions: Tensor, mask: Tensor, path: Tensor, transitions: Tensor, start: Tensor, end: Tensor
) -> Tensor:
    """The score s(y) of one path for each row.

    path     [B, T] int64; what stands behind a row's end is not read
    returns  [B]
    """
    if emissions.shape[1] == 0:
        return emissions.new_zeros(len(emissions))
    path = path.masked_fill(~mask, 0)
    score = (emissions.gather(2, path[..., None])[..., 0] * mask).sum(1)
    score = score + (transitions[path[:, :-1], path[:, 1:]] * mask[:, 1:]).sum(1)
    last = path.gather(1, (mask.sum(1, keepdim=True) - 1).clamp_min(0))[:, 0]
    return score + (start[path[:, 0]] + end[last]) * mask[:, 0]


def log_partition(emissions: Tensor, mask: Tensor, transitions: Tensor, start: Tensor, end: Tensor) -> Tensor:
    """log Z of each row by the forward recursion.

        a[0] = start + e[0],    a[t, j] = e[t, j] + log sum over i of exp(a[t - 1, i] + trans[i, j])
        log Z = log sum over i of exp(a[n - 1, i] + end[i])

    returns  [B]

    Its gradient is not traced through the recursion: by e[t, j] it is the probability that a path is in j at t, by
    trans[i, j] the expected number of steps from i to j, and both come from one recursion backward, see `marginals`.
    """
    return _LogPartition.apply(emissions, mask, transitions, start, end)


def marginals(emissions: Tensor, mask: Tensor, transitions: Tensor, start: Tensor, end: Tensor) -> Tensor:
    """The probability of each state at each place, [B, T, K]; 0 behind a row's end.

        p[n - 1, i] = exp(a[n - 1, i] + end[i] - log Z)
        p[t, i] = sum over j of p[t + 1, j] exp(a[t, i] + trans[i, j] + e[t + 1, j] - a[t + 1, j])

    The last factor is the probability of i at t given j at t + 1, so nothing under- or overflows on the way back.
    """
    with torch.no_grad():
        alphas, log_z = _forward(emissions, mask, transitions, start, end)
        states, _ = _backward(emissions, mask, transitions, end, alphas, log_z, torch.ones_like(log_z))
    return states


def best_path(
    emissions: Tensor, mask: Tensor, transitions: Tensor, start: Tensor, end: Tensor
) -> tuple[Tensor, Tensor]:
    """The path with the highest score of each row, and that score: [B, T] int64, 0 behind a row's end, and [B].

    The forward recursion with max for log sum exp. Of equal scores the state with the lowest number wins.
    Source: Viterbi 1967; Forney, The Viterbi Algorithm, 1973.
    """
    with torch.no_grad():
        num_rows, num_places, num_states = emissions.shape
        if num_places == 0:
            return mask.long(), emissions.new_zeros(num_rows)
        best, came_from = start + emissions[:, 0], []
        stay = torch.arange(num_states, device=emissions.device)
        for t in range(1, num_places):
            value, source = (best[:, :, None] + transitions).max(1)  # [B, K] both
            now = mask[:, t, None]
            best = torch.where(now, value + emissions[:, t], best)
            came_from.append(torch.where(now, source, stay))
        score, state = (best + end).max(1)
        path = [state]
        for source in reversed(came_from):
            path.append(source.gather(1, path[-1][:, None])[:, 0])
        return torch.stack(path[::-1], 1).masked_fill(~mask, 0), score.masked_fill(~mask[:, 0], 0.0)


class _LogPartition(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, emissions: Tensor, mask: Tensor, transitions: Tensor, start: Tensor, end: Tensor) -> Tensor:
        alphas, log_z = _forward(emissions, mask, transitions, start, end)
        ctx.save_for_backward(emissions, mask, transitions, end, alphas, log_z)
        return log_z

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *slopes: Tensor) -> tuple[Tensor | None, ...]:
        emissions, mask, transitions, end, alphas, log_z = ctx.saved_tensors
        (slope,) = slopes  # [B]
        states, steps = _backward(emissions, mask, transitions, end, alphas, log_z, slope)  # both times the slope
        if emissions.shape[1] == 0:
            return states, None, torch.zeros_like(transitions), torch.zeros_like(end), torch.zeros_like(end)
        last = (mask.sum(1) - 1).clamp_min(0)
        at_end = states[torch.arange(len(states), device=states.device), last]  # [B, K], 0 in rows without a place
        return states, None, steps, states[:, 0].sum(0), at_end.sum(0)


def _forward(emissions: Tensor, mask: Tensor, transitions: Tensor, start: Tensor, end: Tensor) -> tuple[Tensor, Tensor]:
    """a [T, B, K], of which what is behind a row's end repeats its last, and log Z [B]."""
    if emissions.shape[1] == 0:
        return emissions.transpose(0, 1), emissions.new_zeros(len(emissions))
    into = transitions.mT.contiguous()  # [K to, K from]: the sum runs over the dimension that lies close in memory
    alpha = start + emissions[:, 0]
    alphas = [alpha]
    for e, now in zip(emissions.unbind(1)[1:], mask.unbind(1)[1:], strict=True):
        new = torch.logsumexp(alpha[:, None, :] + into, 2) + e
        alpha = torch.where(now[:, None], new, alpha)
        alphas.append(alpha)
    log_z = torch.logsumexp(alpha + end, 1)
    return torch.stack(alphas), log_z.masked_fill(~mask[:, 0], 0.0)


def _backward(
    emissions: Tensor, mask: Tensor, transitions: Tensor, end: Tensor, alphas: Tensor, log_z: Tensor, slope: Tensor
) -> tuple[Tensor, Tensor]:
    """The probability of each state [B, T, K] and the expected steps [K, K] of all rows, times each row's slope [B]."""
    if emissions.shape[1] == 0:
        return torch.zeros_like(emissions), torch.zeros_like(transitions)
    into, steps = transitions.mT.contiguous(), torch.zeros_like(transitions)
    state = torch.exp(alphas[-1] + end - log_z[:, None]) * slope[:, None]  # [B, K]
    state = state.masked_fill(~mask[:, :1], 0.0)
    states = [state]
    for t in range(emissions.shape[1] - 1, 0, -1):
        now = mask[:, t, None]
        reached = (alphas[t] - emissions[:, t]).masked_fill(~now, torch.inf)  # nothing is before what is behind the end
        pairs = torch.exp(alphas[t - 1][:, None, :] + into - reached[..., None]) * state[..., None]  # [B, K to, K from]
        steps += pairs.sum(0)
        state = torch.where(now, pairs.sum(1), state)
        states.append(state)
    return torch.stack(states[::-1], 1).masked_fill(~mask[..., None], 0.0), steps.mT
