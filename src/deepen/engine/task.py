"""What the engine asks of a task: a Protocol, no base class, nothing inherited.

A file in tasks/ offers, beside its constants:
    Options                                frozen dataclass; each field's help stands in its metadata
    schema(options) -> Schema               which columns, which readers
    learn(options, table, dataset, faults)  -> dict: what preparing learned, JSON-able
    Task(options, state)                    the class below, where runs can stand in for one another the last one
    TINY                                    options and a generator of data on which it learns in seconds
and may offer
    unread(options) -> names                options, or prefixes such as "optimizer.", that this training reads not:
                                            stating one is refused. As a dict, with the circumstance that a sentence
                                            names: "training k-means on pictures does not read it"
    unread_of_data(options, state) -> dict  those that are known only with what preparing learned
    target(table) -> Target | None          which column of a table is learned and what stands in it; without it it is
                                            that which the user or the schema names, with classes
    files(state) -> {name: JSON-able}       further files for the run folder, for others to read
    FORMATS = {ending: answers -> text}     further formats in which `predict --out` can write its answers
and its Task may have, where its networks make no features of samples (engine/features.py)
    instead_of_features                     what they make instead, the end of a sentence that says so
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor, nn

from deepen.core.faults import Fault
from deepen.core.figures import Figure
from deepen.data.dataset import Dataset, Schema
from deepen.engine.carry import Carried
from deepen.engine.events import Events
from deepen.engine.options import FitOptions
from deepen.metrics.rows import PerRow
from deepen.ops.decoding_options import DecodingOptions
from deepen.ops.losses import Loss
from deepen.parallel.ranks import Ranks
from deepen.prepare.encoded import Batch, Draws, Encoded
from deepen.prepare.fields import Field

if TYPE_CHECKING:
    from deepen.engine.fit import Fitted
    from deepen.engine.keeper import Elsewhere


class Metrics(Protocol):
    """Figures of merit over a split: add batches, merge ranks, read out. `add` reads nothing from the device."""

    def state(self) -> dict[str, Tensor]:
        """Everything added so far as tensors on the CPU, so that ranks can send it. Per-sample entries are [n, ...]."""
        ...

    def merge(self, states: Sequence[Mapping[str, Tensor]]) -> None:
        """Replaces what is held by the union of all ranks' states; each row counts once whatever rank sent it."""
        ...

    def result(self) -> dict[str, float]:
        """The figures by their names in the field, such as {"accuracy": 0.93, "cross_entropy": 0.2}."""
        ...

    def intervals(self) -> dict[str, tuple[float, float]]:
        """95 % intervals (low, high) of those figures for which they are known."""
        ...


@runtime_checkable
class PairedMetrics(Metrics, Protocol):
    """Metrics by which two runs can be compared sample by sample."""

    def per_row(self) -> dict[str, PerRow]:
        """Those of the figures that are a mean over samples, by name, in the order of the rows."""
        ...


class Task(Protocol):
    """A task with its options and what it learned from the training table."""

    objective: tuple[str, str]  # the metric that chooses the best weights, and "max" or "min"

    def encode(self, table: pa.Table, split: str, faults: list[Fault]) -> Encoded:
        """The deterministic part of preparing. Bad samples are left out and added to `faults` with split and row."""
        ...

    def batch(self, encoded: Encoded, rows: np.ndarray, draws: Draws | None) -> Batch:
        """The batch of these rows, with the random part where `draws` is given (training), without where it is None."""
        ...

    def build(self) -> nn.Module:
        """The network, freshly initialized from torch's generator, which the caller has seeded."""
        ...

    def loss(self, model: nn.Module, batch: Batch) -> Loss:
        """The summed loss of a batch."""
        ...

    def metrics(self) -> Metrics:
        """Empty figures of merit."""
        ...

    def score(self, model: nn.Module, batch: Batch, metrics: Any) -> None:
        """Adds the model's answers to a batch with targets to the metrics."""
        ...

    def answer(self, model: nn.Module, batch: Batch, sources: Sequence[str]) -> list[Any]:
        """One frozen, JSON-able dataclass per row; the first field is `source`."""
        ...

    def figures(self, metrics: Any, encoded: Encoded) -> list[Figure]:
        """What the report should draw of an evaluation."""
        ...


