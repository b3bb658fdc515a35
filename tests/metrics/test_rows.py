from __future__ import annotations

import numpy as np
import pytest
import torch

from deepen.metrics.rows import PerRow, RowEntries


def test_reads_in_the_order_of_rows_and_keeps_the_first_entry_of_each():
    entries = RowEntries("value")
    entries.add(np.array([5, 2]), {"value": torch.tensor([50, 20])})
    entries.add(np.array([2, 3]), {"value": torch.tensor([99, 30])})
    assert entries.read()["rows"].tolist() == [2, 3, 5]
    assert entries.read()["value"].tolist() == [20, 30, 50]


def test_merging_empty_states_leaves_nothing():
    entries = RowEntries("value")
    entries.add(np.array([1]), {"value": torch.tensor([1.0])})
    entries.merge([{}, {}])
    assert entries.state() == {}
    assert entries.read()["rows"].tolist() == []


def test_a_rank_without_samples_does_not_disturb_the_others():
    one, other = RowEntries("value"), RowEntries("value")
    one.add(np.array([7]), {"value": torch.tensor([0.5])})
    merged = RowEntries("value")
    merged.merge([other.state(), one.state()])
    assert merged.read()["value"].tolist() == [0.5]


def test_adding_after_reading_is_seen():
    entries = RowEntries("value")
    entries.add(np.array([1]), {"value": torch.tensor([1.0])})
    assert len(entries.read()["rows"]) == 1
    entries.add(np.array([0]), {"value": torch.tensor([2.0])})
    assert entries.read()["value"].tolist() == [2.0, 1.0]


def test_entries_of_another_length_are_our_own_fault():
    with pytest.raises(AssertionError, match=r"value is \(3,\) for 2 rows"):
        RowEntries("value").add(np.array([0, 1]), {"value": torch.zeros(3)})


def test_a_figure_is_the_mean_of_its_values_or_the_root_of_it() -> None:
    values = np.array([1.0, 4.0, 13.0])
    assert PerRow(values, "min").figure() == 6.0
    assert PerRow(values, "min", is_root=True).figure() == 6.0**0.5
