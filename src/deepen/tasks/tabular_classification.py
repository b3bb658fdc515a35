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
from torch import Tensor, nn

from deepen.core import names, rng
from deepen.core.faults import Fault
from deepen.core.figures import Figure, Sample
from deepen.data.columns import with_origin
from deepen.data.dataset import Dataset, Schema
from deepen.data.target import group_of, mark_target, target_of
from deepen.engine.task import Exported, Terms, Tiny
from deepen.explain.tables import TableExplainer
from deepen.metrics.classify import Classification, figures_of
from deepen.nn.contracts import CONTRACTS
from deepen.nn.noise import noisy
from deepen.nn.shapes import TableShape
from deepen.ops.combine import mean_class_logits
from deepen.ops.losses import Loss, cross_entropy_sum, spread_over
from deepen.ops.members import flat_members
from deepen.ops.mixing import mixed_cross_entropy_sum, mixed_rows, pair_weights, partner_rows
from deepen.prepare import labels, table_graph, tabular
from deepen.prepare.answers import ClassAnswer, class_answers
from deepen.prepare.encoded import Batch, Draws, Encoded
from deepen.prepare.fields import Field, of_table
from deepen.prepare.table_target import look_at_classes, target_cells, with_classes
from deepen.prepare.tabular import ColumnOptions

CONTRACT = "table classifier"
COLUMNS = ColumnOptions()


@dataclass(frozen=True)
class Options:
    """Rows of a table in, classes out."""

    model: str = field(default="tabm", metadata={"help": "the network; `deepen list` names them"})
    columns: ColumnOptions = COLUMNS
    label_smoothing: float = field(default=0.0, metadata=spread_over("classes"))
    mixup: float = field(
        default=0.0,
        metadata={
            "help": "mix each row with another by a share from Beta(this, this), such as 0.2; 0: off",
            "least": 0.0,
            "prepares": False,
        },
    )
    input_noise: float = field(
        default=0.0,
        metadata={
            "help": "deviation of the noise on numbers in training, which vary by about 1",
            "least": 0.0,
            "prepares": False,
        },
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
    state = tabular.learn(table, target, options.columns, faults, group=group_of(table))
    numbers, rows = labels.encode(table, target, classes, "train", [], given=bool(dataset.labels))
    tabular.warn_of_leaks(table.take(pa.array(rows)), state, numbers.numpy(), faults, is_class=True)
    return {**state, "labels": classes, "labels_given": bool(dataset.labels)}


class Task:
    """Table classification with what it learned from the training table."""

    objective: tuple[str, str] = ("cross_entropy", "min")

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
        """Numbers [B, F], categories [B, G], and labels [B] where there are any.

        Where `draws` is given and the options say so, rows are mixed with a partner of the training table; then there
        are the partner's `label_2` [B] and the `share` [B] of the row's own label too.
        """
        tensors = encoded.take(rows)
        if draws is not None and self.options.mixup:
            others = encoded.take(partner_rows(draws.seed, draws.epoch, rows, len(encoded)))
            u = rng.uniform(draws.seed, draws.epoch, rows, 1 + tensors["categories"].shape[1], "mixing")
            mixed, share = mixed_rows(tensors, others, u, alpha=self.options.mixup)
            tensors |= mixed | {"label_2": others["label"], "share": share} | pair_weights(tensors, others)
        return Batch(tensors, len(rows), rows)

    def build(self) -> nn.Module:
        """The network for these columns and classes."""
        named = names.model(self.options.model, CONTRACT)
        module = importlib.import_module(named.module)
        shape = TableShape(*tabular.shape_of(self.state), rows=self.state["num_rows"])
        return module.build(named.name, shape, len(self.labels), self.network or module.Options())

    def sample(self) -> list[Tensor]:
        """Numbers [1, F] and categories [1, G], all zero."""
        return CONTRACTS[CONTRACT].sample(TableShape(*tabular.shape_of(self.state)))

    def loss(self, model: nn.Module, batch: Batch) -> Loss:
        """Cross-entropy; of a network of several members, the mean of theirs."""
        outputs = model(self._noisy(batch["numbers"]), batch["categories"])
        logits, targets, members = flat_members(outputs, batch["label"])
        weights = flat_members(outputs, batch["weight"])[1] if "weight" in batch.tensors else None
        more: dict[str, Any] = {"label_smoothing": self.options.label_smoothing, "weights": weights}
        if "share" not in batch.tensors:
            return Loss(cross_entropy_sum(logits, targets, **more) / members)
        others, share = (flat_members(outputs, batch[name])[1] for name in ("label_2", "share"))
        return Loss(mixed_cross_entropy_sum(logits, targets, others, share, **more) / members)

    def _noisy(self, numbers: Tensor) -> Tensor:
        """[B, F]; what says that a number is missing gets no noise."""
        if self.options.input_noise == 0:
            return numbers
        measures = torch.from_numpy(tabular.measures_of(self.state)).to(numbers.device)
        return noisy(numbers, self.options.input_noise, where=measures)

    def metrics(self) -> Classification:
        """Accuracy and its company."""
        return Classification(len(self.labels))

    def score(self, model: nn.Module, batch: Batch, metrics: Classification) -> None:
        """Adds a batch's logits."""
        self.score_outputs(self.outputs(model, batch), batch, metrics)

    def answer(self, model: nn.Module, batch: Batch, sources: Sequence[str]) -> list[ClassAnswer]:
        """The most probable classes of each row."""
        return self.answer_outputs(self.outputs(model, batch), batch, sources)

    @property
    def terms(self) -> Terms:
        """The classes, in the order of the logits."""
        return Terms(self.state["target"], tuple(self.labels))

    def outputs(self, model: nn.Module, batch: Batch) -> Tensor:
        """Logits [B, K]."""
        return model(batch["numbers"], batch["categories"])

    def combine(self, outputs: Sequence[Tensor], weights: Sequence[float]) -> Tensor:
        """Logits of the mean of the probabilities."""
        return mean_class_logits(outputs, weights)

    def score_outputs(self, outputs: Tensor, batch: Batch, metrics: Classification) -> None:
        """Adds logits [B, K]."""
        metrics.add(outputs, batch["label"], batch.rows)

    def answer_outputs(self, outputs: Tensor, batch: Batch, sources: Sequence[str]) -> list[ClassAnswer]:
        """The most probable classes by logits [B, K]."""
        return class_answers(outputs, self.labels, sources, top=self.options.top)

    def figures(self, metrics: Classification, encoded: Encoded) -> list[Figure]:
        """Confusion, per-class figures, calibration, and the worst mistakes with their rows."""
        return figures_of(metrics, self.labels, lambda row: _sample(encoded, row))

    def exported(self, model: nn.Module) -> Exported:
        """Logits from numbers as they stand in the table and categories; the scaling is in the graph."""
        inputs = table_graph.examples(self.state)
        answer = {
            "kind": "classes",
            "labels": self.labels,
            "target": self.state["target"],
            "given": bool(self.state["labels_given"]),
            "top": self.options.top,
            "cells": True,
        }
        return Exported(
            network=table_graph.TableGraph(model, self.state).eval(),
            inputs=inputs,
            free={name: {0: "batch"} for name in inputs},
            preparation={"kind": "table", "table": table_graph.without_scaling(self.state)},
            answer=answer,
            outputs=self.outputs,
        )

    def fields(self) -> list[Field]:
        """The columns that were learned from."""
        return of_table(self.state)

    def explainer(self) -> TableExplainer:
        """Explains which columns an answer comes from."""
        return TableExplainer(self, self.state, truth="label")


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
