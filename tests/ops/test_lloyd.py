import numpy as np
import pytest
import torch
from sklearn.cluster import KMeans

from deepen.core import rng
from deepen.ops.lloyd import best_partition, lloyd, seeded_centres, squared_distances


def blobs(count=211, width=5, groups=7, spread=0.7, seed=0):
    draw = torch.Generator().manual_seed(seed)
    centres = torch.randn(groups, width, generator=draw, dtype=torch.float64) * 3
    of = torch.randint(0, groups, (count,), generator=draw)
    return centres[of] + spread * torch.randn(count, width, generator=draw, dtype=torch.float64), of


@pytest.mark.parametrize("seed", range(5))
def test_the_inertia_is_sklearns_from_the_same_start(seed):
    vectors, _ = blobs(seed=seed)
    start = vectors[:11]
    found = lloyd(vectors, start)
    reference = KMeans(11, init=start.numpy(), n_init=1, algorithm="lloyd", tol=0, max_iter=300).fit(vectors.numpy())
    assert found.inertia == pytest.approx(reference.inertia_, rel=1e-9)
    assert np.array_equal(found.groups.numpy(), reference.labels_)
    assert np.allclose(found.centres.numpy(), reference.cluster_centers_)


def test_at_the_end_centres_are_means_and_rows_are_with_their_nearest():
    vectors, _ = blobs()
    found = lloyd(vectors, vectors[:5])
    for k in range(5):
        assert torch.allclose(found.centres[k], vectors[found.groups == k].mean(dim=0))
    assert torch.equal(found.groups, squared_distances(vectors, found.centres).argmin(dim=1))
    assert found.inertia == pytest.approx(float(squared_distances(vectors, found.centres).min(dim=1).values.sum()))


def test_planted_groups_are_found():
    vectors, of = blobs(spread=0.05)
    found = best_partition(vectors, 7, rng.generator(0, "test"), starts=10)
    pairs = set(zip(found.groups.tolist(), of.tolist(), strict=True))
    assert len(pairs) == 7


def test_a_centre_that_loses_its_rows_gets_the_furthest_row():
    vectors = torch.tensor([[0.0], [1.0], [10.0]], dtype=torch.float64)
    found = lloyd(vectors, torch.tensor([[0.0], [100.0], [0.4]], dtype=torch.float64))
    assert found.inertia == 0
    assert sorted(found.centres[:, 0].tolist()) == [0.0, 1.0, 10.0]


def test_more_centres_than_different_rows():
    vectors = torch.zeros(5, 2, dtype=torch.float64)
    found = lloyd(vectors, seeded_centres(vectors, 3, rng.generator(0, "test")))
    assert found.inertia == 0 and torch.isfinite(found.centres).all()


def test_seeds_are_drawn_by_squared_distance():
    """From 0 the second centre is 1 with chance 1 / 10 and 3 with chance 9 / 10."""
    vectors = torch.tensor([[0.0], [1.0], [3.0]], dtype=torch.float64)
    draw = rng.generator(0, "test")
    seeds = [seeded_centres(vectors, 2, draw)[:, 0].tolist() for _ in range(3000)]
    from_zero = [second for first, second in seeds if first == 0]
    assert 0 not in from_zero
    assert from_zero.count(3.0) / len(from_zero) == pytest.approx(0.9, abs=5 * (0.09 / len(from_zero)) ** 0.5)


def test_rows_far_from_zero_keep_their_digits():
    vectors, _ = blobs()
    near, far = lloyd(vectors, vectors[:5]), lloyd(vectors + 1e7, vectors[:5] + 1e7)
    assert torch.equal(near.groups, far.groups)


def test_a_row_that_weighs_three_is_three_rows():
    """The same draws fall on the same rows: a stretch of chances as long as those of three."""
    draw = torch.Generator().manual_seed(5)
    vectors = torch.randn(97, 3, generator=draw, dtype=torch.float64)
    times = torch.randint(1, 4, (97,), generator=draw)
    again = vectors.repeat_interleave(times, dim=0)
    seeds = [
        seeded_centres(rows, 5, rng.generator(2, "test"), weights)
        for rows, weights in ((vectors, times.double()), (again, torch.ones(len(again), dtype=torch.float64)))
    ]
    torch.testing.assert_close(*seeds)
    weighted, repeated = lloyd(vectors, seeds[0], weights=times.double()), lloyd(again, seeds[0])
    torch.testing.assert_close(weighted.centres, repeated.centres)
    assert weighted.inertia == pytest.approx(repeated.inertia) and weighted.steps == repeated.steps
