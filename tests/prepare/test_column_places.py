"""Columns of the user's table among the inputs."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from deepen.data.columns import with_origin
from deepen.prepare import tabular
from deepen.prepare.column_places import EMPTY, RARE, column_places, level_name, values_of

COUNT = 29


def learned():
    columns = {
        "colour": ["red", "blue", None][0:2] * 14 + [None],
        "size": [f"{row * 0.37:.2f}" if row % 7 else "" for row in range(COUNT)],
        "day": [f"2021-0{1 + row % 9}-1{row % 10}" for row in range(COUNT)],
        "same": ["5"] * COUNT,
        "weight": [f"{row * 1.5}" for row in range(COUNT)],
        "town": ["a", "b", "c", "d"] * 7 + ["e"],
        "y": ["1", "0"] * 14 + ["1"],
    }
    columns["colour"][5:9] = [None] * 4
    table = with_origin(
        pa.table({name: pa.array(cells, pa.string()) for name, cells in columns.items()}),
        [f"t.csv, row {row + 2}" for row in range(COUNT)],
    )
    state = tabular.learn(table, "y", tabular.ColumnOptions(), [])
    return table, state


def test_changing_a_column_changes_its_inputs_and_no_other():
    table, state = learned()
    numbers, categories, _ = tabular.encode(table, state, "train", [])
    whole = np.concatenate([numbers, categories], axis=1)
    places = column_places(state)
    assert sorted(i for place in places for i in place.inputs) == list(range(whole.shape[1]))
    for place in places:
        other = pa.array(table.column(place.name).to_pylist()[::-1], pa.string())
        index = table.column_names.index(place.name)
        changed, codes, _ = tabular.encode(table.set_column(index, place.name, other), state, "train", [])
        moved = np.flatnonzero((np.concatenate([changed, codes], axis=1) != whole).any(axis=0)).tolist()
        assert moved and set(moved) <= set(place.inputs), place


def test_kinds_and_widths():
    _, state = learned()
    kinds = {place.name: (place.kind, len(place.inputs)) for place in column_places(state)}
    assert kinds["size"] == ("number", 2) and kinds["weight"] == ("number", 1)
    assert kinds["colour"] == ("category", 1) and kinds["day"][0] == "date" and "same" not in kinds


def test_values_and_levels_are_the_users_own():
    table, state = learned()
    places = {place.name: place for place in column_places(state)}
    sizes = values_of(table, places["size"])
    assert np.isnan(sizes[[0, 7, 28]]).all() and sizes[3] == 1.11
    years = values_of(table, places["day"])
    assert abs(years[0] - (2021 + 9 / 365)) < 1e-2 and years[4] > years[3]
    names = [level_name(places["colour"], code) for code in range(4)]
    assert names == [RARE, EMPTY, "blue", "red"]
