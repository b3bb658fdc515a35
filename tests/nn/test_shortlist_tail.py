"""The tail by pairs against a dictionary, and what must hold for every word."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
import torch

from deepen.nn.output_shortlist import ShortlistSoftmax
from deepen.nn.shortlist_tail import PairedShortlist, rare_pairs
from deepen.ops.losses import IGNORED

V, D, SHORT = 23, 7, 5


@pytest.fixture
def text():
    draw = np.random.default_rng(0)
    return np.minimum(draw.zipf(1.3, 997) - 1, V - 2)  # the last word never occurs


def built(text, tied=None):
    counts = np.bincount(text, minlength=V)
    torch.manual_seed(0)
    return PairedShortlist(ShortlistSoftmax(D, counts, shortlist=SHORT, tied=tied), rare_pairs(text, counts, SHORT))


def hidden_after(words):
    torch.manual_seed(1)
    return torch.cat([torch.randn(len(words), D), torch.tensor(words)[:, None].float()], 1)


def test_a_rare_word_gets_what_a_dictionary_says(text):
    layer, counts = built(text), np.maximum(np.bincount(text, minlength=V), 1)
    rare = np.argsort(-counts, kind="stable")[SHORT:].tolist()
    pairs = Counter((v, w) for v, w in zip(text[:-1].tolist(), text[1:].tolist(), strict=True) if w in rare)
    once, twice = (sum(c == times for c in pairs.values()) for times in (1, 2))
    d = once / (once + 2 * twice)
    share = {w: counts[w] / sum(counts[r] for r in rare) for w in rare}
    for v in (-1, 0, 3, rare[0], V - 1):
        own = {w: c for (before, w), c in pairs.items() if before == v}
        total = sum(own.values())
        targets = torch.tensor(rare)
        hidden = hidden_after([v]).expand(len(rare), -1)
        inside = layer.layer._scores(hidden[:1, :-1]).log_softmax(1)[0, -1].detach()
        found = layer.target_log_probabilities(hidden, targets).detach() - inside
        for w, log_p in zip(rare, found.tolist(), strict=True):
            p = share[w] if not total else max(own.get(w, 0) - d, 0) / total + d * len(own) / total * share[w]
            assert log_p == pytest.approx(np.log(p), abs=1e-5)


def test_all_words_add_up_to_one_and_both_ways_agree(text):
    layer = built(text, tied=torch.nn.Parameter(torch.randn(V, D)))
    hidden = hidden_after([-1, 0, 2, 11, V - 1])
    logs = layer.log_probabilities(hidden).detach()
    assert torch.allclose(logs.exp().sum(1), torch.ones(5), atol=1e-5)
    for word in range(V):
        one = layer.target_log_probabilities(hidden, torch.full((5,), word)).detach()
        assert torch.allclose(one, logs[:, word], atol=1e-5)
    targets = torch.tensor([4, IGNORED, 0, 9, IGNORED])
    loss = layer.loss_sum(hidden, targets, torch.arange(5)).detach()
    assert float(loss) == pytest.approx(-sum(float(logs[i, w]) for i, w in ((0, 4), (2, 0), (3, 9))), rel=1e-5)


def test_pairs_make_a_chain_of_rare_words_more_probable_than_shares_do():
    text = np.array([0, 1, 0, 2, 0, 3] * 5 + [10, 11, 12, 13] * 7 + [0, 1, 2] * 40)
    counts = np.bincount(text, minlength=V)
    plain = ShortlistSoftmax(D, counts, shortlist=SHORT)
    paired = PairedShortlist(plain, rare_pairs(text, counts, SHORT))
    hidden = hidden_after([11, 12])
    targets = torch.tensor([12, 13])  # 10 and 11 are in the shortlist
    gain = paired.target_log_probabilities(hidden, targets) - plain.target_log_probabilities(hidden[:, :-1], targets)
    assert bool((gain > 1).all())


def test_a_vocabulary_without_rare_words_has_no_tail(text):
    counts = np.bincount(text, minlength=V)
    layer = PairedShortlist(ShortlistSoftmax(D, counts, shortlist=V), rare_pairs(text, counts, V))
    logs = layer.log_probabilities(hidden_after([3, -1])).detach()
    assert torch.allclose(logs.exp().sum(1), torch.ones(2), atol=1e-5)
    one = layer.target_log_probabilities(hidden_after([3, -1]), torch.tensor([5, 7])).detach()
    assert torch.allclose(one, torch.stack([logs[0, 5], logs[1, 7]]), atol=1e-6)
