"""The logarithm of the probability of each state at each place of a linear chain, with its gradient.

    a[0] = start + e[0],    a[t, j] = e[t, j] + log sum over i of exp(a[t - 1, i] + trans[i, j])
    b[n - 1] = end,         b[t, i] = log sum over j of exp(trans[i, j] + e[t + 1, j] + b[t + 1, j])

    log p(y[t] = i) = a[t, i] + b[t, i] - log Z,    log Z = log sum over i of exp(a[t, i] + b[t, i]), the same at each t

`ops/chain.marginals` gives the same probabilities by a recursion without gradient. Here both recursions are traced, so
that a loss may be a function of the probabilities; that takes memory for T K^2 numbers of each row. Names and shapes
are those of ops/chain.py. Source: Rabiner, A Tutorial on Hidden Markov Models, 1989, section III (forward-backward).
"""

from __future__ import annotations

import torch
from torch import Tensor


def log_posterior(emissions: Tensor, mask: Tensor, transitions: Tensor, start: Tensor, end: Tensor) -> Tensor:
    """ln of the probability of each state at each place given all emissions, [B, T, K]; behind a row's end no numbers
    that mean anything, though finite ones."""
    if emissions.shape[1] == 0:
        return emissions
    return torch.log_softmax(
        _before(emissions, mask, transitions, start) + _behind(emissions, mask, transitions, end), 2
    )


def _before(emissions: Tensor, mask: Tensor, transitions: Tensor, start: Tensor) -> Tensor:
    """a [B, T, K]"""
    into = transitions.mT.contiguous()  # [K to, K from]
    alpha = start + emissions[:, 0]
    alphas = [alpha]
    for e, now in zip(emissions.unbind(1)[1:], mask.unbind(1)[1:], strict=True):
        new = torch.logsumexp(alpha[:, None, :] + into, 2) + e
        alpha = torch.where(now[:, None], new, alpha)
        alphas.append(alpha)
    return torch.stack(alphas, 1)


def _behind(emissions: Tensor, mask: Tensor, transitions: Tensor, end: Tensor) -> Tensor:
    """b [B, T, K]; of a row's last place, and of what is behind it, `end`."""
    last = end.expand(emissions.shape[0], -1)
    beta = last
    betas = [beta]
    for e, goes_on in zip(reversed(emissions.unbind(1)[1:]), reversed(mask.unbind(1)[1:]), strict=True):
        new = torch.logsumexp(transitions + (e + beta)[:, None, :], 2)
        beta = torch.where(goes_on[:, None], new, last)
        betas.append(beta)
    return torch.stack(betas[::-1], 1)
