"""Columns of a table: what each is taken for, how it is encoded, and which sentence refuses it."""

import json

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deepen.core.errors import DataError
from deepen.prepare.tabular import ColumnOptions, encode, learn, shape_of, warn_of_leaks

COUNT = 40


def table(**columns) -> pa.Table:
    length = len(next(iter(columns.values())))
    made = {n: c if isinstance(c, pa.Array) else pa.array(c, pa.string()) for n, c in columns.items()}
    source = pa.array([f"t.csv, row {row + 2}" for row in range(length)])
    return pa.table({**made, "source": source, "key": source})


def numbers(count=COUNT, start=0.5):
    return [f"{start + 1.7 * ((7 * row) % count):.2f}" for row in range(count)]


def words(*choices, count=COUNT):
    return [choices[row % len(choices)] for row in range(count)]


def learned(options=None, target="y", **columns):
    faults = []
    state = learn(table(**columns), target, options or ColumnOptions(), faults)
    assert json.loads(json.dumps(state)) == state
    return state, [fault for fault in faults if fault.level != "note"]


def kind_of(cells, **options):
    state, faults = learned(ColumnOptions(**options), x=cells, other=numbers())
    kinds = {column["name"]: column["kind"] for column in state["columns"]}
    return kinds.get("x", "left out"), [(fault.level, fault.kind, fault.sentence()) for fault in faults]


@pytest.mark.parametrize(
    ("cells", "kind"),
    [
        (numbers(), "number"),
        ([*numbers()[:-3], "NA", "?", None], "number"),
        (words("1", "2", "3+"), "category"),
        (words("a", "b", "c"), "category"),
        (words("007", "011", "020"), "category"),
        (words("2020-03-04", "2020-05-06 10:00", "NA"), "date"),
        (words("13.04.2020", "01.02.2020"), "date"),
        (words("4 March 2020", "Apr 5, 2020"), "date"),
        (words("True", "false", "TRUE"), "category"),
        (pa.array([0.5 * row for row in range(COUNT)]), "number"),
        (pa.array([row % 2 == 0 for row in range(COUNT)]), "category"),
        (pa.array([86_400 * row for row in range(COUNT)], pa.timestamp("s", tz="UTC")), "date"),
    ],
)
def test_what_a_column_is_taken_for(cells, kind):
    assert kind_of(cells) == (kind, [])


@pytest.mark.parametrize(
    ("cells", "level", "kind", "text"),
    [
        (words("same"), "warning", "column-empty", "column 'x': holds 'same' in every row; it is left out."),
        ([None] * COUNT, "warning", "column-empty", "holds no value"),
        ([str(row) for row in range(COUNT)], "warning", "column-id", "another whole number in every row"),
        ([f"{row:04}" for row in range(COUNT)], "warning", "column-id", "40 different values in 40 rows"),
        ([str(2**53 + 2 * row + 1) for row in range(COUNT)], "warning", "column-id", "identifier"),
        (
            [f"a nice long story number {row}" for row in range(COUNT)],
            "error",
            "column-text",
            "which tables do not learn",
        ),
        ([*numbers()[:-1], "abc"], "error", "not-a-number", "t.csv, row 41: column 'x' holds numbers but here 'abc'"),
        ([n.replace(".", ",") for n in numbers()], "error", "number-form", "t.csv, row 2: column 'x' holds '0,50'"),
        ([f"1,{100 + row}.5" for row in range(COUNT)], "error", "number-form", "--decimal"),
        ([f"\u2212{n}" for n in numbers()], "error", "number-form", "otherwise than 1234.5"),
        (
            words("01/02/2020", "03/04/2020"),
            "error",
            "date-ambiguous",
            "t.csv, row 2: column 'x': '01/02/2020' may have",
        ),
        (words("13/02/2020", "02/13/2020"), "error", "date-mixed", "'13/02/2020 and 02/13/2020' and others"),
        (
            words("2020-02-28", "2020-02-30"),
            "error",
            "date-impossible",
            "t.csv, row 3: column 'x': '2020-02-30' is no date",
        ),
        (words("yes", "True", "no"), "warning", "truth-mixed", "several ways (True, no, yes)"),
        (pa.array([[1]] * COUNT), "error", "column-type", "holds list<"),
    ],
)
def test_what_is_said_of_a_column(cells, level, kind, text):
    _, faults = kind_of(cells)
    assert [fault[:2] for fault in faults] == [(level, kind)]
    assert text in faults[0][2]


