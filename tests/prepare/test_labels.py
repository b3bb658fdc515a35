"""Class names and their numbers."""

from __future__ import annotations

import pyarrow as pa
import pytest

from deepen.core.class_names import in_order, merged
from deepen.core.errors import DataError
from deepen.core.faults import Fault
from deepen.prepare import labels


def table(values: list, kind: pa.DataType | None = None) -> pa.Table:
    return pa.table({"label": pa.array(values, kind), "source": [f"row {row}" for row in range(len(values))]})


def learned(values: list) -> tuple[list[str], list[Fault]]:
    faults: list[Fault] = []
    return labels.learn(table(values), "label", faults=faults), faults


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (["b", "a", " a "], ["a", "b"]),
        (["10", "9", "1.0", "1"], ["1", "9", "10"]),
        ([3, 20, 3], ["3", "20"]),
        ([True, False], ["false", "true"]),
        (["007", "7", "8"], ["007", "7", "8"]),
        (["a10", "a9"], ["a9", "a10"]),
    ],
)
def test_names(values: list, expected: list[str]) -> None:
    assert learned(values)[0] == expected


def test_given_names_stay_as_they_are() -> None:
    assert labels.learn(table(["x"]), "label", faults=[], given=("b", "a")) == ["b", "a"]


@pytest.mark.parametrize(
    ("values", "words"),
    [(["a", "a"], "all 2 training samples have the label 'a'"), ([None, ""], "no training row has a label")],
)
def test_refusals(values: list, words: str) -> None:
    with pytest.raises(DataError, match=words):
        labels.learn(table(values, pa.string()), "label", faults=[])


def test_too_many_classes() -> None:
    with pytest.raises(DataError, match="has 10,001 different labels"):
        learned([f"name {number}" for number in range(10_001)])


def test_a_typing_error_beside_a_large_class() -> None:
    names, faults = learned(["cats"] * 40 + ["dogs"] * 40 + ["ctas"])
    assert names == ["cats", "ctas", "dogs"]
    assert [(fault.level, fault.place) for fault in faults] == [("warning", "row 80")]
    assert "label 'ctas' has 1 sample and is near 'cats' with 40" in faults[0].message


def test_rare_but_far_or_rare_numbers_are_no_typing_errors() -> None:
    assert learned(["cats"] * 40 + ["zebra"])[1] == []
    assert learned(["1"] * 40 + ["11"])[1] == []


def test_names_that_differ_in_case() -> None:
    _, faults = learned(["Cat"] * 9 + ["cat"] * 5)
    assert [fault.message for fault in faults] == [
        "labels 'cat' (5) and 'Cat' (9) differ only in case; they are two classes."
    ]


def test_numbers_of_rows() -> None:
    faults: list[Fault] = []
    codes, kept = labels.encode(table(["b", None, "a", "b ", "c"]), "label", ["a", "b"], "test", faults)
    assert (codes.tolist(), kept.tolist()) == ([1, 0, 1], [0, 2, 3])
    assert [(fault.level, fault.kind, fault.place, fault.row) for fault in faults] == [
        ("sample", "label-missing", "row 1", 1),
        ("warning", "label-unseen", "row 4", 4),
    ]


def test_with_given_names_another_label_is_an_error() -> None:
    faults: list[Fault] = []
    labels.encode(table(["cats", "ctas"]), "label", ["cats", "dogs"], "train", faults, given=True)
    assert [fault.level for fault in faults] == ["error"]
    assert (
        faults[0].message == "label 'ctas' is not one of the 2 known; nearest is 'cats'. Fix the row or pass --labels."
    )


def test_floats_find_their_class() -> None:
    codes, _ = labels.encode(table(["1.0", "0", "1"]), "label", ["0", "1"], "test", [])
    assert codes.tolist() == [1, 0, 1]


def test_merged_only_if_all_are_numbers() -> None:
    assert merged(["1.0", "a"]) == {"1.0": "1.0", "a": "a"}
    assert in_order(["b", "A", "c"]) == ["A", "b", "c"]
