"""The chain in numpy: against every path of a short one, and against the recursions in PyTorch."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch

from deepen.nn.crf import LinearChainCRF
from deepen.ops import chain
from deepen.prepare import tags
from deepen.runtime import tag_chain
from deepen.runtime.tag_chain import Scores

TAGS = tags.vocabulary(["place", "time"], "BIOES")  # 9 of them
LENGTHS = (7, 0, 1, 5, 3)


def made(num_tags: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray, Scores]:
    draw = np.random.default_rng(seed)
    emissions = 3 * draw.normal(size=(len(LENGTHS), 7, num_tags))
    mask = np.arange(7) < np.array(LENGTHS)[:, None]
    emissions[~mask] = np.nan  # nobody reads what is behind a row's end
    return emissions, mask, Scores(*(draw.normal(size=size) for size in ((num_tags, num_tags), num_tags, num_tags)))


def test_marginals_and_the_best_path_are_those_of_all_paths() -> None:
    emissions, _, scores = made(3)
    e = emissions[3, :5]
    paths = np.array(list(itertools.product(range(3), repeat=5)))
    totals = e[np.arange(5), paths].sum(1) + scores.start[paths[:, 0]] + scores.end[paths[:, -1]]
    totals += scores.transitions[paths[:, :-1], paths[:, 1:]].sum(1)
    shares = np.exp(totals - totals.max()) / np.exp(totals - totals.max()).sum()
    expected = np.stack([[shares[paths[:, t] == k].sum() for k in range(3)] for t in range(5)])
    found = tag_chain.marginals(e[None], np.ones((1, 5), bool), scores)
    np.testing.assert_allclose(found[0], expected, atol=1e-12)
    best = tag_chain.best_path(e[None], np.ones((1, 5), bool), scores)
    assert best[0].tolist() == paths[totals.argmax()].tolist()


@pytest.mark.parametrize("allows_all", [False, True])
@pytest.mark.parametrize("most_pairs", [1, 200, 1 << 22])
def test_it_is_the_chain_of_the_network(allows_all: bool, most_pairs: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tag_chain, "MOST_PAIRS", most_pairs)
    emissions, mask, scores = made(len(TAGS), 1)
    allowed = tags.allowed(TAGS, "plain" if allows_all else "BIOES")
    crf = LinearChainCRF(len(TAGS), torch.from_numpy(allowed)).double()
    with torch.no_grad():
        for name in ("transitions", "start", "end"):
            getattr(crf, name).copy_(torch.from_numpy(getattr(scores, name)))
    given = torch.from_numpy(np.nan_to_num(emissions)), torch.from_numpy(mask)
    own = scores.within(allowed)
    np.testing.assert_allclose(tag_chain.marginals(emissions, mask, own), crf.marginals(*given).numpy(), atol=1e-12)
    assert np.array_equal(tag_chain.best_path(emissions, mask, own), crf.decode(*given).numpy())


def test_a_chain_that_only_allows_changes_no_score_and_keeps_the_scheme() -> None:
    emissions, mask, _ = made(len(TAGS), 2)
    allowed = tags.allowed(TAGS, "BIOES")
    only = tag_chain.no_scores(len(TAGS)).within(allowed)
    found = tag_chain.best_path(emissions, mask, only)
    for row, length in zip(found, LENGTHS, strict=True):
        own = [TAGS[k] for k in row[:length]]
        assert tags.repaired(own, "BIOES")[1] == []
        assert not row[length:].any()
    zeros = [torch.from_numpy(each) for each in (only.transitions, only.start, only.end)]
    given = torch.from_numpy(np.nan_to_num(emissions)), torch.from_numpy(mask)
    assert np.array_equal(found, chain.best_path(*given, *zeros)[0].numpy())


def test_no_sentence_and_no_place_have_no_tags() -> None:
    scores = tag_chain.no_scores(5)
    for shape in ((0, 7), (3, 0)):
        emissions, mask = np.zeros((*shape, 5)), np.zeros(shape, bool)
        assert tag_chain.marginals(emissions, mask, scores).shape == (*shape, 5)
        assert tag_chain.best_path(emissions, mask, scores).shape == shape