@runtime_checkable
class Sampled(Task, Protocol):
    """A task that knows how its network is called."""

    def sample(self) -> list[Tensor]:
        """One sample of zeros as the network reads it, each [1, ...], on the CPU."""
        ...


@runtime_checkable
class OwnOrder(Task, Protocol):
    """A task that says which rows stand together in a batch, such as those of like length."""

    def order(self, encoded: Encoded, num_batches: int, *, seed: int, epoch: int) -> list[np.ndarray]:
        """The batches of an epoch in their order: row numbers, each row in exactly one of them.

        A pure function of its arguments. `num_batches` is at most the number of rows; no batch is empty.
        """
        ...


@runtime_checkable
class Carrying(Task, Protocol):
    """A task whose network hands a state on from row to row (see engine/carry.py).

    Its `loss` asks `carried.before` and tells `carried.after`; the engine ends each step, and keeps it in checkpoints.
    Where nothing is handed on, `carried` is None.
    """

    carried: Carried | None


@runtime_checkable
class Beginning(Task, Protocol):
    """A task that knows values to begin with, other than a random draw, such as vectors from a file."""

    def starting_values(self, network: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], list[str]]:
        """Some of the network's tensors by name and in their shapes, and sentences about them; both may be empty.

        network  a freshly initialized network's state

        Asked once, when a run is begun: going on with it needs no file.
        """
        ...


@runtime_checkable
class StartsFromRows(Task, Protocol):
    """A task whose networks may start from the training rows themselves, as principal components do."""

    def start_from(self, encoded: Encoded) -> None:
        """Takes these training rows in the place of those that `encode` gave: the same, with a `weight` [N] each."""
        ...


@runtime_checkable
class NamedRows(Task, Protocol):
    """A task whose network has tables in which a row stands for a token, so that its number alone says nothing."""

    def row_names(self, network: Mapping[str, Tensor]) -> dict[str, Sequence[str] | None]:
        """Of these tensors by name what each row stands for, each name once in a tensor.

        network  the network's state
        returns  None for a tensor that hangs on all tokens together, and is worth nothing for others
        """
        ...


@runtime_checkable
class FittingItself(Task, Protocol):
    """A task that cannot live with the loop, such as counting, or lock-free training; it keeps all promises itself."""

    @property
    def fits_itself(self) -> bool:
        """Whether it does with these options."""
        ...

    def fit(
        self,
        train: Encoded,
        val: Encoded | None,
        options: FitOptions,
        *,
        folder: Path | None,
        elsewhere: Elsewhere | None,
        resume: bool,
        device: torch.device,
        ranks: Ranks,
        events: Events,
    ) -> Fitted:
        """What `engine.fit.fit` promises, by its own way. The same on every rank."""
        ...


@runtime_checkable
class Deciding(Task, Protocol):
    """A task that settles something by the validation samples once training has ended, such as a threshold."""

    def decide(self, metrics: Any) -> None:
        """Settles it by the trained network's metrics on validation; these metrics, too, go by it from then on.

        A pure function of them. What is settled stands in the state that the task was made of, which is then written
        into the run folder again. It is settled after the weights: what chooses the best must not hang on it.
        """
        ...


@runtime_checkable
class Generates(Task, Protocol):
    """A task whose network goes on from a beginning."""

    def generate(self, model: nn.Module, prompt: str, options: DecodingOptions) -> Iterator[str]:
        """What comes after the prompt, piece by piece as it is made; put together they are the whole.

        Each draw is a function of the options' seed and its place. The model is left in evaluation mode.
        """
        ...


@runtime_checkable
class Asks(Task, Protocol):
    """A task that says what a sample consists of, where its schema's input columns do not say enough."""

    def fields(self) -> list[Field]:
        """The columns that a sample to be answered needs, in the order in which one would ask for them."""
        ...


@runtime_checkable
class OwnSchema(Task, Protocol):
    """A task whose samples hang on what it learned, not on its options alone, such as on a run that it builds on."""

    def own_schema(self) -> Schema:
        """What stands in the place of `schema(options)`."""
        ...


