"""An exported file as something that answers: raw files in, the answers of its run out, without torch."""

from __future__ import annotations

import dataclasses
import importlib
import itertools
import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
import pyarrow as pa

from deepen.core import options as option_rules
from deepen.core.errors import DataError, OptionError, RunError
from deepen.core.faults import Fault, refuse
from deepen.data import read as reading
from deepen.data.dataset import Dataset, Schema
from deepen.data.read import ReadOptions
from deepen.data.standard_input import as_files
from deepen.prepare.image_guard import guarded
from deepen.runtime import engines, onnx_file
from deepen.runtime.engines import EngineName
from deepen.runtime.evaluation import EvaluationResult
from deepen.runtime.rows import Calls, Prepared, samples_of

TINY = "tiny"
_NAME = re.compile(r"[a-z_]{1,40}")


class Answers(Protocol):
    """One kind of answer, with what the file says of it."""

    def targets(self, table: pa.Table, split: str, faults: list[Fault]) -> tuple[np.ndarray, np.ndarray]: ...

    def metrics(self) -> Any: ...

    def score(
        self,
        metrics: Any,
        outputs: np.ndarray,
        targets: np.ndarray,
        arrays: Mapping[str, np.ndarray],
        rows: np.ndarray,
    ) -> None: ...

    def answers(self, outputs: np.ndarray, arrays: Mapping[str, np.ndarray], table: pa.Table) -> list[Any]: ...

    def apart(self, outputs: np.ndarray, others: np.ndarray, arrays: Mapping[str, np.ndarray]) -> float: ...


@runtime_checkable
class AsksFurther(Protocol):
    """Answers whose figures need more of the graph than they themselves do."""

    def further(self, arrays: Mapping[str, np.ndarray], rows: np.ndarray) -> Iterator[Mapping[str, np.ndarray]]:
        """Other inputs for rows; what they lead to is handed to `score` as the arrays "further 0", "further 1", ..."""
        ...


def load(path: str | Path, *, engine: EngineName = "auto", threads: int | None = None) -> Program:
    """The program in an .onnx file that `deepen export` wrote.

    engine   what computes it; auto: the faster of those that are installed, by measuring now
    threads  default: OMP_NUM_THREADS, else all processors

    Raises RunError for a file that is missing, damaged, foreign or harmful, OptionError where no engine is installed.
    """
    return of_file(onnx_file.read(path), engine=engine, threads=threads)


def of_file(file: onnx_file.OnnxFile, *, engine: EngineName = "auto", threads: int | None = None) -> Program:
    """The same for a file that was read and verified."""
    place, proven = str(file.path), tuple(file.description["checked"].get("engines", ()))
    limits = [each[-1] for each in file.description["sizes"].values() if isinstance(each, list) and each]
    length = max(1, min([engines.LENGTH, *(most for most in limits if isinstance(most, int))]))
    ready = engines.opened(file.content, place=place, engine=engine, threads=threads, proven=proven, length=length)
    return Program(file.path, file.description, ready)


