"""Training, validation and test tables of a data set: those that the layout names, the rest cut by content.

Rules. Which side a sample falls on depends on the seed and on contents, never on the order of rows or files. Samples of
equal content, and rows of equal group, stay on one side. Classes are cut in proportion: of a class of one, the sample
stays in training; of two, one is tested; of three or more, each side gets at least one. Rows come out ordered by key,
then source.

    only all (or only train) is there      test and val are cut from it
    train and test are there                 val is cut from train: a tenth, at most 3,000 rows
    train and val are there                  as given; val is tested too, and a warning says so
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa

from deepen.core import rng
from deepen.core.errors import DataError
from deepen.core.faults import Fault
from deepen.core.units import plural
from deepen.data import name_groups, split_checks
from deepen.data.dataset import SPLITS, Dataset, Schema

VAL_SHARE = 0.1
TEST_SHARE = 0.1
LARGEST_VAL = 3_000


@dataclass(frozen=True)
class SplitOptions:
    """How much is held out where the layout does not say."""

    val: float = field(
        default=VAL_SHARE, metadata={"help": "share held out for validation", "least": 0.0, "below": 1.0}
    )
    test: float = field(default=TEST_SHARE, metadata={"help": "share held out as test", "least": 0.0, "below": 1.0})
    max_val: int = field(default=LARGEST_VAL, metadata={"help": "most samples held out for validation", "least": 1})


@dataclass(frozen=True)
class Split:
    """Three tables in canonical row order, and one sentence on how they came about."""

    tables: dict[str, pa.Table]
    summary: str


def split(
    dataset: Dataset,
    schema: Schema,
    *,
    seed: int,
    faults: list[Fault],
    val: float = VAL_SHARE,
    test: float = TEST_SHARE,
    max_val: int = LARGEST_VAL,
    strict: bool = False,
) -> Split:
    """Tables train, val and test.

    val, test  shares to cut where the layout does not give that table; 0 for none
    strict     whether equal content under two labels is a fault of those samples instead of a warning

    Adds warnings: tiny or dominant classes, classes that are tested but not trained, equal content under two labels or
    on two sides. Raises DataError for a table that is given but empty, and where fewer than two samples or classes are
    left.
    """
    _check_shares(val, test)
    tables = {name: in_order(table) for name, table in dataset.tables.items()}
    split_checks.check_given(tables, dataset.name)
    split_checks.warn_overlaps(tables, faults)
    split_checks.check_classes(tables, schema, dataset.name)
    doubtful = split_checks.contradictions(tables, schema, strict, faults)
    if strict and doubtful:
        tables = {name: _left(table, doubtful) for name, table in tables.items()}
    parts = _cut(tables, schema, seed, val, test, max_val)
    split_checks.warn_classes(parts.tables, schema, faults)
    name_groups.warn_name_groups(list(tables), parts.tables, schema, faults)
    if "val" in tables and "test" not in tables:
        faults.append(
            Fault(
                "warning",
                "test-missing",
                "",
                "no test data are given; the validation data stand for them, so the score is a little too good.",
            )
        )
    return parts


def folds(table: pa.Table, k: int, *, seed: int, schema: Schema) -> list[tuple[pa.Table, pa.Table]]:
    """k pairs (train, test): each sample is tested once, by the rules above. Raises DataError if k is too large."""
    table = in_order(table)
    units = _units(table, schema)
    if k < 2 or units.max(initial=-1) + 1 < k:
        raise DataError(
            f"--folds {k}: there are {units.max(initial=-1) + 1} separate samples; expected 2 to that many folds."
        )
    unit_fold = np.empty(units.max() + 1, np.int64)
    unit_fold[_dealt(table, units, schema, seed)] = np.arange(len(unit_fold)) % k
    number = unit_fold[units]
    return [(table.filter(pa.array(number != fold)), table.filter(pa.array(number == fold))) for fold in range(k)]


def without(dataset: Dataset, tables: dict[str, pa.Table], bad: Sequence[Fault]) -> Dataset:
    """The data set without the rows that faults name by (split, row) in these tables.

    Splitting it again gives what it would have given had those samples never been there.
    """
    gone: set[tuple[str, str]] = set()
    for fault in bad:
        if fault.row >= 0:
            row = tables[fault.split].slice(fault.row, 1)
            gone.add((row.column("source")[0].as_py(), row.column("key")[0].as_py()))
    if not gone:
        return dataset
    return dataset.with_tables({name: _left(table, gone) for name, table in dataset.tables.items()})


def in_order(table: pa.Table) -> pa.Table:
    """The rows ordered by key, then source, so that the order of files and rows means nothing."""
    order = np.lexsort((_strings(table, "source"), _strings(table, "key")))
    return table if np.array_equal(order, np.arange(len(order))) else table.take(pa.array(order))


def _left(table: pa.Table, gone: set[tuple[str, str]]) -> pa.Table:
    pairs = zip(table.column("source").to_pylist(), table.column("key").to_pylist(), strict=True)
    return table.filter(pa.array([pair not in gone for pair in pairs], pa.bool_()))


def _cut(tables: dict[str, pa.Table], schema: Schema, seed: int, val: float, test: float, max_val: int) -> Split:
    given = {name: tables[name].num_rows for name in SPLITS if name in tables}
    train = tables.get("train", tables.get("all"))
    if train is None:
        only = next(name for name in SPLITS if name in tables)
        raise DataError(f"there are only {only} data; training needs a table of its own (train).")
    parts = {name: tables[name] for name in ("val", "test") if name in tables}
    said = [_counts(given)] if len(given) > 1 else []
    if not parts and test > 0:
        train, parts["test"] = _take(train, schema, rng.key(seed, "test"), _rows(train, test, None))
        said.append(f"{plural(parts['test'].num_rows, 'sample')} held out for testing")
    if "val" not in parts and val > 0:
        train, parts["val"] = _take(train, schema, rng.key(seed, "val"), _rows(train, val, max_val))
        said.append(f"{parts['val'].num_rows:,} of train held out for validation")
    if "test" not in parts and "val" in given:
        parts["test"] = parts["val"]
    seeded = f", seed {seed}" if len(said) > 1 or len(given) < 2 else ""
    start = "" if len(given) > 1 else f"{train.num_rows:,} train; "
    ordered = {name: table for name in SPLITS if (table := {"train": train, **parts}.get(name)) is not None}
    return Split(ordered, start + "; ".join(said) + seeded)


def _counts(given: dict[str, int]) -> str:
    return " / ".join(f"{count:,} {name}" for name, count in given.items()) + " as given"


def _rows(table: pa.Table, share: float, most: int | None) -> float:
    """The share to cut, lowered so that no more than `most` rows are taken."""
    return share if most is None or table.num_rows * share <= most else most / table.num_rows


def _take(table: pa.Table, schema: Schema, key: int, share: float) -> tuple[pa.Table, pa.Table]:
    """(what stays, what is cut), each in the order it had."""
    if table.num_rows < 2:
        raise DataError(f"only {plural(table.num_rows, 'sample')} left to train on; expected enough to hold some out.")
    units = _units(table, schema)
    size = np.bincount(units)
    stratum = _strata(table, units, schema)
    order = _shuffled(table, units, key)
    cut = np.zeros(len(size), bool)
    for label in range(stratum.max(initial=0) + 1):
        members = order[stratum[order] == label]
        cut[_chosen(members, size, share)] = True
    if not cut.any() and len(size) > 1:
        cut[order[0]] = True  # no class is large enough: one sample all the same
    rows = cut[units]
    return table.filter(pa.array(~rows)), table.filter(pa.array(rows))


def _chosen(members: np.ndarray, size: np.ndarray, share: float) -> np.ndarray:
    """The first units, up to the share of the rows; at least one and never all of them; none of a single one."""
    if len(members) < 2:
        return members[:0]
    wanted = max(1.0, round(size[members].sum() * share))
    reached = np.cumsum(size[members])
    count = int(np.searchsorted(reached - size[members] / 2, wanted, side="left"))
    return members[: min(max(1, count), len(members) - 1)]


def _units(table: pa.Table, schema: Schema) -> np.ndarray:
    """[N] int64: rows with the same number are inseparable: of equal content or group, or joined by a chain."""
    _, by_key = np.unique(_strings(table, "key"), return_inverse=True)
    if not schema.group or schema.group not in table.column_names:
        return by_key.astype(np.int64)
    names = table.column(schema.group).cast(pa.string()).to_pylist()
    keys = table.column("key").to_pylist()
    texts = np.array([key if name is None else "\x1f" + name for name, key in zip(names, keys, strict=True)], object)
    _, by_group = np.unique(texts, return_inverse=True)
    return _joined(by_key.astype(np.int64), by_group.astype(np.int64))


def _joined(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """The finest numbering in which rows that agree in either of two numberings agree: the least number spreads until
    nothing changes."""
    held = first.copy()
    while True:
        before = held
        for numbering in (second, first):
            least = np.full(numbering.max() + 1, len(held) + 1, np.int64)
            np.minimum.at(least, numbering, held)
            held = least[numbering]
        if np.array_equal(before, held):
            return np.unique(held, return_inverse=True)[1].astype(np.int64)


def _strata(table: pa.Table, units: np.ndarray, schema: Schema) -> np.ndarray:
    """[units] int64: the class of each unit (of its first label in the alphabet), or 0 where there are no classes."""
    num_units = int(units.max(initial=-1)) + 1
    labels = split_checks.label_texts(table, schema)
    if labels is None:
        return np.zeros(num_units, np.int64)
    _, codes = np.unique(np.array([label or "" for label in labels]), return_inverse=True)
    found = np.full(num_units, len(codes), np.int64)
    np.minimum.at(found, units, codes.astype(np.int64))
    return found


def _shuffled(table: pa.Table, units: np.ndarray, key: int) -> np.ndarray:
    """The units in an order that depends on the key and on their content alone."""
    _, first = np.unique(units, return_index=True)  # rows are in key order: the first row has the unit's least key
    keys = _strings(table, "key")[first]
    numbers = np.array([int(text[:16], 16) for text in keys.tolist()], np.uint64)
    return np.lexsort((keys, rng.row_keys(key, 0, numbers, "split")))


def _dealt(table: pa.Table, units: np.ndarray, schema: Schema, seed: int) -> np.ndarray:
    """The units class after class, shuffled within a class, to be dealt to folds in turn."""
    order = _shuffled(table, units, rng.key(seed, "folds"))
    return order[np.argsort(_strata(table, units, schema)[order], kind="stable")]


def _strings(table: pa.Table, column: str) -> np.ndarray:
    return np.array(table.column(column).to_pylist(), dtype=np.str_)


def _check_shares(val: float, test: float) -> None:
    for name, share in (("val", val), ("test", test)):
        if not 0 <= share < 1:
            raise DataError(f"--{name} {share}: expected a share from 0 (none) to below 1, such as 0.1.")
    if val + test >= 1:
        raise DataError(f"--val {val} and --test {test}: nothing is left to train on; expected a sum below 1.")
