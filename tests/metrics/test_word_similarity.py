"""Loss, Spearman's correlation and analogies: by hand, against scipy, and over ranks."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.stats import spearmanr

from deepen.core.figures import Bars, Points
from deepen.metrics.word_figures import analogy_figures, similarity_figures
from deepen.metrics.word_similarity import WordMetrics, analogies


def units(x):
    return x / x.norm(dim=1, keepdim=True).clamp(min=1e-12)


def test_analogies_are_those_of_a_loop_over_all_words():
    draw = torch.Generator().manual_seed(0)
    vectors = units(torch.randn(37, 5, generator=draw))
    vectors[0] = 0
    ids = torch.randint(1, 37, (11, 3), generator=draw)
    ids[4, 1] = -1
    first, second, third = (vectors[ids[:, at].clamp(min=0)] for at in range(3))
    added, multiplied = analogies(vectors, first, second, third, ids)
    for row in range(11):
        best = [(-np.inf, -1), (-np.inf, -1)]
        for word in range(1, 37):
            if word in ids[row].tolist():
                continue
            a, b, c = (float(each[row] @ vectors[word]) for each in (first, second, third))
            scores = (b - a + c, (b + 1) / 2 * ((c + 1) / 2) / ((a + 1) / 2 + 0.001))
            best = [max(old, (score, word)) for old, score in zip(best, scores, strict=True)]
        assert (int(added[row]), int(multiplied[row])) == (best[0][1], best[1][1])


def some():
    draw = np.random.default_rng(0)
    metrics = WordMetrics(["ws", "sl", "family"])
    parts = []
    for rows in (np.arange(0, 19), np.arange(19, 31)):
        n = len(rows)
        parts.append((rows, draw.normal(size=n), draw.integers(0, 6, n).astype(float), rows % 2, draw.random(n) < 0.8))
    return metrics, parts


def add(metrics, rows, cosines, scores, sections, known):
    given = (torch.from_numpy(np.asarray(each)) for each in (cosines, scores, sections, known))
    metrics.add_pairs(*given, rows)


def test_correlations_are_scipys_over_known_pairs_of_each_list():
    metrics, parts = some()
    for each in parts:
        add(metrics, *each)
    _, cosines, scores, sections, known = (np.concatenate(each) for each in zip(*parts, strict=True))
    found = metrics.result()
    for number, name in enumerate(("ws", "sl")):
        own = (sections == number) & known
        assert found[f"spearman_{name}"] == pytest.approx(spearmanr(cosines[own], scores[own])[0], abs=1e-12)
    assert found["pairs_unknown"] == pytest.approx((~known).mean())
    figures = similarity_figures(metrics)
    assert [figure.title for figure in figures] == ["Similarity: ws", "Similarity: sl"]
    assert all(isinstance(figure, Points) for figure in figures)
    assert sum(len(figure.points) for figure in figures) == known.sum()


def test_analogies_count_by_section_and_unknown_ones_for_nothing():
    metrics = WordMetrics(["capitals", "family"])
    added, multiplied = torch.tensor([1, 0, 1, 1]) > 0, torch.tensor([1, 1, 0, 1]) > 0
    metrics.add_analogies(added, multiplied, torch.tensor([0, 0, 1, 1]), torch.tensor([1, 1, 1, 0]) > 0, np.arange(4))
    found = metrics.result()
    assert found == {"accuracy": 2 / 3, "accuracy_multiplied": 2 / 3, "analogies_unknown": 0.25}
    assert metrics.accuracy_by_section() == [("capitals", 2, 0.5, 1.0, 0), ("family", 1, 1.0, 0.0, 1)]
    (bars,) = analogy_figures(metrics)
    assert isinstance(bars, Bars) and bars.values == [0.5, 1.0]
    low, high = metrics.intervals()["accuracy"]
    assert 0 <= low < 2 / 3 < high <= 1


def test_loss_is_by_prediction_and_the_worst_texts_come_first():
    metrics = WordMetrics()
    metrics.add_texts(torch.tensor([6.0, 1.0]), torch.tensor([2, 1]), np.array([5, 2]))
    metrics.add_texts(torch.tensor([0.0, 8.0]), torch.tensor([0, 2]), np.array([7, 3]))
    assert metrics.result() == {"loss": 3.0}
    assert metrics.worst_texts(2) == [3, 5] and WordMetrics().worst_texts(3) == []


def test_ranks_merge_to_what_one_would_hold_each_row_once():
    one, parts = some()
    for each in parts:
        add(one, *each)
    ranks = [some()[0] for _ in range(2)]
    add(ranks[0], *parts[0])
    add(ranks[1], *parts[1])
    add(ranks[1], *parts[0])
    merged = WordMetrics(one.sections)
    merged.merge([rank.state() for rank in ranks])
    assert merged.result() == one.result()


def test_nothing_added_has_no_figures():
    assert WordMetrics().result() == {} and WordMetrics().intervals() == {}
    assert similarity_figures(WordMetrics()) == analogy_figures(WordMetrics()) == []
