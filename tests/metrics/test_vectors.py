import numpy as np
import torch

from deepen.metrics.vectors import VectorEntries


def test_first_rows_are_kept_once_in_their_order():
    kept = VectorEntries(most=7)
    vectors = torch.arange(22.0).view(11, 2)
    for rows in ([9, 3, 0], [6, 10, 7], [3, 1]):
        kept.add(np.array(rows), vectors[rows])
    rows, found = kept.read()
    assert rows.tolist() == [0, 1, 3, 6]
    assert np.array_equal(found, vectors[rows].numpy())


def test_ranks_merge_to_what_one_would_hold():
    vectors = torch.randn(11, 3)
    one, parts = VectorEntries(most=7), [VectorEntries(most=7) for _ in range(3)]
    one.add(np.arange(11), vectors)
    for part, rows in zip(parts, ([0, 1, 2], [2, 3, 4, 5], [9, 10]), strict=True):
        part.add(np.array(rows), vectors[rows])
    parts[1].add(np.array([6]), vectors[[6]])
    merged = VectorEntries(most=7)
    merged.merge([part.state() for part in parts])
    for a, b in zip(merged.read(), one.read(), strict=True):
        assert np.array_equal(a, b)


def test_nothing_added_is_nothing_held():
    assert VectorEntries().state() == {}
    assert VectorEntries().read()[0].shape == (0,)
