"""A number for a table's row, such as a price.

Where the target's logarithm is learned (`target_transform`), an answer is the exponential of what the network says: the
median of the number, not its mean. No smearing correction (Duan 1983), which would give the mean, is applied, as it
would make the errors of ratio worse; the figures then hold rmse_log too, the root mean square of log(answer / truth).
"""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor, nn

from deepen.core import names, rng
from deepen.core.faults import Fault
from deepen.core.figures import Figure, Sample
from deepen.data.columns import with_origin
from deepen.data.dataset import Dataset, Schema
from deepen.data.target import Target, group_of, mark_target, target_of
from deepen.engine.task import Exported, Terms, Tiny
from deepen.explain.tables import TableExplainer
from deepen.metrics.regress import Regression, figures_of
from deepen.nn.contracts import CONTRACTS
from deepen.nn.noise import noisy
from deepen.nn.shapes import TableShape
from deepen.ops.combine import mean_values
from deepen.ops.losses import Loss, huber_sum, squared_error_sum
from deepen.ops.members import flat_members
from deepen.ops.mixing import mixed_rows, mixup, pair_weights, partner_rows
from deepen.prepare import table_graph, tabular
from deepen.prepare.answers import NumberAnswer
from deepen.prepare.encoded import Batch, Draws, Encoded
from deepen.prepare.fields import Field, of_table
from deepen.prepare.table_target import (
    known_numbers,
    learn_number_scale,
    numbers_with_faults,
    target_cells,
    to_learned,
)
from deepen.prepare.tabular import ColumnOptions

CONTRACT = "table regressor"
COLUMNS = ColumnOptions()


@dataclass(frozen=True)
class Options:
    """Rows of a table in, a number out."""

    model: str = field(default="tabm", metadata={"help": "the network; `deepen list` names them"})
    columns: ColumnOptions = COLUMNS
    target_transform: Literal["auto", "none", "log"] = field(
        default="auto", metadata={"help": "learn the target or its logarithm; auto: the logarithm of skewed positives"}
    )
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
    loss: Literal["mse", "huber"] = field(
        default="mse",
        metadata={
            "help": "squared error, or Huber's, which outliers pull less (beyond one deviation)",
            "search": "mse,huber",
            "prepares": False,
        },
    )


def schema(options: Options) -> Schema:
    """Reads any table; which column is the target, the reader finds out."""
    return Schema(readers=("table_file",), inputs=(), target="", is_category=False)


def learn(options: Options, table: pa.Table, dataset: Dataset, faults: list[Fault]) -> dict[str, Any]:
    """The scale of the target, and how each column becomes numbers or categories."""
    target = target_of(table)
    scale = learn_number_scale(target_cells(table, target), target, options.target_transform, faults)
    known = known_numbers(target_cells(table, target))
    table = table.filter(pa.array(known))
    state = tabular.learn(table, target, options.columns, faults, group=group_of(table))
    values = numbers_with_faults(table, target_cells(table, target), target, "train", [], positive=False)
    tabular.warn_of_leaks(table, state, values, faults, is_class=False)
    return {**state, "scale": scale}


def target(table: pa.Table) -> Target | None:
    """The number that the user named, where it is there."""
    name = target_of(table)
    return Target(name, "number") if name in table.column_names else None


