from __future__ import annotations

import pyarrow as pa
import pytest
import torch

from deepen.core.errors import DataError
from deepen.prepare import label_sets
from deepen.prepare.label_sets import LabelSetAnswer


def table(*sets):
    sources = [f"a.jsonl, line {row + 1}" for row in range(len(sets))]
    return pa.table({"labels": pa.array(sets, pa.list_(pa.string())), "source": sources})


def test_names_are_all_that_occur_in_natural_order():
    faults = []
    assert label_sets.learn(table(["b", "a10"], [], ["a9 ", "b"], None), "labels", faults=faults) == ["a9", "a10", "b"]
    assert label_sets.learn(table(["x"], []), "labels", faults=faults) == ["x"]
    assert label_sets.learn(table(["x"]), "labels", faults=faults, given=("y", "z")) == ["y", "z"]
    assert faults == []


def test_a_probable_typing_error_is_a_warning_with_its_place():
    faults = []
    label_sets.learn(table(*[["sports", "news"]] * 41, ["sprots"]), "labels", faults=faults)
    assert [(fault.kind, fault.place) for fault in faults] == [("label-typo", "a.jsonl, line 42")]


def test_no_label_at_all_is_refused():
    with pytest.raises(DataError, match="'labels': no training row has a label"):
        label_sets.learn(table([], None, [" "]), "labels", faults=[])


def test_sets_become_zeros_and_ones_and_a_null_is_a_bad_sample():
    faults = []
    found, rows = label_sets.encode(table(["b"], None, [], ["c", "a"]), "labels", ["a", "b", "c"], "val", faults)
    assert rows.tolist() == [0, 2, 3]
    assert found.tolist() == [[0, 1, 0], [0, 0, 0], [1, 0, 1]]
    assert [(fault.level, fault.kind, fault.place, fault.row) for fault in faults] == [
        ("sample", "label-missing", "a.jsonl, line 2", 1)
    ]


def test_an_unknown_label_is_passed_over_or_refused_where_names_are_given():
    for given, level in ((False, "warning"), (True, "error")):
        faults = []
        found, rows = label_sets.encode(table(["a", "bb"]), "labels", ["a", "b"], "test", faults, given=given)
        assert found.tolist() == [[1, 0]] and rows.tolist() == [0]
        assert faults[0].level == level and "'bb'" in faults[0].message


def test_an_answer_holds_what_reaches_its_threshold():
    logits = torch.tensor([[0.0, -1.0, 3.0], [-5.0, -5.0, -5.0]])
    first, second = label_sets.answers(logits, ["a", "b", "c"], [0.5, 0.2, 0.99], ["x", "y"], top=2)
    assert first.labels == ("a", "b") and first.label == "a, b"
    assert [each.label for each in first.top] == ["c", "a"]
    assert first.top[1].probability == 0.5
    assert second == LabelSetAnswer("y", "", (), second.top)
    assert [each.label for each in second.top] == ["a", "b"]  # ties in the order of the labels
