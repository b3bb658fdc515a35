"""Labels of every kind: counted by hand, and estimated through the mistakes of a run."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from deepen.data.dataset import Schema
from deepen.data.target import Target, mark_target
from deepen.verbs.shift_labels import NONE, compared, numbers_in, target_in


def shares(old: pa.Table, new: pa.Table, target: Target) -> dict[str, tuple[float, float]]:
    found = compared(None, {}, old, new, target)
    assert found.shift is not None and found.how == "counted"
    return {
        name: (round(float(a), 4), round(float(b), 4))
        for name, a, b in zip(found.names, found.shift.old, found.shift.new, strict=True)
    }


def test_each_task_says_what_it_learns() -> None:
    none = Schema((), (), "")
    cells = {name: pa.table({name: ["1.0"]}) for name in ("label", "labels", "tags", "score", "price")}
    assert target_in("text-classification", cells["label"], none) == ("label", "class")
    assert target_in("text-classification", cells["labels"], none) == ("labels", "label set")
    assert target_in("text-pair-classification", cells["score"], none) == ("score", "number")
    assert target_in("token-tagging", cells["tags"], none) == ("tags", "tags")
    assert target_in("tabular-regression", mark_target(cells["price"], "price"), none) == ("price", "number")
    assert target_in("tabular-classification", mark_target(cells["price"], "price"), none) == ("price", "class")
    assert target_in("image-classification", cells["label"], Schema((), ("image",), "label")) == ("label", "class")
    assert target_in("text-classification", cells["price"], none) is None


def test_classes_by_hand_under_one_name_each() -> None:
    old, new = pa.table({"y": ["1", "2", " 2", None]}), pa.table({"y": [1.0, 1.0, 2.0, 1.0]})
    assert shares(old, new, Target("y", "class")) == {"1": (0.3333, 0.75), "2": (0.6667, 0.25)}


def test_sets_of_labels_by_hand_each_for_itself() -> None:
    old = pa.table({"labels": [["a", "b"], ["a"], [], None]})
    new = pa.table({"labels": [["b", "b "], ["c"]]})
    found = shares(old, new, Target("labels", "label set"))
    assert found == {"a": (0.6667, 0), "b": (0.3333, 0.5), "c": (0, 0.5)}


def test_tags_by_hand_as_types_of_entities_or_as_they_are() -> None:
    old = pa.table({"tags": [["B-x", "I-x", "O"], ["O"]]})
    new = pa.table({"tags": [["S-y"], ["B-x", "E-x"]]})
    assert shares(old, new, Target("tags", "tags")) == {"O": (0.5, 0), "x": (0.5, 0.6667), "y": (0, 0.3333)}
    old, new = pa.table({"tags": [["NOUN", "VERB"]]}), pa.table({"tags": [["NOUN"]]})
    assert shares(old, new, Target("tags", "tags")) == {"NOUN": (0.5, 1), "VERB": (0.5, 0)}


def test_numbers_have_no_shares_but_are_compared_as_numbers() -> None:
    table, target = pa.table({"y": ["1.5", "x", "2"]}), Target("y", "number")
    assert compared(None, {}, table, table, target) is NONE
    np.testing.assert_array_equal(numbers_in(table, target), [1.5, 2])
    assert numbers_in(table, Target("z", "number")) is None and numbers_in(table, Target("y", "class")) is None


def test_without_labels_and_a_run_there_are_no_shares() -> None:
    old, new = pa.table({"label": ["a", "b"]}), pa.table({"text": ["x"]})
    for pair in ((old, new), (new, old)):
        assert compared(None, {}, *pair, Target("label", "class")) is NONE
    assert pytest.approx(0.5) == shares(old, old, Target("label", "class"))["a"][0]
