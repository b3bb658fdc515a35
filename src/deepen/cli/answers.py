"""Answers as rows: for the table on stdout, and in a CSV, JSON-lines or Parquet file, whole or not at all."""

from __future__ import annotations

import csv
import dataclasses
import io
import json
import os
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from deepen.core.errors import OptionError
from deepen.core.files import write_bytes
from deepen.core.jsontext import finite, json_text
from deepen.core.names import nearest

OUT_FORMATS = (".csv", ".jsonl", ".parquet")
FORMULA = ("=", "+", "-", "@", "\t", "\r")


def records(answers: Iterable[Any]) -> list[dict[str, Any]]:
    """Each answer as a dict of JSON-able values; the first key is `source`."""
    return [dataclasses.asdict(answer) if dataclasses.is_dataclass(answer) else dict(answer) for answer in answers]  # type: ignore[arg-type]


def columns_and_rows(rows: Sequence[Mapping[str, Any]]) -> tuple[list[str], list[list[Any]]]:
    """The columns that hold one value each, for people; figures per class are in --json and --out."""
    columns = _names(row for row in rows)
    simple = [name for name in columns if not any(isinstance(row.get(name), (dict, list, tuple)) for row in rows)]
    return simple, [[row.get(name) for name in simple] for row in rows]


def format_of(path: str, further: Iterable[str] = ()) -> str:
    """The ending of a file of answers. Raises OptionError for one that is neither known nor among `further` ones."""
    ending, known = os.path.splitext(path)[1].lower(), (*OUT_FORMATS, *further)
    if ending not in known:
        near = nearest(ending, known)
        hint = f"; did you mean {near}?" if near else "."
        raise OptionError(f"--out {path}: expected a name that ends in {', '.join(known)}{hint}")
    return ending


def write_file(path: str, rows: Sequence[Mapping[str, Any]], *, raw: bool) -> None:
    """Puts the answers into a file of the kind its name says. Raises FileError if it cannot be written.

    raw  a CSV has text as it is, also where a spreadsheet would take it for a formula
    """
    ending = format_of(path)
    if ending == ".jsonl":
        content = "".join(json_text(finite(dict(row))) + "\n" for row in rows).encode()
    elif ending == ".csv":
        content = csv_text(rows, raw=raw).encode("utf-8", "backslashreplace")
    else:
        content = _parquet(rows)
    write_bytes(path, content)


def csv_text(rows: Sequence[Mapping[str, Any]], *, raw: bool = False) -> str:
    """The answers as CSV: figures per class in columns of their own, such as probabilities.cat; lists as JSON.

    >>> csv_text([{"source": "=a.png", "p": {"cat": 0.5}}])
    "source,p.cat\\r\\n'=a.png,0.5\\r\\n"
    """
    flattened = [_flat(row) for row in rows]
    columns = _names(flattened)
    file = io.StringIO()
    writer = csv.writer(file)
    writer.writerow([_cell(name, raw) for name in columns])
    writer.writerows([_cell(row.get(name), raw) for name in columns] for row in flattened)
    return file.getvalue()


def _cell(value: Any, raw: bool) -> Any:
    if isinstance(value, (list, tuple)):
        return json.dumps(finite(value), ensure_ascii=False)
    if isinstance(value, str) and value.startswith(FORMULA) and not raw:
        return f"'{value}"
    return repr(value) if isinstance(value, float) else value


def _parquet(rows: Sequence[Mapping[str, Any]]) -> bytes:
    import pyarrow as pa
    import pyarrow.parquet as pq

    flattened = [_flat(row) for row in rows]
    columns = {name: [row.get(name) for row in flattened] for name in _names(flattened)}
    sink = pa.BufferOutputStream()
    pq.write_table(pa.table(columns), sink)
    return sink.getvalue().to_pybytes()


def _flat(row: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in row.items():
        found |= _flat(value, f"{prefix}{name}.") if isinstance(value, Mapping) else {f"{prefix}{name}": value}
    return found


def _names(rows: Iterable[Mapping[str, Any]]) -> list[str]:
    """All names in the order in which they first occur."""
    return list(dict.fromkeys(name for row in rows for name in row))
