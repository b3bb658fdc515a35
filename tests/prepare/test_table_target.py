"""The column to learn: classes and numbers."""

import numpy as np
import pyarrow as pa
import pytest

from deepen.core.errors import DataError
from deepen.prepare.table_target import (
    learn_number_scale,
    look_at_classes,
    numbers_with_faults,
    skewness,
    target_cells,
    to_learned,
    with_classes,
)


def table(cells):
    column = cells if isinstance(cells, pa.Array) else pa.array(cells, pa.string())
    return pa.table({"y": column, "source": [f"t.csv, row {row + 2}" for row in range(len(column))]})


def scale_of(cells, transform="auto"):
    faults = []
    return learn_number_scale(target_cells(table(cells), "y"), "y", transform, faults), faults


def test_empty_and_nan_are_no_class_but_na_and_none_are():
    cells = [" a", "", None, "NaN", "NA", "None"]
    assert with_classes(table(cells), "y").column("y").to_pylist() == ["a", None, None, None, "NA", "None"]
    faults = []
    look_at_classes(target_cells(table(cells), "y"), "y", faults)
    assert [fault.level for fault in faults] == ["note", "note"] and "'NA' is taken as a class of 1" in faults[
        0
    ].message


@pytest.mark.parametrize(
    ("cells", "words"),
    [
        ([f"{row}.5" for row in range(60)], "tabular-regression"),
        ([f"name {row}" for row in range(60)], "60 classes in 60 rows"),
    ],
)
def test_what_is_no_class_column_is_refused(cells, words):
    faults = []
    look_at_classes(target_cells(table(cells), "y"), "y", faults)
    assert [fault.level for fault in faults] == ["error"] and words in faults[0].message


def test_a_target_that_is_not_there_or_holds_lists():
    with pytest.raises(DataError, match="no column 'Y' to learn; did you mean y"):
        target_cells(table(["a"]), "Y")
    with pytest.raises(DataError, match="'y' holds list"):
        target_cells(table(pa.array([[1], [2]])), "y")


def test_skewness_by_hand():
    assert skewness(np.array([0.0, 0.0, 3.0])) == pytest.approx(2**-0.5)  # mean 1, variance 2, third moment 2


def test_the_logarithm_is_learned_where_it_helps():
    prices = np.exp(np.linspace(-2, 2, 50) ** 3 / 4)
    scale, faults = scale_of([f"{price:.9g}" for price in prices])
    assert scale["log"] and faults[0].kind == "target-log" and faults[0].level == "note"
    learned = to_learned(prices, scale)
    assert learned.mean() == pytest.approx(0, abs=1e-6) and learned.std() == pytest.approx(1, abs=1e-6)
    assert not scale_of([str(value) for value in range(50)])[0]["log"]
    assert not scale_of([f"{price - 1:.9g}" for price in prices])[0]["log"], "not all are positive"
    assert not scale_of([f"{price:.9g}" for price in prices], "none")[0]["log"]


@pytest.mark.parametrize(
    ("cells", "transform", "words"),
    [
        (["a", "b", "a"], "auto", "holds 'a', expected numbers; for classes use tabular-classification"),
        (["5", "5.0"], "auto", "every row is 5"),
        (["0", "1", "2"], "log", "holds 0, which has no logarithm"),
        (["", None], "auto", "holds 'nothing'"),
    ],
)
def test_what_is_no_number_to_learn_is_refused(cells, transform, words):
    _, faults = scale_of(cells, transform)
    assert [fault.level for fault in faults] == ["error"] and words in faults[0].message


def test_rows_without_a_number_are_named():
    made = table(["1", "NA", "x", "inf", "-1"])
    faults = []
    values = numbers_with_faults(made, target_cells(made, "y"), "y", "val", faults, positive=True)
    assert np.isnan(values).tolist() == [False, True, True, True, True]
    assert [(fault.row, fault.kind, fault.place) for fault in faults] == [
        (1, "target-empty", "t.csv, row 3"),
        (2, "target-bad", "t.csv, row 4"),
        (3, "target-bad", "t.csv, row 5"),
        (4, "target-bad", "t.csv, row 6"),
    ]
