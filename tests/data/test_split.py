"""Splits: given, cut, and what is said about them."""

from __future__ import annotations

import hashlib
from collections import Counter

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deepen.core.errors import DataError
from deepen.core.faults import Fault
from deepen.data.dataset import Dataset, Schema
from deepen.data.split import folds, split

SCHEMA = Schema(("image_folder",), ("image",), "label")


def table(count: int, classes: int = 2, start: int = 0, *, groups: int = 0) -> pa.Table:
    numbers = range(start, start + count)
    columns = {
        "label": [f"class {number % classes}" for number in numbers],
        "source": [f"file {number}" for number in numbers],
        "key": [hashlib.blake2b(str(number).encode(), digest_size=16).hexdigest() for number in numbers],
    }
    if groups:
        columns["person"] = [f"p{number % groups}" for number in numbers]
    return pa.table(columns)


def cut(
    tables: dict[str, pa.Table], seed: int = 0, schema: Schema = SCHEMA, **options
) -> tuple[dict[str, pa.Table], str, list[Fault]]:
    faults: list[Fault] = []
    found = split(Dataset("made", "", tables), schema, seed=seed, faults=faults, **options)
    return found.tables, found.summary, faults


def sources(part: pa.Table) -> list[str]:
    return part.column("source").to_pylist()


def test_everything_is_cut_in_proportion() -> None:
    parts, summary, faults = cut({"all": table(100, classes=4)})
    for name in ("val", "test"):
        assert len(Counter(parts[name].column("label").to_pylist())) == 4
    assert sorted(source for part in parts.values() for source in sources(part)) == sorted(sources(table(100)))
    assert "held out for testing" in summary
    assert summary.endswith("seed 0")
    assert faults == []


@given(order=st.permutations(range(40)))
@settings(max_examples=20, deadline=None, derandomize=True)
def test_the_order_of_rows_means_nothing(order: list[int]) -> None:
    """P5."""
    whole = table(40, classes=3)
    first, _, _ = cut({"all": whole})
    second, _, _ = cut({"all": whole.take(pa.array(order))})
    assert {name: part.to_pydict() for name, part in first.items()} == {
        name: part.to_pydict() for name, part in second.items()
    }


def test_another_seed_is_another_split() -> None:
    whole = {"all": table(200)}
    assert sources(cut(whole, seed=0)[0]["test"]) != sources(cut(whole, seed=1)[0]["test"])


def test_a_given_test_split_is_kept_and_val_is_cut_from_train() -> None:
    parts, summary, _ = cut({"train": table(200), "test": table(50, start=500)}, max_val=7)
    assert sorted(sources(parts["test"])) == sorted(sources(table(50, start=500)))
    assert 6 <= parts["val"].num_rows <= 8
    assert summary == f"200 train / 50 test as given; {parts['val'].num_rows} of train held out for validation, seed 0"


def test_all_three_given() -> None:
    parts, summary, _ = cut({"train": table(20), "val": table(4, start=100), "test": table(6, start=200)})
    assert {name: part.num_rows for name, part in parts.items()} == {"train": 20, "val": 4, "test": 6}
    assert summary == "20 train / 4 val / 6 test as given"


def test_equal_content_stays_on_one_side() -> None:
    whole = table(60)
    doubled = pa.concat_tables([whole, whole.set_column(1, "source", pa.array([f"copy {n}" for n in range(60)]))])
    parts, _, _ = cut({"all": doubled})
    keys = [set(part.column("key").to_pylist()) for part in parts.values()]
    assert not (keys[0] & keys[1] or keys[0] & keys[2] or keys[1] & keys[2])


def test_groups_stay_on_one_side_even_through_a_chain() -> None:
    schema = Schema(("image_folder",), ("image",), "label", group="person")
    whole = table(120, groups=15)
    keys = whole.column("key").to_pylist()
    keys[0] = keys[1]  # persons 0 and 1 share a picture
    whole = whole.set_column(2, "key", pa.array(keys))
    parts, _, _ = cut({"all": whole}, schema=schema)
    people = {name: set(part.column("person").to_pylist()) for name, part in parts.items()}
    assert not (people["train"] & people["test"] or people["train"] & people["val"] or people["val"] & people["test"])
    assert any({"p0", "p1"} <= side for side in people.values())


