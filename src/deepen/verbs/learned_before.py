"""Whether a run whose weights or features are taken was trained on samples that are held out now."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import pyarrow as pa

from deepen.bundle import header
from deepen.core.errors import DeepenError
from deepen.core.faults import Fault
from deepen.data.dataset import Dataset
from deepen.verbs.options import Resolved, rebuilt
from deepen.verbs.own_data import learned_keys

KIND = "learned-before"


def learned_before(chosen: Resolved, dataset: Dataset, tables: Mapping[str, pa.Table]) -> list[Fault]:
    """A warning for each run that has learned samples of val or test of these tables, which are cut from the data set.

    Samples that stand in train too are not counted: those flatter the figures with or without that run.
    """
    found = []
    for place, learned in _runs(chosen, [dataset]):
        new = learned.difference(_keys(tables["train"]))
        counts = {
            name: (_count(tables[name], new), tables[name].num_rows) for name in ("test", "val") if name in tables
        }
        met = [f"{count:,} of the {rows:,} samples of {name}" for name, (count, rows) in counts.items() if count]
        if met:
            message = (
                f"that run was trained on {' and '.join(met)}, so that the figures on them say little about new data; "
                "give the data a test part of their own, or name a run on other data."
            )
            found.append(Fault("warning", KIND, place, message))
    return found


def learned_before_folds(chosen: Resolved, dataset: Dataset, parts: Sequence[Dataset]) -> list[Fault]:
    """The same where each sample of the data set is tested in one of its folds.

    parts  the folds, on one of which the run may have been trained
    """
    found = []
    for place, learned in _runs(chosen, [dataset, *parts]):
        tables = dataset.tables.values()
        count, rows = sum(_count(table, learned) for table in tables), sum(table.num_rows for table in tables)
        if count:
            message = (
                f"that run was trained on {count:,} of these {rows:,} samples, and each of them is tested in a fold, "
                "so that the figures say little about new data; name a run on other data."
            )
            found.append(Fault("warning", KIND, place, message))
    return found


def _runs(chosen: Resolved, datasets: Sequence[Dataset]) -> Iterator[tuple[str, frozenset[str]]]:
    """Each run that training begins with, as the user named it, and the keys of what it learned of these data.

    A run that cannot be read is passed over: whoever takes its weights refuses it in better words.
    """
    named = {"--weights": chosen.fit.weights, "--features": getattr(chosen.task, "features", None)}
    for option, place in named.items():
        path = Path(place or "")
        folder = path if path.is_dir() else path.parent
        if not place or not (folder / header.RUN_FILE).is_file():
            continue
        with suppress(DeepenError):
            said: dict = dict(header.read_header(folder))
            options = rebuilt(str(said["task"]), said["options"])
            for dataset in datasets:
                if learned := learned_keys(said, dataset, options):
                    yield f"{option} {place}", learned
                    break


def _keys(table: pa.Table) -> list[str]:
    return table.column("key").to_pylist()


def _count(table: pa.Table, keys: frozenset[str]) -> int:
    return sum(key in keys for key in _keys(table))
