"""Samples of another run's kind: told apart, numbered, and found again behind a preparation that leaves some out."""

import numpy as np
import pyarrow as pa
import pytest
import torch

from deepen.core.errors import DataError
from deepen.core.faults import Fault
from deepen.data.target import mark_target
from deepen.engine import run_samples
from deepen.prepare.encoded import Encoded


@pytest.mark.parametrize(
    ("columns", "inputs", "called"),
    [
        (("text",), ("text",), "texts"),
        (("text_a", "text_b"), ("text_a", "text_b"), "pairs of texts"),
        (("tokens",), ("tokens",), "sentences"),
        (("age", "text"), (), "tables"),
    ],
)
def test_samples_are_told_apart_by_their_columns(columns, inputs, called):
    table = pa.table({name: ["x"] for name in columns})
    if called == "tables":
        table = mark_target(table, "age")
    assert run_samples.kind_of(table) == run_samples.kind(inputs) == called
    assert not run_samples.is_other(table, inputs)
    assert run_samples.is_other(table, ("image",))


def test_plain_text_will_do_for_sentences():
    assert not run_samples.is_other(pa.table({"text": ["x"]}), ("tokens",))
    assert run_samples.is_other(pa.table({"tokens": [["x"]]}), ("text",))


def test_samples_are_found_again_by_their_numbers():
    table = pa.table({"text": ["a", "b", "c", "d", "e"]})
    left = run_samples.with_numbers(table).take([1, 2, 4])
    encoded, kept = run_samples.numbered(Encoded({"x": torch.zeros(3)}, left), table)
    assert kept.tolist() == [1, 2, 4] and encoded.table.column_names == ["text"]


def test_without_numbers_every_sample_must_be_there():
    table = pa.table({"text": ["a", "b"], "source": ["f.txt:1", "f.txt:2"]})
    plain = pa.table({"other": np.zeros(2)})
    _, kept = run_samples.numbered(Encoded({"x": torch.zeros(2)}, plain), table)
    assert kept.tolist() == [0, 1]
    with pytest.raises(DataError, match="expected one line of text in each sample, but 2 samples hold 3"):
        run_samples.numbered(Encoded({"x": torch.zeros(3)}, plain.take([0, 1, 1])), table)


def test_faults_are_of_the_split_that_was_asked_for():
    faults = [
        Fault("sample", "empty", "predict", "holds nothing", split="predict"),
        Fault("note", "column-extra", "f.csv", "has more"),
    ]
    assert [(each.kind, each.place, each.split) for each in run_samples.known(faults, "val")] == [
        ("empty", "val", "val")
    ]