def test_a_number_far_outside_the_others_is_said_and_a_heavy_tail_is_not():
    cells = numbers()
    cells[5] = "1e38"
    _, faults = learned(x=cells, other=numbers())
    assert [fault.sentence() for fault in faults] == [
        "t.csv, row 7: column 'x' holds '1e38', but nine in ten cells lie between 3.815 and 65.185; "
        "if it is a slip, mend it or leave the cell empty."
    ]
    incomes = np.random.default_rng(0).pareto(1.1, 5003) * 20_000
    assert learned(x=[f"{income:.0f}" for income in incomes], other=numbers(5003))[1] == []


def test_nothing_is_learned_from_the_column_that_groups_the_rows():
    faults = []
    state = learn(table(person=words("p1", "p2", "p3"), x=numbers()), "y", ColumnOptions(), faults, group="person")
    assert [column["name"] for column in state["columns"]] == ["x"]
    assert state["left_out"] == {"person": "--group"}
    assert "column 'person': groups the rows (--group)" in faults[0].sentence()
    changed = table(x=numbers(), person=words("p9"))
    said = []
    encode(changed, state, "predict", said)
    assert not [fault for fault in said if fault.level == "warning"]


def test_the_user_may_say_what_a_column_is():
    assert kind_of([*numbers()[:-1], "abc"], as_category=("x",)) == ("category", [])
    assert kind_of(words("01/02/2020", "03/04/2020"), dates="day-first") == ("date", [])
    assert kind_of([str(row) for row in range(COUNT)], as_number=("x",)) == ("number", [])
    assert kind_of(words("a"), leave_out=("x",)) == ("left out", [])
    with pytest.raises(DataError, match=r"--columns\.leave-out othr: there is no such column; did you mean other"):
        kind_of(words("a"), leave_out=("othr",))


def test_nothing_to_learn_from_is_an_error():
    _, faults = learned(y=words("a", "b"), x=words("same"))
    assert [fault.kind for fault in faults] == ["column-empty", "no-features"]


def test_numbers_become_standard_normal_and_missing_ones_the_median_with_a_mark():
    cells = [*(str(10.0**row) for row in range(20)), None, "n/a"]
    state, _ = learned(x=cells)
    inputs, categories, kept = encode(table(x=cells), state, "train", [])
    assert inputs.shape == (22, 2) and categories.shape == (22, 0) and kept.tolist() == list(range(22))
    assert shape_of(state) == (2, ())
    assert np.all(np.diff(inputs[:20, 0]) > 0) and abs(inputs[:20, 0].mean()) < 1e-6
    assert inputs[20:, 1].tolist() == [1, 1] and inputs[:20, 1].sum() == 0
    assert abs(inputs[20, 0]) < 1e-6
    far, _, _ = encode(table(x=["1e300", "-1e300"]), state, "test", [])
    assert far[:, 0].tolist() == [inputs[19, 0], inputs[0, 0]], "beyond training nothing grows"


def test_two_values_are_centred_by_hand():
    state, _ = learned(x=["1", "3", "1", "3"])
    inputs, _, _ = encode(table(x=["1", "3"]), state, "test", [])
    assert inputs[:, 0].tolist() == [-1, 1]


def test_a_heap_of_zeros_leaves_room_for_the_rest():
    cells = ["0"] * 900 + [str(row + 1) for row in range(100)]
    state, _ = learned(x=cells)
    inputs, _, _ = encode(table(x=["0", "1", "50", "100"]), state, "test", [])
    assert inputs[0, 0] < -1 and inputs[3, 0] - inputs[1, 0] > 3


def test_dates_become_four_numbers_of_which_constant_ones_are_left_out():
    days = [f"2020-{1 + row % 12:02}-{1 + row % 28:02}" for row in range(COUNT)]
    state, _ = learned(x=days)
    assert [each is not None for each in state["columns"][0]["inputs"]] == [True, False, True, True]
    inputs, _, _ = encode(table(x=["2020-01-01", "2020-12-28"]), state, "test", [])
    assert inputs.shape == (2, 3) and np.all(inputs[0, :2] < inputs[1, :2])


def test_unknown_and_rare_categories_share_a_place_and_are_counted():
    cells = [*words("b", "a"), "c", None, None, None, "NA", "NA", "NA"]
    state, _ = learned(x=cells)
    assert state["columns"][0]["levels"] == ["", "NA", "a", "b"] and shape_of(state) == (0, (5,))
    faults = []
    _, codes, _ = encode(table(x=["a", "b", "c", "d", None, " a ", "NA"]), state, "test", faults)
    assert codes[:, 0].tolist() == [3, 4, 0, 0, 1, 3, 2]
    assert [fault.level for fault in faults] == ["note"] and "2 cells unknown" in faults[0].message