@dataclass(frozen=True)
class Terms:
    """In what terms a run's outputs speak: two runs of a task can be combined where only the order of labels differs.

    target  the column that is answered
    labels  the classes that the columns of the outputs stand for, in their order; () where the output is a number
    basis   where the labels are no classes: what their only one is, which two runs must share, in a word
    """

    target: str
    labels: tuple[str, ...] = ()
    basis: str = ""


@runtime_checkable
class SharedOutputs(Task, Protocol):
    """A task whose network's outputs mean the same from run to run, so that others can average, store or learn them.

    `score` is `score_outputs` of `outputs`, and `answer` is `answer_outputs` of `outputs`.
    """

    @property
    def terms(self) -> Terms:
        """What this run's outputs stand for."""
        ...

    def outputs(self, model: nn.Module, batch: Batch) -> Tensor:
        """Of classes: logits [B, K], whose softmax is their probabilities; of a number: [B], in the target's unit."""
        ...

    def combine(self, outputs: Sequence[Tensor], weights: Sequence[float]) -> Tensor:
        """The outputs of an ensemble from those of its runs, all in these terms; the weights add up to 1."""
        ...

    def score_outputs(self, outputs: Tensor, batch: Batch, metrics: Any) -> None:
        """Adds outputs for a batch with targets to the metrics."""
        ...

    def answer_outputs(self, outputs: Tensor, batch: Batch, sources: Sequence[str]) -> list[Any]:
        """One frozen, JSON-able dataclass per row of the outputs; the first field is `source`."""
        ...


class Lesson(Protocol):
    """What a student learns from one teacher, on the batches that it trains on."""

    carried: Carried | None  # the states of both that go from row to row, where any do

    def loss(self, student: nn.Module, batch: Batch, weight: float) -> Tensor:
        """(1 - weight) times the task's own loss + weight times how far the student's answers are from the teacher's.

        A scalar, summed over the batch's targets. With a weight of 1 no targets are read.
        """
        ...


@runtime_checkable
class Teachable(Task, Protocol):
    """A task whose outputs are not what its networks learn from one another: it has a lesson of its own.

    Other tasks with shared outputs are taught by those (compress/distil.py).
    """

    def lesson(self, teacher: nn.Module, temperature: float) -> Lesson:
        """What a teacher, a network in evaluation mode that prepares as this task does, has to teach.

        temperature  by which both networks' scores are divided before they are compared
        """
        ...


@dataclass(frozen=True)
class Exported:
    """A network with all that must stand in a file beside it, so that the file alone can answer.

    network      in evaluation mode; reads the tensors of `inputs` in their order and gives one tensor, the outputs
    inputs       by name an example of two samples, each [2, ...], as the preparation without torch makes them
    free         by name which dimensions may differ from call to call, and what they are called: {0: "batch"}
    preparation  JSON-able: `kind`, a file `runtime/prepare_KIND.py`, and what that needs to make the inputs; where the
                 file has a class `Calls`, that says how often the graph is called, and with what
    answer       JSON-able: `kind`, a file `runtime/answer_KIND.py`, and what that needs to turn outputs into answers;
                 `of_preparation` names entries of the preparation that belong here too
    most         by the name of a free dimension the largest size that the network takes, where there is one
    outputs      (model, a batch of the task) -> the same outputs by the run's own way, which a file is checked against
    """

    network: nn.Module
    inputs: Mapping[str, Tensor]
    free: Mapping[str, Mapping[int, str]]
    preparation: Mapping[str, Any]
    answer: Mapping[str, Any]
    outputs: Callable[[nn.Module, Batch], Tensor]
    most: Mapping[str, int] = field(default_factory=dict)


@runtime_checkable
class Exports(Task, Protocol):
    """A task whose networks can leave as a file that answers without PyTorch.

    One that offers something else in its place has a property `instead_of_export`, the end of a sentence that says so.
    """

    def exported(self, model: nn.Module) -> Exported:
        """The network with as much of the preparation as a graph holds exactly. Shares the model's parameters.

        Raises OptionError where these options, or this network, cannot be exported, saying why.
        """
        ...


@dataclass(frozen=True)
class Tiny:
    """A small data set on which a task visibly learns within seconds.

    options  dotted option names and values for that training
    make     seed -> Dataset
    metric   the metric to look at, and the value it must beat on the held-out part
    """

    options: Mapping[str, Any]
    make: Callable[[int], Dataset]
    metric: str
    beats: float
