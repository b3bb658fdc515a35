import numpy as np
import pytest
import torch
from sklearn import metrics as reference

from deepen.metrics.clusters import (
    Clusters,
    adjusted_rand_index,
    contingency,
    normalized_mutual_information,
    purity,
)


def test_the_indices_by_hand():
    """Hubert and Arabie's form: 1 + 1 + 1 pairs together in both, E = 7 * 6 / 28... here of six samples."""
    clusters, labels = np.array([0, 0, 0, 1, 1, 1]), np.array([4, 4, 9, 9, 9, 4])
    table = contingency(clusters, labels)
    assert table.tolist() == [[2, 1], [1, 2]]
    # pairs in cells 1 + 1 = 2; by row 3 + 3 = 6; by column 6; of all 15: E = 36 / 15 = 2.4; (2 - 2.4) / (6 - 2.4)
    assert adjusted_rand_index(table) == pytest.approx(-0.4 / 3.6)
    assert purity(table) == pytest.approx(4 / 6)
    # I = 2 * 1/3 log(4/3) + 2 * 1/6 log(2/3), both entropies log 2
    expected = (2 / 3 * np.log(4 / 3) + 1 / 3 * np.log(2 / 3)) / np.log(2)
    assert normalized_mutual_information(table) == pytest.approx(expected)


@pytest.mark.parametrize("seed", range(7))
def test_the_indices_are_sklearns(seed):
    draw = np.random.default_rng(seed)
    labels = draw.integers(0, 1 + seed, 67)
    clusters = np.where(draw.random(67) < 0.6, labels, draw.integers(0, 5, 67))
    table = contingency(clusters, labels)
    assert adjusted_rand_index(table) == pytest.approx(reference.adjusted_rand_score(labels, clusters))
    expected = reference.normalized_mutual_info_score(labels, clusters)
    assert normalized_mutual_information(table) == pytest.approx(expected, abs=1e-12)
    assert purity(table) == pytest.approx(reference.cluster.contingency_matrix(labels, clusters).max(axis=0).sum() / 67)


def test_the_same_partition_under_other_numbers_is_perfect():
    table = contingency(np.array([3, 3, 7, 0]), np.array([1, 1, 0, 2]))
    assert adjusted_rand_index(table) == normalized_mutual_information(table) == purity(table) == 1


def added(metrics, rows):
    draw = torch.Generator().manual_seed(0)
    labels = torch.arange(31) % 3
    vectors = torch.randn(31, 2, generator=draw) * 0.1 + labels[:, None]
    centres = torch.arange(3.0)[:, None].expand(3, 2)
    distances = torch.cdist(vectors, centres).square()
    metrics.add(distances[rows], torch.where(labels == 2, -1, labels)[rows], vectors[rows], np.asarray(rows))
    return distances


def test_the_figures_of_planted_clusters():
    metrics = Clusters(3)
    distances = added(metrics, np.arange(31))
    found = metrics.result()
    assert found["mean_squared_distance"] == pytest.approx(float(distances.min(dim=1).values.mean()), rel=1e-6)
    assert found["adjusted_rand_index"] == 1  # of the rows that have a label
    _, clusters, vectors = metrics.first()
    assert found["silhouette"] == pytest.approx(reference.silhouette_score(vectors, clusters))
    assert found["silhouette"] > 0.7


def test_ranks_merge_to_the_same_bits():
    one, parts = Clusters(3), [Clusters(3), Clusters(3)]
    added(one, np.arange(31))
    added(parts[0], np.arange(17)[::-1].copy())
    added(parts[1], np.arange(13, 31))
    merged = Clusters(3)
    merged.merge([part.state() for part in parts])
    assert merged.result() == one.result() and merged.intervals() == one.intervals()


def test_one_cluster_has_no_silhouette():
    metrics = Clusters(1)
    metrics.add(torch.ones(7, 1), torch.full((7,), -1), torch.randn(7, 2), np.arange(7))
    assert metrics.result() == {"mean_squared_distance": 1.0}
    assert Clusters(2).result() == Clusters(2).intervals() == {}
