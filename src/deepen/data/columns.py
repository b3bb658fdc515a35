"""Columns of a table of samples: trimmed names, where each row came from, and what makes two rows the same."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence

import pyarrow as pa
import pyarrow.compute as pc

from deepen.core.errors import DataError
from deepen.core.faults import Fault

RESERVED = ("source", "key")
_BLANKS = " \t\r\n\f\v\u00a0\u2007\u202f\u3000\u200b\u2060\ufeff"


def column_names(raw: Sequence[str], place: str, faults: list[Fault]) -> list[str]:
    """The names of a header, trimmed of every kind of blank; what was changed is added to `faults` as notes.

    A column without a name is called `column3` after its place; one called `source` or `key`, which are ours, is
    called `source_column` or `key_column`. Raises DataError if two names are then the same.
    """
    names = []
    for index, text in enumerate(raw, start=1):
        name = text.strip(_BLANKS)
        if not name:
            name = f"column{index}"
            faults.append(Fault("note", "column-unnamed", place, f"column {index} has no name; it is called {name!r}."))
        if name in RESERVED:
            faults.append(Fault("note", "column-renamed", place, f"column {name!r} is called '{name}_column' here."))
            name = f"{name}_column"
        names.append(name)
    _refuse_duplicates(names, place)
    return names


def with_origin(table: pa.Table, sources: Sequence[str] | pa.Array) -> pa.Table:
    """The table with the columns `source` and `key`.

    The key is a hash over the names and texts of a row's cells in the order of their names, so that it does not
    depend on the order of the columns.
    """
    keys = pa.array(row_keys(table), pa.string())
    return table.append_column("source", _origins(sources)).append_column("key", keys)


def _origins(sources: Sequence[str] | pa.Array) -> pa.Array:
    try:
        return pa.array(sources, pa.string())
    except UnicodeEncodeError:  # the file's name is not UTF-8, or the system's locale does not know that it is
        return pa.array(
            [str(s).encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace") for s in sources]
        )


def row_keys(table: pa.Table) -> list[str]:
    """32 hex digits per row: equal rows have equal keys."""
    names = sorted(table.column_names)
    start = hashlib.blake2b(json.dumps(names).encode(), digest_size=16)
    texts = [_texts(table.column(name)) for name in names]
    keys = []
    for cells in zip(*texts, strict=True):
        digest = start.copy()
        digest.update(json.dumps(cells).encode())
        keys.append(digest.hexdigest())
    return keys


def _refuse_duplicates(names: list[str], place: str) -> None:
    seen: dict[str, int] = {}
    for index, name in enumerate(names, start=1):
        if name in seen:
            message = f"columns {seen[name]} and {index} are both called {name!r}; give each column its own name."
            fault = Fault("error", "column-duplicate", place, message)
            raise DataError(fault.sentence(), [fault])
        seen[name] = index


def _texts(column: pa.ChunkedArray) -> list[str | None]:
    """The cells as text; bytes by their hash, anything nested as JSON."""
    kind = column.type
    if pa.types.is_string(kind):
        return column.to_pylist()
    if pa.types.is_dictionary(kind):
        return _texts(column.cast(kind.value_type))
    if pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_boolean(kind):
        return pc.cast(column, pa.string()).to_pylist()
    return [None if cell is None else _text(cell) for cell in column.to_pylist()]


def _text(cell: object) -> str:
    if isinstance(cell, bytes):
        return hashlib.blake2b(cell, digest_size=16).hexdigest()
    return cell if isinstance(cell, str) else json.dumps(cell, default=str, sort_keys=True)
