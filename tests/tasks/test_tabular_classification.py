"""Table classification: from raw cells to answers."""

import numpy as np
import pyarrow as pa
import pytest
import torch

from deepen.data.columns import with_origin
from deepen.data.dataset import Dataset
from deepen.data.target import mark_target
from deepen.models import tabm
from deepen.ops.losses import cross_entropy_sum
from deepen.prepare.encoded import Draws
from deepen.tasks.tabular_classification import TINY, Options, Task, learn, schema

SMALL = tabm.Options(members=2, width=5, dropout=0.0)


def table(count=60, **changes):
    columns = {
        "n": [f"{0.5 + row * 7 % 31}" for row in range(count)],
        "c": [("a", "b", "c")[row % 3] for row in range(count)],
        "y": [("no", "yes")[row * 7 % 31 > 15] for row in range(count)],
    } | changes
    made = pa.table({name: pa.array(cells, pa.string()) for name, cells in columns.items()})
    return mark_target(with_origin(made, [f"t.csv, row {row + 2}" for row in range(count)]), "y")


def learned(made, labels=()):
    faults = []
    state = learn(Options(), made, Dataset("t", "", {"all": made}, labels), faults)
    return Task(Options(), state, SMALL), faults


def test_rows_become_numbers_categories_and_labels():
    made = table()
    task, faults = learned(made)
    assert schema(Options()).readers == ("table_file",) and task.labels == ["no", "yes"]
    encoded = task.encode(made, "train", faults)
    assert {name: tuple(t.shape) for name, t in encoded.tensors.items()} == {
        "numbers": (60, 1),
        "categories": (60, 1),
        "label": (60,),
    }
    batch = task.batch(encoded, np.array([3, 1]), Draws(0, 0))
    assert batch.count == 2 and batch["label"].tolist() == [
        int(made.column("y")[row].as_py() == "yes") for row in (3, 1)
    ]


def test_rows_without_a_class_or_with_a_bad_cell_are_left_out_together():
    cells = table().column("y").to_pylist()
    cells[4], cells[9] = None, "NaN"
    numbers = table().column("n").to_pylist()
    numbers[9], numbers[11] = "inf", "inf"
    made = table(y=cells, n=numbers)
    task, _ = learned(made)
    faults = []
    encoded = task.encode(made, "train", faults)
    assert len(encoded) == 57 and encoded.source(4) == "t.csv, row 7"
    assert sorted({fault.row for fault in faults}) == [4, 9, 11] and {fault.level for fault in faults} == {"sample"}
    assert len(encoded.tensors["label"]) == len(encoded.tensors["numbers"]) == 57


def test_no_target_is_needed_to_answer_and_neighbours_do_not_matter():
    task, _ = learned(table())
    encoded = task.encode(table().drop_columns(["y"]), "predict", [])
    assert "label" not in encoded.tensors
    torch.manual_seed(0)
    model = task.build().eval()
    rows = np.arange(7)
    answers = task.answer(model, task.batch(encoded, rows, None), [encoded.source(row) for row in rows])
    alone = task.answer(model, task.batch(encoded, rows[3:4], None), [encoded.source(3)])[0]
    assert alone.source == "t.csv, row 5" and alone.label == answers[3].label
    assert alone.probability == pytest.approx(answers[3].probability, abs=1e-6)
    assert sum(each.probability for each in alone.top) == pytest.approx(1, abs=1e-6)


def test_the_loss_is_the_mean_of_the_members():
    made = table()
    task, _ = learned(made)
    encoded = task.encode(made, "train", [])
    torch.manual_seed(0)
    model = task.build().train()
    batch = task.batch(encoded, np.arange(13), Draws(0, 0))
    each = model(batch["numbers"], batch["categories"])
    expected = sum(cross_entropy_sum(each[:, m], batch["label"]) for m in range(2)) / 2
    assert torch.allclose(task.loss(model, batch).sum, expected)


def test_stated_labels_keep_their_order():
    task, _ = learned(table(), labels=("yes", "no"))
    assert task.labels == ["yes", "no"]


def test_figures_show_the_rows_themselves():
    made = table()
    task, _ = learned(made)
    encoded = task.encode(made, "test", [])
    metrics = task.metrics()
    task.score(task.build().eval(), task.batch(encoded, np.arange(60), None), metrics)
    figures = task.figures(metrics, encoded)
    gallery = next(figure for figure in figures if type(figure).__name__ == "Gallery")
    assert gallery.samples[0].text.startswith("n: ") and "t.csv, row" in gallery.samples[0].caption[-1]


def test_tiny_is_the_same_for_the_same_seed():
    first, second = TINY.make(3).tables["all"], TINY.make(3).tables["all"]
    assert first.equals(second) and not first.equals(TINY.make(4).tables["all"])
