"""Attention as functions: against the formulas written out, and where nothing may be seen."""

from __future__ import annotations

import math

import pytest
import torch

from deepen.core.errors import ShapeError
from deepen.ops.attend import (
    additive_scores,
    causal_mask,
    dot_product_scores,
    masked_softmax,
    scaled_dot_product,
    square_places,
    visible,
)

B, H, TQ, TK, D, V = 2, 3, 5, 7, 11, 13


def drawn(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_scores_and_softmax_by_hand():
    queries, keys = torch.tensor([[[2.0, 0.0, 0.0, 0.0]]]), torch.tensor([[[0.0] * 4, [math.log(3), 1.0, 5.0, 2.0]]])
    scores = dot_product_scores(queries, keys)  # 2 log 3 / sqrt(4)
    assert torch.allclose(scores, torch.tensor([[[0.0, math.log(3)]]]))
    assert torch.allclose(masked_softmax(scores), torch.tensor([[[0.25, 0.75]]]))
    assert torch.equal(masked_softmax(scores, torch.tensor([[True, False]])), torch.tensor([[[1.0, 0.0]]]))


def test_additive_scores_are_the_loop_over_pairs():
    queries, keys, vector = drawn(B, TQ, D), drawn(B, TK, D, seed=1), drawn(D, seed=2)
    scores = additive_scores(queries, keys, vector)
    for b in range(B):
        for q in range(TQ):
            for k in range(TK):
                assert torch.allclose(scores[b, q, k], vector @ torch.tanh(queries[b, q] + keys[b, k]))


@pytest.mark.parametrize("is_causal", [False, True])
@pytest.mark.parametrize("dims", [None, 2, 3])
def test_the_fused_kernel_is_the_written_out_formula_with_equal_gradients(dims, is_causal):
    mask = {None: None, 2: torch.rand(B, TK) > 0.4, 3: torch.rand(B, TQ, TK) > 0.4}[dims]
    found = []
    for fused in (True, False):
        q, k, v = (drawn(B, H, T, W, seed=s).requires_grad_() for T, W, s in ((TQ, D, 3), (TK, D, 4), (TK, V, 5)))
        if fused:
            answer = scaled_dot_product(q, k, v, mask, is_causal=is_causal)
        else:
            answer = masked_softmax(dot_product_scores(q, k), visible(mask, q, k, is_causal=is_causal)) @ v
        answer.pow(2).sum().backward()
        found.append((answer, q.grad, k.grad, v.grad))
    for one, other in zip(*found, strict=True):
        assert torch.allclose(one, other, atol=1e-12)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_query_that_sees_nothing_gets_zeros_and_leaves_every_gradient_finite(dtype):
    q, k, v = (drawn(B, H, T, D).to(dtype).requires_grad_() for T in (TQ, TK, TK))
    mask = torch.ones(B, TQ, TK, dtype=torch.bool)
    mask[0, 2] = mask[1] = False
    for answer in (scaled_dot_product(q, k, v, mask), masked_softmax(dot_product_scores(q, k), mask) @ v):
        assert torch.equal(answer[0, :, 2], torch.zeros(H, D, dtype=dtype)) and not answer[1].any()
        assert answer[0, :, 1].any()
        answer.sum().backward()
        for x in (q, k, v):
            assert torch.isfinite(x.grad).all() and not x.grad[1].any()
            x.grad = None


def test_causality_counts_from_the_end():
    assert causal_mask(TQ, TQ).equal(torch.ones(TQ, TQ).tril().bool())
    whole = scaled_dot_product(drawn(B, TK, D), drawn(B, TK, D), drawn(B, TK, V), is_causal=True)
    last = scaled_dot_product(drawn(B, TK, D)[:, -3:], drawn(B, TK, D), drawn(B, TK, V), is_causal=True)
    assert torch.allclose(last, whole[:, -3:], atol=1e-12)


def test_places_are_numbered_the_same_in_every_size():
    whole = square_places(11, 11)
    assert sorted(whole.flatten().tolist()) == list(range(121))
    for num_queries, num_keys in ((3, 7), (7, 3), (5, 5), (1, 11)):
        assert torch.equal(square_places(num_queries, num_keys), whole[:num_queries, :num_keys])
        assert int(square_places(num_queries, num_keys).max()) < max(num_queries, num_keys) ** 2


def test_masks_that_do_not_fit_are_refused():
    q, k = drawn(B, TQ, D), drawn(B, TK, D)
    with pytest.raises(ShapeError, match=r"mask has shape \(2, 1, 5\)"):
        scaled_dot_product(q, k, k, torch.ones(B, TQ, dtype=torch.bool))
    with pytest.raises(ShapeError, match=r"torch.float32 of shape \(2, 7\)"):
        scaled_dot_product(q, k, k, torch.ones(B, TK))
    with pytest.raises(ShapeError, match=r"bool of shape \(7,\)"):
        masked_softmax(dot_product_scores(q, k), torch.ones(TK, dtype=torch.bool))
