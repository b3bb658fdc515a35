"""Samples for the network of another run: read and prepared as that run does it, though they need no labels.

    table, kept = numbered(the run's preparation of with_numbers(table), table)

A run's preparation may leave samples out; the column NUMBER says which it kept.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
from torch import nn

from deepen.bundle.load import load_weights
from deepen.bundle.tensors import match
from deepen.core.errors import DataError
from deepen.core.faults import Fault
from deepen.data.dataset import Schema
from deepen.data.target import target_of
from deepen.nn.sized import size_like
from deepen.prepare import vectors
from deepen.prepare.encoded import Encoded

NUMBER = "row number"  # the column by which a sample is found again that a run's preparation may leave out
TABLES = "tables"
KINDS = {"image": "pictures", "text_a": "pairs of texts", "tokens": "sentences", "text": "texts"}  # by input column


def known(faults: Sequence[Fault], split: str) -> list[Fault]:
    """What a run's preparation noticed of samples to be answered, who are those of this split.

    Columns that are not its own are no fault here.
    """
    own = [fault for fault in faults if fault.kind != "column-extra"]
    return [replace(each, **{k: split for k in ("place", "split") if getattr(each, k) == "predict"}) for each in own]


def without_target(of_run: Schema) -> Schema:
    """A schema by which each sample is read for itself, and labels may be missing."""
    return replace(of_run, target="", needs_target=False, singly=True)


def kind(inputs: Sequence[str]) -> str:
    """What samples with these columns are, in a word."""
    return KINDS[inputs[0]] if inputs else TABLES


def is_other(table: pa.Table, inputs: Sequence[str]) -> bool:
    """Whether the samples of a table are not such as a run with these input columns takes."""
    is_of_images = vectors.is_of_images(table, target_of(table))
    if not inputs or inputs[0] == "image":
        return is_of_images != bool(inputs)
    instead = ("text",) if inputs[0] == "tokens" else ()  # plain text is split as the run splits it
    return not {inputs[0], *instead} & set(table.column_names)


def kind_of(table: pa.Table) -> str:
    """What the samples of a table are, in a word."""
    if vectors.is_of_images(table, target_of(table)):
        return KINDS["image"]
    columns = () if target_of(table) else table.column_names
    return next((called for name, called in KINDS.items() if name in columns and name != "image"), TABLES)


def with_numbers(table: pa.Table) -> pa.Table:
    """The table with the number of each row in the column NUMBER."""
    return table.append_column(NUMBER, pa.array(np.arange(table.num_rows)))


def numbered(encoded: Encoded, table: pa.Table) -> tuple[Encoded, np.ndarray]:
    """What a run prepared, with its samples' other columns, and which rows of the table they are, [n] ascending.

    table  without the numbers that it was prepared with; a preparation that keeps none of its columns keeps all rows
    """
    if NUMBER in encoded.table.column_names:
        kept = encoded.table.column(NUMBER).to_numpy().copy()
        return replace(encoded, table=encoded.table.drop_columns([NUMBER])), kept
    if len(encoded) != table.num_rows:
        raise DataError(
            f"{table.column('source')[0]}: expected one line of text in each sample, but {table.num_rows:,} samples "
            f"hold {len(encoded):,} lines; give each line as a sample."
        )
    return replace(encoded, table=table), np.arange(table.num_rows)


def load_extractor(network: nn.Module, folder: Path) -> None:
    """Takes the weights of a run's folder, of a compressed one in its sizes. Raises RunError where they do not fit."""
    weights = load_weights(folder)
    size_like(network, weights)
    match(weights, network.state_dict(), place=str(folder / "weights.safetensors"))
    network.load_state_dict(weights)
