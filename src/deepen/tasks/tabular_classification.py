"""Which of a set of classes a table's row belongs to.

Numbers, categories and dates are told apart by looking (prepare/column_types.py states the rules and what is said).
"""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from torch import nn

from deepen.core import names, rng
from deepen.core.faults import Fault
from deepen.core.figures import Figure, Sample
from deepen.data.columns import with_origin
from deepen.data.dataset import Dataset, Schema
from deepen.data.target import mark_target, target_of
from deepen.engine.task import Tiny
from deepen.metrics.classify import Classification, figures_of
from deepen.nn.shapes import TableShape
from deepen.ops.losses import Loss, cross_entropy_sum
from deepen.ops.members import flat_members
from deepen.prepare import labels, tabular
from deepen.prepare.answers import ClassAnswer, class_answers
from deepen.prepare.encoded import Batch, Draws, Encoded
from deepen.prepare.table_target import look_at_classes, target_cells, with_classes
from deepen.prepare.tabular import ColumnOptions

CONTRACT = "table predictor"
COLUMNS = ColumnOptions()


@dataclass(frozen=True)
class Options:
    """Rows of a table in, classes out."""

    model: str = field(default="tabm", metadata={"help": "the network; `deepen list` names them"})
    columns: ColumnOptions = COLUMNS
    label_smoothing: float = field(
        default=0.0, metadata={"help": "share of the target spread over all classes", "least": 0.0, "below": 1.0}
    )
    top: int = field(default=5, metadata={"help": "classes listed in an answer", "least": 1})


def schema(options: Options) -> Schema:
    """Reads any table; which column is the target, the reader finds out."""
    return Schema(readers=("table_file",), inputs=(), target="")


def learn(options: Options, table: pa.Table, dataset: Dataset, faults: list[Fault]) -> dict[str, Any]:
    """Class names, and how each column becomes numbers or categories."""
    target = target_of(table)
    table = with_classes(table, target)
    look_at_classes(target_cells(table, target), target, faults)
    classes = labels.learn(table, target, faults=faults, given=dataset.labels)
    table = table.filter(table.column(target).is_valid())
    state = tabular.learn(table, target, options.columns, faults)
    numbers, rows = labels.encode(table, target, classes, "train", [], given=bool(dataset.labels))
    tabular.warn_of_leaks(table.take(pa.array(rows)), state, numbers.numpy(), faults, is_class=True)
    return {**state, "labels": classes, "labels_given": bool(dataset.labels)}


class Task:
    """Table classification with what it learned from the training table."""

    objective = ("cross_entropy", "min")

    def __init__(self, options: Options, state: dict[str, Any], network: Any = None) -> None:
        self.options, self.state, self.network = options, state, network
        self.labels: list[str] = list(state["labels"])

    def encode(self, table: pa.Table, split: str, faults: list[Fault]) -> Encoded:
        """Numbers and categories, and labels as numbers where they are wanted."""
        rows, tensors = np.arange(table.num_rows), {}
        if split != "predict":
            classes = with_classes(table, self.state["target"])
            given = self.state["labels_given"]
            label, rows = labels.encode(classes, self.state["target"], self.labels, split, faults, given=given)
        numbers, categories, kept = tabular.encode(table, self.state, split, faults)
        both = np.intersect1d(rows, kept)
        place = np.searchsorted(kept, both)
        tensors["numbers"] = torch.from_numpy(numbers[place])
        tensors["categories"] = torch.from_numpy(categories[place])
        if split != "predict":
            tensors["label"] = label[torch.from_numpy(np.searchsorted(rows, both))]
        return Encoded(tensors, table if len(both) == table.num_rows else table.take(pa.array(both)))

    def batch(self, encoded: Encoded, rows: np.ndarray, draws: Draws | None) -> Batch:
        """Numbers [B, F], categories [B, G], and labels [B] where there are any; nothing is random."""
        return Batch(encoded.take(rows), len(rows), rows)

    def build(self) -> nn.Module:
        """The network for these columns and classes."""
        named = names.model(self.options.model, CONTRACT)
        module = importlib.import_module(named.module)
        shape = TableShape(*tabular.shape_of(self.state), rows=self.state["num_rows"])
        return module.build(named.name, shape, len(self.labels), self.network or module.Options())

    def loss(self, model: nn.Module, batch: Batch) -> Loss:
        """Cross-entropy; of a network of several members, the mean of theirs."""
        outputs = model(batch["numbers"], batch["categories"])
        logits, targets, members = flat_members(outputs, batch["label"])
        return Loss(cross_entropy_sum(logits, targets, label_smoothing=self.options.label_smoothing) / members)

    def metrics(self) -> Classification:
        """Accuracy and its company."""
        return Classification(len(self.labels))

    def score(self, model: nn.Module, batch: Batch, metrics: Classification) -> None:
        """Adds a batch's logits."""
        metrics.add(model(batch["numbers"], batch["categories"]), batch["label"], batch.rows)

    def answer(self, model: nn.Module, batch: Batch, sources: Sequence[str]) -> list[ClassAnswer]:
        """The most probable classes of each row."""
        logits = model(batch["numbers"], batch["categories"])
        return class_answers(logits, self.labels, sources, top=self.options.top)

    def figures(self, metrics: Classification, encoded: Encoded) -> list[Figure]:
        """Confusion, per-class figures, calibration, and the worst mistakes with their rows."""
        return figures_of(metrics, self.labels, lambda row: _sample(encoded, row))


def _sample(encoded: Encoded, row: int) -> Sample:
    cells = encoded.table.slice(row, 1).to_pylist()[0]
    text = "\n".join(f"{name}: {cell}" for name, cell in cells.items() if name not in tabular.OURS)
    return Sample(caption=[encoded.source(row)], text=text)


def _tiny(seed: int) -> Dataset:
    """Visitors who stay or leave: it depends on a number, a category, and whether a number is missing."""
    draw = rng.generator(seed, "tiny table")
    count = 400
    age, minutes = draw.uniform(18, 80, count), draw.exponential(5, count)
    city = draw.integers(0, 4, count)
    is_missing = draw.random(count) < 0.2
    score = (age - 50) / 12 + np.array([-2, -1, 1, 2])[city] + 2 * is_missing + draw.normal(0, 0.3, count)
    columns = {
        "age": [f"{value:.1f}" for value in age],
        "minutes": ["" if gone else f"{value:.2f}" for value, gone in zip(minutes, is_missing, strict=True)],
        "city": [("Oslo", "Lima", "Kyoto", "Accra")[each] for each in city],
        "stays": ["yes" if value > 0 else "no" for value in score],
    }
    table = pa.table({name: pa.array([cell or None for cell in cells], pa.string()) for name, cells in columns.items()})
    table = with_origin(table, [f"tiny.csv, row {row + 2}" for row in range(count)])
    return Dataset("tiny", f"made up: {count} rows, 2 classes", {"all": mark_target(table, "stays")})


TINY = Tiny(
    options={"epochs": 10, "batch_size": 32, "network.members": 4, "network.width": 16},
    make=_tiny,
    metric="accuracy",
    beats=0.8,
)