def test_truth_values_of_one_family_are_one_in_any_case():
    state, _ = learned(x=words("True", "false", "TRUE", "False"))
    assert state["columns"][0]["levels"] == ["false", "true"]


@pytest.mark.parametrize("cell", ["inf", "-Infinity", "1e400", "abc", "1,5"])
def test_a_cell_that_is_no_finite_number_costs_its_row(cell):
    state, _ = learned(x=numbers(), z=words("a", "b"))
    faults = []
    inputs, codes, kept = encode(table(x=["1", cell, "2"], z=["a", "b", "a"]), state, "val", faults)
    assert kept.tolist() == [0, 2] and len(inputs) == len(codes) == 2 and np.isfinite(inputs).all()
    assert [(fault.level, fault.split, fault.row, fault.place) for fault in faults] == [
        ("sample", "val", 1, "t.csv, row 3")
    ]
    assert repr(cell) in faults[0].message


def test_columns_are_found_by_name():
    state, _ = learned(x=numbers(), z=words("a", "b"))
    first = encode(table(x=["1", "2"], z=["a", "b"]), state, "test", [])
    faults = []
    second = encode(table(more=["1", "1"], z=["a", "b"], x=["1", "2"]), state, "test", faults)
    assert all(np.array_equal(one, other) for one, other in zip(first, second, strict=True))
    assert [(fault.level, fault.kind) for fault in faults] == [("warning", "column-extra")]
    with pytest.raises(DataError, match=r"t.csv: column 'x' \(there is 'X'\) is missing"):
        encode(table(X=["1"], z=["a"]), state, "test", [])


def leaks(target, is_class=True, **columns):
    faults = []
    made = table(y=[str(value) for value in target], **columns)
    state = learn(made, "y", ColumnOptions(), [])
    warn_of_leaks(made, state, np.asarray(target), faults, is_class=is_class)
    return [(fault.kind, fault.place) for fault in faults]


def test_columns_that_tell_the_target_are_named():
    classes = np.arange(60) % 2
    fair = [f"{value:.3f}" for value in np.random.default_rng(0).normal(size=60)]
    copy = [f"{3 - value + 0.001 * (index % 7):.3f}" for index, value in enumerate(classes)]
    assert leaks(classes, x=copy, fair=fair) == [("leak", "column 'x'")]
    assert leaks(classes, x=[("lo", "hi")[value] for value in classes], fair=fair) == [("leak", "column 'x'")]
    three = np.arange(60) % 3
    assert leaks(three, x=[str(value) for value in three], fair=fair) == [("leak", "column 'x'")]
    values = np.linspace(1, 9, 60)
    assert leaks(values, is_class=False, x=[f"{value**3:.4f}" for value in values], fair=fair) == [
        ("leak", "column 'x'")
    ]


def test_an_identifier_that_tells_the_target_means_a_sorted_file():
    classes = np.arange(60) // 30
    fair = [f"{value:.3f}" for value in np.random.default_rng(0).normal(size=60)]
    assert leaks(classes, n=[str(row) for row in range(60)], fair=fair) == [("leak-order", "column 'n'")]


@settings(max_examples=30, deadline=None)
@given(st.lists(st.floats(-1e6, 1e6).map(lambda value: f"{value:.6g}"), min_size=3, max_size=40, unique=True))
def test_the_order_of_numbers_is_kept(cells):
    state, _ = learned(x=cells, more=words("a", "b", count=len(cells)))
    if not any(column["name"] == "x" for column in state["columns"]):
        return
    inputs, _, _ = encode(table(x=cells, more=words("a", "b", count=len(cells))), state, "test", [])
    order = np.argsort([float(cell) for cell in cells])
    assert np.all(np.diff(inputs[order, 0]) >= 0)


@settings(max_examples=30, deadline=None)
@given(st.permutations(range(12)))
def test_the_order_of_rows_changes_nothing_that_is_learned(order):
    """P5."""
    columns = {"x": numbers(12), "z": words("a", "b", None, count=12), "y": words("p", "q", count=12)}
    twin, _ = learned(**columns)
    state, _ = learned(**{name: [cells[row] for row in order] for name, cells in columns.items()})
    assert state == twin
