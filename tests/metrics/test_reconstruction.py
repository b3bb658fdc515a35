import numpy as np
import pytest
import torch

from deepen.metrics.reconstruction import Reconstruction

COUNT = 41


def filled(metrics, rows, seed=0):
    draw = torch.Generator().manual_seed(seed)
    entries = {
        "errors": torch.rand(COUNT, generator=draw),
        "variations": torch.rand(COUNT, generator=draw) + 1,
        "labels": torch.arange(COUNT) % 3 - (torch.arange(COUNT) % 7 == 0).long() * 5,
        "bounds": -torch.rand(COUNT, generator=draw),
        "divergences": torch.rand(COUNT, generator=draw),
    }
    codes = torch.randn(COUNT, 5, generator=draw) + 3.0 * torch.eye(5)[entries["labels"].clamp(min=0)]
    metrics.add({name: value[rows] for name, value in entries.items()}, codes[rows], np.asarray(rows))
    return entries


def test_the_figures_by_hand():
    metrics = Reconstruction()
    entries = {
        "errors": torch.tensor([1.0, 3.0]),
        "variations": torch.tensor([4.0, 12.0]),
        "labels": torch.tensor([-1, -1]),
    }
    metrics.add(entries, torch.zeros(2, 3), np.array([0, 1]))
    assert metrics.result() == {"mean_squared_error": 2.0, "variance_explained": 0.75}
    assert metrics.worst(1) == [(1, 3.0)]


def test_any_order_and_any_ranks_give_the_same_bits():
    one = Reconstruction("bounds", "divergences")
    filled(one, np.arange(COUNT))
    parts = [Reconstruction("bounds", "divergences") for _ in range(2)]
    filled(parts[0], np.arange(23)[::-1].copy())
    filled(parts[1], np.arange(19, COUNT))
    merged = Reconstruction("bounds", "divergences")
    merged.merge([part.state() for part in parts])
    assert merged.result() == one.result()
    assert merged.intervals() == one.intervals()


def test_labels_are_probed_where_there_are_any():
    metrics = Reconstruction("bounds", "divergences")
    entries = filled(metrics, np.arange(COUNT))
    found = metrics.result()
    assert set(found) == {
        *("mean_squared_error", "elbo", "divergence", "variance_explained", "probe_accuracy", "neighbour_accuracy")
    }
    assert found["probe_accuracy"] > 0.8
    assert found["elbo"] == pytest.approx(float(entries["bounds"].mean()), rel=1e-6)
    low, high = metrics.intervals()["probe_accuracy"]
    assert low < found["probe_accuracy"] <= high
    _, codes, labels = metrics.codes()
    assert codes.shape == (COUNT, 5) and np.array_equal(labels, entries["labels"].numpy())


def test_per_row_values_average_to_the_figures():
    metrics = Reconstruction("bounds", "divergences")
    filled(metrics, np.arange(COUNT))
    per_row = metrics.per_row()
    assert set(per_row) == {"mean_squared_error", "elbo"}
    for name, each in per_row.items():
        assert each.figure() == pytest.approx(metrics.result()[name])
    assert per_row["elbo"].direction == "max"


def test_nothing_added_is_nothing_said():
    assert Reconstruction().result() == Reconstruction().intervals() == {}
