"""The adaptive softmax: cutoffs against trying all, probabilities by hand, and the tie."""

from __future__ import annotations

from itertools import combinations, pairwise

import numpy as np
import pytest
import torch

from deepen.core.errors import OptionError
from deepen.nn import output_adaptive
from deepen.nn.output_adaptive import EACH_PRODUCT, AdaptiveSoftmax, best_cutoffs
from deepen.nn.output_full import FullSoftmax
from deepen.ops.losses import IGNORED

V, D = 23, 7
COUNTS = [3, 50, 1, 1, 20, 9, 9, 2, 1, 0, 4, 4, 1, 1, 1, 1, 2, 2, 3, 1, 1, 1, 1]


def cost(counts, cutoffs):
    held = -np.sort(-np.maximum(np.asarray(counts, float), 1))
    share = held / held.sum()
    ends = [*cutoffs, len(held)]
    inside = sum(share[a:b].sum() * (b - a) for a, b in pairwise(ends))
    return ends[0] + len(cutoffs) * (1 + EACH_PRODUCT) + inside


@pytest.mark.parametrize("most", [1, 2])
def test_no_cutoffs_are_cheaper(most):
    """3,001 words by Zipf's law; the ranks that are tried are 60 of all, so within 2 % of trying many."""
    counts = (1e6 / np.arange(1, 3002)).astype(int)
    found = best_cutoffs(counts, most)
    tried = [c for n in range(1, most + 1) for c in combinations(range(10, 3000, 23), n)]
    least = min(cost(counts, each) for each in tried)
    assert cost(counts, found) <= 1.02 * least < 3001
    assert best_cutoffs([1] * 50) == ()


@pytest.mark.parametrize("cutoffs", [(), (5,), (3, 11, 19)])
def test_probabilities_by_hand_add_up_and_agree(cutoffs):
    torch.manual_seed(0)
    layer = AdaptiveSoftmax(D, COUNTS, cutoffs=cutoffs)
    torch.nn.init.normal_(layer.linear.bias)
    hidden = torch.randn(13, D)
    logs = layer.log_probabilities(hidden).detach()
    assert torch.allclose(logs.exp().sum(1), torch.ones(13), atol=1e-6)
    words = np.argsort([-max(c, 1) for c in COUNTS], kind="stable")
    ends = (*cutoffs, V)
    scores = layer.linear(hidden).detach()
    head = scores[:, words[: ends[0]]]
    if layer.clusters is not None:
        head = torch.cat([head, layer.clusters(hidden).detach()], 1)
    head = head.log_softmax(1)
    for rank, word in enumerate(words):
        index = int(np.searchsorted(ends, rank, side="right")) - 1
        expected = head[:, rank] if index < 0 else head[:, ends[0] + index]
        if index >= 0:
            members = words[ends[index] : ends[index + 1]].tolist()
            expected = expected + scores[:, members].log_softmax(1)[:, members.index(word)]
        assert torch.allclose(logs[:, word], expected, atol=1e-5)
        one = layer.target_log_probabilities(hidden, torch.full((13,), int(word))).detach()
        assert torch.allclose(one, expected, atol=1e-5)
    targets = torch.randint(V, (13,))
    targets[::4] = IGNORED
    kept = targets != IGNORED
    loss = layer.loss_sum(hidden, targets, torch.arange(13))
    assert float(loss.detach()) == pytest.approx(-float(logs[kept, targets[kept]].sum()), rel=1e-5)


def test_without_clusters_it_is_the_full_softmax_and_the_tie_is_the_embedding():
    torch.manual_seed(0)
    vectors = torch.nn.Parameter(torch.randn(V, D))
    layer, full = AdaptiveSoftmax(D, COUNTS, tied=vectors), FullSoftmax(D, V, vectors)
    hidden = torch.randn(5, D)
    assert layer.clusters is None and layer.linear.weight is vectors
    assert torch.allclose(layer.log_probabilities(hidden), full.log_probabilities(hidden), atol=1e-6)
    clustered = AdaptiveSoftmax(D, COUNTS, cutoffs=(5, 9), tied=vectors)
    clustered.loss_sum(hidden, torch.tensor([1, 9, 2, 22, 4]), torch.arange(5)).backward()
    assert vectors.grad is not None and bool((vectors.grad[9] != 0).any())


@pytest.mark.parametrize("in_order", [True, False])
def test_rows_that_lie_in_order_are_read_where_they_lie_with_equal_answers_and_gradients(in_order, monkeypatch):
    """307 words by falling counts, but for two, and in no order at all; each also with all rows gathered."""
    counts = (5e3 / np.arange(1, 308)).astype(int)
    counts[[0, 3]] = 0, 41
    counts = counts if in_order else np.random.default_rng(3).permutation(counts)
    found = []
    for most in (output_adaptive.MOST_PIECES, 0):
        monkeypatch.setattr(output_adaptive, "MOST_PIECES", most)
        torch.manual_seed(0)
        layer = AdaptiveSoftmax(D, counts, cutoffs=(11, 47, 101))
        assert layer.is_gathered == (most == 0 or not in_order)
        hidden, targets = torch.randn(43, D), torch.randint(307, (43,))
        targets[::5] = IGNORED
        loss = layer.loss_sum(hidden, targets, torch.arange(43))
        loss.backward()
        with torch.no_grad():
            logs, own = layer(hidden), layer.target_log_probabilities(hidden, targets)
        kept = targets != IGNORED
        assert torch.allclose(own[kept], logs[kept, targets[kept]], atol=1e-5) and not own[~kept].any()
        found.append((loss.detach(), logs, layer.linear.weight.grad, layer.linear.bias.grad))
    assert all(torch.allclose(a, b, atol=1e-4) for a, b in zip(*found, strict=True))


@pytest.mark.parametrize("cutoffs", [(0,), (23,), (5, 5), (9, 3)])
def test_cutoffs_that_cut_nothing_are_refused(cutoffs):
    with pytest.raises(OptionError, match=r"output\.cutoffs .*: expected rising ranks between 1 and 22"):
        AdaptiveSoftmax(D, COUNTS, cutoffs=cutoffs)
