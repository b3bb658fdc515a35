"""Samples with several labels, and sentences with tags: cut in proportion, compared and warned about."""

from __future__ import annotations

from collections import Counter

import pyarrow as pa
import pytest

from deepen.core.errors import DataError
from deepen.core.faults import Fault
from deepen.data.dataset import Dataset, Schema, content_key
from deepen.data.split import folds, split
from deepen.data.split_checks import class_sets, label_texts
from deepen.data.target import mark_target

LABELS = Schema(("text_table",), ("text",), "label")
TAGS = Schema(("conll",), ("tokens",), "tags")


def table(rows: list[list[str] | None], column: str = "labels", keys: list[str] | None = None) -> pa.Table:
    made = pa.table(
        {
            column: pa.array(rows, pa.list_(pa.string())),
            "source": [f"row {number}" for number in range(len(rows))],
            "key": keys or [content_key(str(number).encode()) for number in range(len(rows))],
        }
    )
    return mark_target(made, column)


def test_a_sample_of_several_labels_counts_for_its_rarest() -> None:
    rows = table([["a", "b"], ["a"], ["a", "c"], [], None, ["b", "a", "b"]])
    assert label_texts(rows, LABELS) == ["b", "a", "c", None, None, "b"]
    assert class_sets(rows, LABELS) == [("a", "b"), ("a",), ("a", "c"), (), (), ("a", "b")]


def test_a_rare_label_is_on_every_side() -> None:
    rows = table([["a", "b"] if number % 23 == 0 else ["a"] for number in range(230)])
    for seed in range(5):
        parts = split(Dataset("made", "", {"all": rows}), LABELS, seed=seed, faults=[]).tables
        counts = [sum("b" in row for row in part.column("labels").to_pylist()) for part in parts.values()]
        assert min(counts) >= 1 and sum(counts) == 10
    shares = [test.column("labels").to_pylist().count(["a", "b"]) for _, test in folds(rows, 5, seed=1, schema=LABELS)]
    assert shares == [2, 2, 2, 2, 2]


def test_equal_content_under_other_labels_contradicts_and_another_order_does_not() -> None:
    keys = ["1" * 32, "1" * 32, "2" * 32, "2" * 32, *(content_key(bytes([n])) for n in range(7))]
    rows = table([["a", "b"], ["b", "a"], ["a"], ["a", "b"], *[["a"], ["b"]] * 3, ["a"]], keys=keys)
    faults: list[Fault] = []
    split(Dataset("made", "", {"all": rows}), LABELS, seed=0, faults=faults)
    found = [fault for fault in faults if fault.kind == "label-contradiction"]
    assert [fault.place for fault in found] == ["row 3"] and "'a, b'" in found[0].message


def test_labels_that_are_tested_but_not_trained_are_said() -> None:
    faults: list[Fault] = []
    parts = {"train": table([["a"], ["b"]] * 5), "test": table([["a", "z"], ["b"]])}
    split(Dataset("made", "", parts), LABELS, seed=0, faults=faults)
    assert [fault.place for fault in faults if fault.kind == "class-unseen"] == ["row 0"]
    assert not [fault for fault in faults if fault.kind == "class-dominant"]


def test_tags_divide_the_sentences_and_their_order_is_content() -> None:
    tags = [["O", "B-x"] if number % 10 == 0 else ["O", "O"] for number in range(100)]
    faults: list[Fault] = []
    parts = split(Dataset("made", "", {"all": table(tags, "tags")}), TAGS, seed=0, faults=faults).tables
    assert Counter(tuple(row) for row in parts["test"].column("tags").to_pylist())["O", "B-x"] == 1
    assert not [fault for fault in faults if fault.kind != "split-overlap"]
    with pytest.raises(DataError, match="all 10 training samples have the label 'O'"):
        split(Dataset("made", "", {"all": table([["O"]] * 10, "tags")}), TAGS, seed=0, faults=[])


def test_one_label_that_some_samples_lack_is_two_classes_and_one_that_none_lacks_is_refused() -> None:
    split(Dataset("made", "", {"all": table([["a"], []] * 10)}), LABELS, seed=0, faults=[])
    with pytest.raises(DataError, match="'a'"):
        split(Dataset("made", "", {"all": table([["a"]] * 10)}), LABELS, seed=0, faults=[])


def test_the_fingerprint_holds_the_labels_but_not_their_order() -> None:
    def fingerprint(*rows: list[str]) -> str:
        return Dataset("made", "", {"all": table(list(rows))}).fingerprint()

    assert fingerprint(["a", "b"], ["c"]) == fingerprint(["b", "a"], ["c"])
    assert len({fingerprint(["a", "b"], ["c"]), fingerprint(["a"], ["c"]), fingerprint(["c"], ["a", "b"])}) == 3