def test_small_classes() -> None:
    whole = pa.concat_tables([table(60, classes=1), table(1, 1, 100), table(2, 1, 200), table(3, 1, 300)])
    names = ["many"] * 60 + ["one"] + ["two"] * 2 + ["three"] * 3
    parts, _, faults = cut({"all": whole.set_column(0, "label", pa.array(names))})
    sides = {name: Counter(part.column("label").to_pylist()) for name, part in parts.items()}
    assert sides["train"]["one"] == 1
    assert (sides["train"]["two"], sides["test"]["two"]) == (1, 1)
    assert all(sides[side]["three"] == 1 for side in sides)
    assert [fault.message.split(";")[0] for fault in faults if fault.kind == "class-tiny"] == [
        "class 'one' has 1 sample",
        "class 'two' has 2 samples",
    ]


def test_numbers_to_learn_are_not_stratified() -> None:
    schema = Schema(("table_file",), (), "label", is_category=False)
    parts, _, faults = cut({"all": table(50, classes=50)}, schema=schema)
    assert parts["test"].num_rows == 5
    assert faults == []


@pytest.mark.parametrize(
    ("tables", "options", "words"),
    [
        ({"train": table(20), "test": table(0)}, {}, "its test part holds no sample"),
        ({"all": table(0)}, {}, "made: it holds no sample"),
        ({"test": table(5)}, {}, "there are only test data"),
        ({"all": table(9, classes=1)}, {}, "all 9 training samples have the label 'class 0'"),
        ({"all": table(9)}, {"val": 1.5}, "--val 1.5: expected a share from 0"),
        ({"all": table(9)}, {"val": 0.5, "test": 0.5}, "nothing is left to train on"),
    ],
)
def test_refusals(tables: dict[str, pa.Table], options: dict[str, float], words: str) -> None:
    with pytest.raises(DataError, match=words):
        cut(tables, **options)


def test_one_row_is_too_few() -> None:
    schema = Schema(("table_file",), (), "label", is_category=False)
    with pytest.raises(DataError, match="only 1 sample left to train on"):
        cut({"all": table(1)}, schema=schema)


def test_folds_test_every_sample_once() -> None:
    whole = table(53, classes=3)
    pairs = folds(whole, 5, seed=0, schema=SCHEMA)
    tested = [source for _, test in pairs for source in sources(test)]
    assert sorted(tested) == sorted(sources(whole))
    assert all(train.num_rows + test.num_rows == 53 for train, test in pairs)
    for _, test in pairs:
        counts = np.array(list(Counter(test.column("label").to_pylist()).values()))
        assert counts.max() - counts.min() <= 1 and len(counts) == 3


def test_too_many_folds() -> None:
    with pytest.raises(DataError, match="--folds 9: there are 4 separate samples"):
        folds(table(4), 9, seed=0, schema=SCHEMA)


def test_no_share_is_no_table() -> None:
    parts, _, _ = cut({"all": table(20)}, val=0.0, test=0.0)
    assert {name: part.num_rows for name, part in parts.items()} == {"train": 20}


def test_validation_data_stand_for_missing_test_data() -> None:
    parts, _, faults = cut({"train": table(20), "val": table(4, start=100)})
    assert sources(parts["test"]) == sources(parts["val"])
    assert [fault.kind for fault in faults] == ["test-missing"]


def test_the_fingerprint_is_of_content() -> None:
    """L17."""
    whole = table(20)
    keys = ["0" * 32, *whole.column("key").to_pylist()[1:]]
    changed = whole.set_column(2, "key", pa.array(keys))
    prints = [
        Dataset("made", "", {"all": rows}).fingerprint()
        for rows in (whole, whole.take(pa.array(range(19, -1, -1))), changed)
    ]
    assert prints[0] == prints[1] != prints[2]
