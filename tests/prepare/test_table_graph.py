"""The scaling inside a graph against the preparation's own, on every kind of column."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
import torch
from torch import nn

from deepen.prepare import scaling, table_graph, tabular
from deepen.prepare.tabular import ColumnOptions


def rows(count: int = 211) -> pa.Table:
    draw = np.random.default_rng(5)
    heavy = draw.exponential(1e6, count)
    holes = draw.random(count) < 0.1
    cells = {
        "even": [f"{value:.4f}" for value in draw.uniform(-3, 3, count)],
        "heavy": ["" if hole else f"{value:.2f}" for value, hole in zip(heavy, holes, strict=True)],
        "flag": [str(value) for value in draw.integers(0, 2, count)],
        "second": [f"{1_600_000_000 + value}" for value in draw.integers(0, 10**8, count)],
        "day": [f"2021-{1 + value % 12:02}-{1 + value % 28:02}" for value in draw.integers(0, 4000, count)],
        "town": [("Oslo", "Lima", "Kyoto")[value] for value in draw.integers(0, 3, count)],
        "target": [str(value) for value in draw.integers(0, 2, count)],
    }
    table = pa.table({name: pa.array([cell or None for cell in column], pa.string()) for name, column in cells.items()})
    return table.append_column("source", pa.array([f"rows.csv, row {row}" for row in range(count)]))


@pytest.mark.parametrize("whiten", [False, True])
def test_the_graph_scales_as_the_preparation_does(whiten: bool) -> None:
    table = rows()
    state = tabular.learn(table, "target", ColumnOptions(whiten=whiten), [])
    inputs, categories, kept = tabular.encode(table, state, "test", [])
    values, same, kept_too = tabular.values_of(table, table_graph.without_scaling(state), "test", [])
    assert np.array_equal(categories, same) and np.array_equal(kept, kept_too)
    assert np.isnan(values).any() and values.dtype == np.float64 and ("whitening" in state) == whiten
    scaled = table_graph.ScaledNumbers(state)(torch.from_numpy(values)).numpy()
    assert scaled.shape[1] == tabular.shape_of(state)[0] > values.shape[1] and scaled.dtype == np.float32
    assert np.abs(scaled[: len(inputs)] - inputs).max() <= (2e-6 if whiten else 1e-7)
    far = np.concatenate([values * 1e9, values * -1e9])  # beyond all that was learned
    state.pop("whitening", None)
    reference = np.concatenate([scaling.scaled(far[:, i], each) for i, each in enumerate(tabular.inputs_of(state))], 1)
    scaled = table_graph.ScaledNumbers(state)(torch.from_numpy(far)).numpy()
    assert np.abs(scaled - reference).max() <= 1e-7 and np.abs(scaled).max() == 4.0


class Sums(nn.Module):
    def forward(self, numbers, categories):
        return numbers.sum(1, keepdim=True) + 100 * categories.sum(1, keepdim=True)


@pytest.mark.parametrize(
    ("columns", "names"),
    [
        (("even", "heavy"), ["numbers"]),
        (("town",), ["categories"]),
        (("even", "town"), ["numbers", "categories"]),
    ],
)
def test_a_table_of_one_kind_has_inputs_of_that_kind_alone(columns: tuple[str, ...], names: list[str]) -> None:
    table = rows().select([*columns, "target", "source"])
    state = tabular.learn(table, "target", ColumnOptions(), [])
    assert list(table_graph.examples(state)) == names
    numbers, categories, _ = (torch.from_numpy(each) for each in tabular.encode(table, state, "test", []))
    values, _, _ = tabular.values_of(table, state, "test", [])
    graph = table_graph.TableGraph(Sums(), state, lambda outputs: outputs[:, 0].double())
    given = {"numbers": torch.from_numpy(values), "categories": categories}
    found = graph(*(given[name] for name in names))
    assert torch.allclose(found, Sums()(numbers, categories)[:, 0].double(), atol=1e-5)
