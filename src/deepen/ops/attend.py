"""Attention as pure functions: how strongly queries look at keys, and what they take from the values.

    weights = softmax over the keys of  score(query, key),      answer = weights @ values

A mask says what may be seen. A query that may see nothing has weights of 0 and the answer 0, never NaN, and nothing of
it reaches a gradient.

Shapes: B batch, ... any further dimensions such as heads, Tq queries, Tk keys, D width of queries and keys, V width of
values.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from deepen.core.errors import ShapeError


def dot_product_scores(queries: Tensor, keys: Tensor) -> Tensor:
    """How alike queries and keys are, by their inner product over sqrt(D).

        s[q, k] = queries[q] . keys[k] / sqrt(D)

    queries  [B, ..., Tq, D]
    keys     [B, ..., Tk, D]
    returns  [B, ..., Tq, Tk]

    The sum of D products of numbers of variance 1 has variance D; the root keeps it at 1 whatever the width.
    Source: Vaswani et al., Attention Is All You Need, 2017, eq. 1.
    """
    return queries @ keys.mT / math.sqrt(queries.shape[-1])


def additive_scores(queries: Tensor, keys: Tensor, vector: Tensor) -> Tensor:
    """How queries and keys agree, by a hidden layer over both.

        s[q, k] = vector . tanh(queries[q] + keys[k])

    queries  [B, ..., Tq, H], already projected
    keys     [B, ..., Tk, H], already projected
    vector   [H]
    returns  [B, ..., Tq, Tk]; [B, ..., Tq, Tk, H] numbers are held on the way

    Source: Bahdanau, Cho and Bengio, Neural Machine Translation by Jointly Learning to Align and Translate, 2015,
    appendix A.1.2.
    """
    return torch.tanh(queries.unsqueeze(-2) + keys.unsqueeze(-3)) @ vector


def masked_softmax(scores: Tensor, mask: Tensor | None = None) -> Tensor:
    """Softmax over the last dimension among what the mask shows, 0 elsewhere and in rows where it shows nothing.

    scores  [B, ..., Tq, Tk]
    mask    [B, Tk] or [B, Tq, Tk] bool, or of all dimensions of the scores; True: may be seen
    """
    if mask is None:
        return torch.softmax(scores, -1)
    mask = aligned(mask, scores.dim())
    whole = mask | ~mask.any(-1, keepdim=True)  # a row of nothing but -inf would have no gradient
    weights = torch.softmax(scores.masked_fill(~whole, -math.inf), -1)
    return weights.masked_fill(~mask, 0.0)


def scaled_dot_product(
    queries: Tensor, keys: Tensor, values: Tensor, mask: Tensor | None = None, *, is_causal: bool = False
) -> Tensor:
    """What each query takes from the values, by PyTorch's fused kernel, which keeps no weights.

        answer[q] = sum over k of  softmax(s[q])[k] values[k],    s as in dot_product_scores

    queries    [B, ..., Tq, D]
    keys       [B, ..., Tk, D]
    values     [B, ..., Tk, V]
    mask       as in masked_softmax
    is_causal  a query sees no key behind its own place; the queries are the last Tq of the Tk places
    returns    [B, ..., Tq, V]
    """
    if mask is None and (not is_causal or queries.shape[-2] == keys.shape[-2]):
        return F.scaled_dot_product_attention(queries, keys, values, is_causal=is_causal)
    shown = visible(mask, queries, keys, is_causal=is_causal)
    assert shown is not None
    sees = shown.any(-1, keepdim=True)
    answer = F.scaled_dot_product_attention(queries, keys, values, attn_mask=shown | ~sees)
    return answer.masked_fill(~sees, 0.0)


def visible(mask: Tensor | None, queries: Tensor, keys: Tensor, *, is_causal: bool) -> Tensor | None:
    """The mask with as many dimensions as queries have, causality included; None where everything may be seen.

    Raises ShapeError where mask, queries and keys do not agree.
    """
    num_queries, num_keys = queries.shape[-2], keys.shape[-2]
    if mask is not None:
        mask = aligned(mask, queries.dim())
        if mask.shape[0] != queries.shape[0] or mask.shape[-1] != num_keys or mask.shape[-2] not in (1, num_queries):
            raise ShapeError(
                f"mask has shape {tuple(mask.shape)} but queries {tuple(queries.shape)} and keys {tuple(keys.shape)}; "
                "a mask is [batch, keys] or [batch, queries, keys]."
            )
    if not is_causal:
        return mask
    past = causal_mask(num_queries, num_keys, queries.device).view(*[1] * (queries.dim() - 2), num_queries, num_keys)
    return past if mask is None else mask & past


def causal_mask(num_queries: int, num_keys: int, device: torch.device | None = None) -> Tensor:
    """What each query may see where the queries are the last of the places: itself and what is before it.

    returns  [Tq, Tk] bool

    >>> causal_mask(2, 3).int().tolist()
    [[1, 1, 0], [1, 1, 1]]
    """
    return torch.ones(num_queries, num_keys, dtype=torch.bool, device=device).tril(num_keys - num_queries)


def aligned(mask: Tensor, num_dimensions: int) -> Tensor:
    """A mask [B, Tk] or [B, Tq, Tk] with dimensions of 1 put in between, up to this number of dimensions."""
    if mask.dtype != torch.bool or not 2 <= mask.dim() <= num_dimensions:
        raise ShapeError(
            f"mask is {mask.dtype} of shape {tuple(mask.shape)} instead of bool [batch, keys] or [batch, queries, keys]"
            "; compare lengths with places to get one."
        )
    if mask.dim() == num_dimensions:
        return mask
    between = num_dimensions - mask.dim()
    return mask.view(mask.shape[0], *[1] * between, *mask.shape[1:])


def square_places(num_queries: int, num_keys: int, device: torch.device | None = None) -> Tensor:
    """A number for each pair (query, key) that does not depend on how many of either there are.

        n(q, k) = m^2 + q where k = m,   m^2 + m + 1 + k where k < m,    m = max(q, k)

    returns  [Tq, Tk] int64, each number once, all below max(Tq, Tk)^2

    Draws numbered this way are the same however far a batch is padded. Source: Rosenberg and Strong, Addressing arrays
    by shells, 1972.

    >>> square_places(3, 3).tolist()
    [[0, 1, 4], [2, 3, 5], [6, 7, 8]]
    """
    q = torch.arange(num_queries, device=device)[:, None]
    k = torch.arange(num_keys, device=device)[None, :]
    m = torch.maximum(q, k)
    return m * m + torch.where(k == m, q, m + 1 + k)