class Task:
    """Table regression with what it learned from the training table."""

    def __init__(self, options: Options, state: dict[str, Any], network: Any = None) -> None:
        self.options, self.state, self.network = options, state, network
        self.scale: dict[str, Any] = state["scale"]
        self.objective: tuple[str, str] = ("rmse_log" if self.scale["log"] else "rmse", "min")

    def encode(self, table: pa.Table, split: str, faults: list[Fault]) -> Encoded:
        """Numbers and categories; where targets are wanted, as learned (`learned`) and as they are (`truth`)."""
        numbers, categories, kept = tabular.encode(table, self.state, split, faults)
        tensors = {}
        both = kept
        if split != "predict":
            name = self.state["target"]
            cells = target_cells(table, name)
            truth = numbers_with_faults(table, cells, name, split, faults, positive=self.scale["log"])
            both = np.intersect1d(kept, np.flatnonzero(np.isfinite(truth)))
            tensors["truth"] = torch.from_numpy(truth[both])
            tensors["learned"] = torch.from_numpy(to_learned(truth[both], self.scale).astype(np.float32))
        place = np.searchsorted(kept, both)
        tensors["numbers"] = torch.from_numpy(numbers[place])
        tensors["categories"] = torch.from_numpy(categories[place])
        return Encoded(tensors, table if len(both) == table.num_rows else table.take(pa.array(both)))

    def batch(self, encoded: Encoded, rows: np.ndarray, draws: Draws | None) -> Batch:
        """Numbers [B, F], categories [B, G], and targets [B] where there are any.

        Where `draws` is given and the options say so, rows and what is learned of them (`learned`, not `truth`) are
        mixed with those of a partner of the training table.
        """
        tensors = encoded.take(rows)
        if draws is not None and self.options.mixup:
            others = encoded.take(partner_rows(draws.seed, draws.epoch, rows, len(encoded)))
            u = rng.uniform(draws.seed, draws.epoch, rows, 1 + tensors["categories"].shape[1], "mixing")
            mixed, share = mixed_rows(tensors, others, u, alpha=self.options.mixup)
            learned = mixup(tensors["learned"], others["learned"], share)
            tensors |= mixed | {"learned": learned} | pair_weights(tensors, others)
        return Batch(tensors, len(rows), rows)

    def build(self) -> nn.Module:
        """The network for these columns."""
        named = names.model(self.options.model, CONTRACT)
        module = importlib.import_module(named.module)
        shape = TableShape(*tabular.shape_of(self.state), rows=self.state["num_rows"])
        return module.build(named.name, shape, 1, self.network or module.Options())

    def sample(self) -> list[Tensor]:
        """Numbers [1, F] and categories [1, G], all zero."""
        return CONTRACTS[CONTRACT].sample(TableShape(*tabular.shape_of(self.state)))

    def loss(self, model: nn.Module, batch: Batch) -> Loss:
        """Squared or Huber's error in deviations of the target; of several members, the mean of theirs."""
        outputs = model(self._noisy(batch["numbers"]), batch["categories"])
        answers, targets, members = flat_members(outputs, batch["learned"])
        weights = flat_members(outputs, batch["weight"])[1] if "weight" in batch.tensors else None
        error_sum = huber_sum if self.options.loss == "huber" else squared_error_sum
        return Loss(error_sum(answers[:, 0], targets, weights=weights) / members)

    def _noisy(self, numbers: Tensor) -> Tensor:
        """[B, F]; what says that a number is missing gets no noise."""
        if self.options.input_noise == 0:
            return numbers
        measures = torch.from_numpy(tabular.measures_of(self.state)).to(numbers.device)
        return noisy(numbers, self.options.input_noise, where=measures)

    def metrics(self) -> Regression:
        """Root mean square error and its company, on the target's own scale."""
        return Regression(scale="log" if self.scale["log"] else "linear")

    def score(self, model: nn.Module, batch: Batch, metrics: Regression) -> None:
        """Adds a batch's answers."""
        self.score_outputs(self.outputs(model, batch), batch, metrics)

    def answer(self, model: nn.Module, batch: Batch, sources: Sequence[str]) -> list[NumberAnswer]:
        """The number of each row."""
        return self.answer_outputs(self.outputs(model, batch), batch, sources)

    @property
    def terms(self) -> Terms:
        """The column that is answered."""
        return Terms(self.state["target"])

    def outputs(self, model: nn.Module, batch: Batch) -> Tensor:
        """The answers on the target's own scale, [B] float64."""
        return self._in_unit(model(batch["numbers"], batch["categories"]))

    def _in_unit(self, raw: Tensor) -> Tensor:
        """[B, 1] in deviations -> [B] float64"""
        values = raw[:, 0].double() * self.scale["deviation"] + self.scale["mean"]
        return values.exp() if self.scale["log"] else values

    def combine(self, outputs: Sequence[Tensor], weights: Sequence[float]) -> Tensor:
        """The mean of the numbers, whatever scale each run learned them on."""
        return mean_values(outputs, weights)

    def score_outputs(self, outputs: Tensor, batch: Batch, metrics: Regression) -> None:
        """Adds numbers [B]."""
        metrics.add(outputs, batch["truth"], batch.rows)

    def answer_outputs(self, outputs: Tensor, batch: Batch, sources: Sequence[str]) -> list[NumberAnswer]:
        """The number of each row."""
        return [NumberAnswer(source, value) for source, value in zip(sources, outputs.tolist(), strict=True)]

    def figures(self, metrics: Regression, encoded: Encoded) -> list[Figure]:
        """Answer against truth, errors, and the worst mistakes with their rows."""
        return figures_of(metrics, name=self.state["target"], samples=lambda row: _sample(encoded, row))

    def exported(self, model: nn.Module) -> Exported:
        """Numbers in the target's unit, float64, from numbers as they stand in the table and categories."""
        inputs = table_graph.examples(self.state)
        scale = {name: self.scale[name] for name in ("deviation", "log")}
        return Exported(
            network=table_graph.TableGraph(model, self.state, self._in_unit).eval(),
            inputs=inputs,
            free={name: {0: "batch"} for name in inputs},
            preparation={"kind": "table", "table": table_graph.without_scaling(self.state)},
            answer={"kind": "number", "target": self.state["target"], **scale},
            outputs=self.outputs,
        )

    def fields(self) -> list[Field]:
        """The columns that were learned from."""
        return of_table(self.state)

    def explainer(self) -> TableExplainer:
        """Explains which columns an answer comes from."""
        return TableExplainer(self, self.state, truth="truth")


def _sample(encoded: Encoded, row: int) -> Sample:
    cells = encoded.table.slice(row, 1).to_pylist()[0]
    text = "\n".join(f"{name}: {cell}" for name, cell in cells.items() if name not in tabular.OURS)
    return Sample(caption=[encoded.source(row)], text=text)


def _tiny(seed: int) -> Dataset:
    """Flats: the rent grows with the area and depends on the district and on the year."""
    draw = rng.generator(seed, "tiny rents")
    count = 400
    area, year = draw.uniform(20, 150, count), draw.integers(1900, 2020, count)
    district = draw.integers(0, 3, count)
    rent = area * np.array([8, 11, 17])[district] * (1 + (year - 1960) / 300) * np.exp(draw.normal(0, 0.05, count))
    columns = {
        "area": [f"{value:.1f}" for value in area],
        "year": [str(value) for value in year],
        "district": [("north", "west", "old town")[each] for each in district],
        "rent": [f"{value:.2f}" for value in rent],
    }
    table = pa.table({name: pa.array(cells, pa.string()) for name, cells in columns.items()})
    table = with_origin(table, [f"tiny.csv, row {row + 2}" for row in range(count)])
    return Dataset("tiny", f"made up: {count} rows", {"all": mark_target(table, "rent")})


TINY = Tiny(
    options={"epochs": 20, "batch_size": 32, "network.members": 4, "network.width": 16},
    make=_tiny,
    metric="r2",
    beats=0.7,
)