class Program:
    """A graph with its preparation and its answers.

    formats  of files of answers, beyond those that every answer has: by their ending, answers -> text
    """

    def __init__(self, path: Path, description: dict[str, Any], engine: engines.Engine) -> None:
        self.path, self.description, self.engine = path, description, engine
        preparation, answer = description["preparation"], description["answer"]
        self._prepare = _module(path, "prepare", preparation["kind"])
        answers = _module(path, "answer", answer["kind"])
        self.formats: dict[str, Callable[[Iterable[Any]], str]] = dict(getattr(answers, "FORMATS", {}))
        try:
            shared = {name: preparation[name] for name in answer.get("of_preparation", ())}
            self.answering: Answers = answers.Answers({**answer, **shared})
            calls = getattr(self._prepare, "Calls", None)
            self._calls: Calls | None = None if calls is None else calls(preparation)
            self.schema = _schema(description["schema"])
            self.reading = _reading(description["reading"])
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise RunError(
                f"{path}: describes itself in another way than this deepen reads ({error}); write it anew."
            ) from error

    @property
    def task(self) -> str:
        """The task's name."""
        return self.description["task"]

    def predict(
        self,
        inputs: str | Path | Sequence[str | Path],
        given: Mapping[str, Any] | None = None,
        *,
        skip_bad: bool = False,
        flags: bool = False,
        faults: list[Fault] | None = None,
    ) -> Iterator[Any]:
        """Answers, one frozen dataclass per sample, in the order of the inputs: those of the run itself.

        given   options on how to read the inputs, where they differ from the training's
        faults  gets what was noticed, among it the samples left out with skip_bad

        Raises RunError, DataError or OptionError, for bad data before the first answer.
        """
        inputs = [inputs] if isinstance(inputs, (str, Path)) else list(inputs)
        if not inputs:
            raise OptionError("predict: expected files or folders to answer for, but none is named.")
        found = faults if faults is not None else []
        with as_files(inputs) as files, guarded():
            tables = self._tables(files, given or {}, flags, found)
            ready = [(table, self.prepared(table, "predict", found)) for table in tables]
        refuse(found, skip_bad=skip_bad)
        if not sum(len(prepared.kept) for _, prepared in ready):
            raise DataError(f"{inputs[0]}: expected samples to answer for, but there are none.", found)
        return itertools.chain.from_iterable(self.answers(table, prepared) for table, prepared in ready)

    def evaluate(
        self,
        data: str | Path | Dataset,
        given: Mapping[str, Any] | None = None,
        *,
        skip_bad: bool = False,
        flags: bool = False,
    ) -> EvaluationResult:
        """The figures on data with targets: the part "test" where the layout names one, else all of it."""
        dataset = data if isinstance(data, Dataset) else self._read(data, given or {}, flags, targets_needed=True)
        place = dataset.name if isinstance(data, Dataset) else str(data)
        split = next(name for name in ("test", "all", "val", "train") if name in dataset.tables)
        if split == "all" and len(dataset.tables) > 1:
            raise DataError(f"{place}: expected one table or a test part.")
        faults = list(dataset.faults)
        metrics, count = self.scored(dataset.tables[split], split, faults)
        refuse(faults, skip_bad=skip_bad)
        if count == 0:
            raise DataError(f"{place}: expected samples to evaluate on, but none is usable.", faults)
        figures = {name: value if math.isfinite(value) else None for name, value in metrics.result().items()}
        intervals = {name: (low, high) for name, (low, high) in metrics.intervals().items()}
        return EvaluationResult(figures, intervals, count, dataset.layout, split, tuple(faults))

    def scored(
        self,
        table: pa.Table,
        split: str,
        faults: list[Fault],
        progress: Callable[[float], None] = lambda part: None,
    ) -> tuple[Any, int]:
        """The metrics over the usable rows of a table with targets, and how many rows those are. `progress` is told
        which part of them is done."""
        with guarded():
            prepared = self.prepared(table, split, faults)
        targets, rows = self.answering.targets(samples_of(prepared, table), split, faults)
        places, of_target = (np.flatnonzero(np.isin(a, b)) for a, b in ((prepared.kept, rows), (rows, prepared.kept)))
        targets = targets[of_target]
        metrics = self.answering.metrics()
        for start in range(0, len(places), prepared.rows_at_once):
            part = slice(start, start + prepared.rows_at_once)
            arrays = prepared.arrays(places[part])
            rows = np.arange(start, start + len(places[part]))  # the places among the usable samples, as a run has them
            if isinstance(self.answering, AsksFurther):
                further = enumerate(self.answering.further(arrays, rows))
                arrays = {**arrays, **{f"further {number}": self.outputs(each) for number, each in further}}
            self.answering.score(metrics, self.outputs(arrays), targets[part], arrays, rows)
            progress((start + len(rows)) / len(places))
        return metrics, len(places)

    def prepared(self, table: pa.Table, split: str, faults: list[Fault]) -> Prepared:
        """The rows of a table that can be used. Pictures are decoded in processes of their own under `guarded`."""
        state = self.description["preparation"] | {"sizes": self.description["sizes"]}
        return self._prepare.prepared(table, state, split, faults)

    def answers(self, table: pa.Table, prepared: Prepared) -> Iterator[Any]:
        """The answers to prepared rows, in their order."""
        for start in range(0, len(prepared.kept), prepared.rows_at_once):
            places = np.arange(start, min(start + prepared.rows_at_once, len(prepared.kept)))
            arrays = prepared.arrays(places)
            rows = samples_of(prepared, table).take(pa.array(prepared.kept[places]))
            yield from self.answering.answers(self.outputs(arrays), arrays, rows)

    def outputs(self, arrays: Mapping[str, np.ndarray]) -> np.ndarray:
        """What the graph gives for prepared arrays, called once, or as often as the preparation says."""
        return self.call(arrays) if self._calls is None else self._calls.outputs(self.call, arrays)

    def first_call(self, arrays: Mapping[str, np.ndarray]) -> Mapping[str, np.ndarray]:
        """What the graph is given first for prepared arrays: all that it is given where it is called once."""
        return arrays if self._calls is None else self._calls.first(arrays)

    def call(self, inputs: Mapping[str, np.ndarray]) -> np.ndarray:
        """What the graph gives for its inputs by name; those that it does not have are passed over."""
        return self.engine.run([np.ascontiguousarray(inputs[name]) for name in self.engine.inputs])

    def _tables(
        self, inputs: list[str | Path], given: Mapping[str, Any], flags: bool, faults: list[Fault]
    ) -> list[pa.Table]:
        """The inputs' tables in their order, neighbours of one kind as one."""
        tables: list[pa.Table] = []
        for each in inputs:
            dataset = self._read(each, given, flags, targets_needed=False)
            faults.extend(dataset.faults)
            tables.extend(dataset.tables.values())
        alike = itertools.groupby(tables, key=lambda table: table.schema.remove_metadata())
        return [pa.concat_tables(group) for _, group in alike]

    def _read(self, what: str | Path, given: Mapping[str, Any], flags: bool, *, targets_needed: bool) -> Dataset:
        if str(what) == TINY and not Path(what).exists():
            raise DataError(f"{what}: is made up by a task, which {self.path.name} is not; name files.")
        values = option_rules.resolve(option_rules.fields_of(ReadOptions), given, flags=flags)
        own = {"group": "", "hashes": "", **({} if targets_needed else {"targets_needed": False})}
        return reading.read(what, self.schema, dataclasses.replace(self.reading, **{**own, **values}))


def _reading(said: Mapping[str, Any]) -> ReadOptions:
    return option_rules.build(ReadOptions, option_rules.resolve(option_rules.fields_of(ReadOptions), said))


def _schema(said: Mapping[str, Any]) -> Schema:
    lists = {name: tuple(map(str, said[name])) for name in ("readers", "inputs")}
    if not all(_NAME.fullmatch(name) for name in lists["readers"]):
        raise ValueError("a reader has no plain name")
    return Schema(**{**said, **lists})


def _module(path: Path, room: str, kind: str) -> Any:
    name = f"deepen.runtime.{room}_{kind}"
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name != name:
            raise
        raise RunError(f"{path}: wants {kind!r}, which this deepen does not know; use a newer one.") from None
