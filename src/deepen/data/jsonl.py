"""JSON lines (one object per line) as Arrow tables, with the line numbers of the file."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from deepen.core.faults import Fault
from deepen.data.columns import column_names, with_origin
from deepen.data.text_file import encoding_of, errors_of, file_bytes, refusal

if TYPE_CHECKING:
    from deepen.data.read import ReadOptions

_SURROGATE = re.compile("[\x00\ud800-\udfff]")
_LARGEST = 1 << 63


def read_jsonl(path: Path, options: ReadOptions) -> tuple[pa.Table, list[Fault]]:
    """The table of a file of JSON lines, and what was noticed; a line that is no good object is left out (sample).

    The columns are all names that occur, in the order in which they first do; a name that a line lacks, and null, are
    missing. Text, whole numbers, numbers and truth values keep their type where a column has one; a column of several
    becomes text (warning). Whole numbers beyond 64 bits become text, so that no digit is lost. Then come `source`
    ("data.jsonl, line 17") and `key`. Raises DataError where no line is usable.
    """
    data = file_bytes(path)
    encoding = encoding_of(data, options.encoding, path.name)
    faults: list[Fault] = []
    places, objects = _objects(data, encoding, path.name, faults)
    if not objects and not faults:
        raise refusal("empty", path.name, "the file is empty; expected one JSON object per line.")
    if not objects:
        raise refusal("jsonl", faults[0].place, f"{faults[0].message} No line of the file is a JSON object.")
    titles = list(dict.fromkeys(name for row in objects for name in row))
    names = column_names(titles, path.name, faults)
    columns = [_column([row.get(title) for row in objects], title, places, faults) for title in titles]
    return with_origin(pa.table(columns, names=names), places), faults


def _objects(data: bytes, encoding: str, name: str, faults: list[Fault]) -> tuple[list[str], list[dict[str, Any]]]:
    places, objects = [], []
    lines = io.TextIOWrapper(io.BytesIO(data), encoding=encoding, errors=errors_of(encoding))
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        place = f"{name}, line {number}"
        found = _parsed(line)
        if isinstance(found, str):
            faults.append(Fault("sample", "json-line", place, found))
        else:
            places.append(place)
            objects.append(found)
    return places, objects


def _parsed(line: str) -> dict[str, Any] | str:
    """The object of a line, or what is wrong with it."""
    try:
        found = json.loads(line, object_pairs_hook=_once, parse_constant=_refused)
    except json.JSONDecodeError as error:
        return f'not JSON at character {error.pos + 1}: {error.msg}; expected one object such as {{"x": 1}}.'
    except _BadObject as error:
        return str(error)
    except ValueError:
        return "holds a number of thousands of digits; write it as text."
    except RecursionError:
        return "is nested thousands of levels deep; expected one flat object."
    if not isinstance(found, dict):
        return f'is {_kind(found)}, expected one object such as {{"x": 1}}; write one object per line.'
    if _SURROGATE.search(json.dumps(found, ensure_ascii=False)):
        return "holds NUL or half of a surrogate pair; remove it."
    return found


class _BadObject(Exception):
    """What is wrong with an object, from within the parser."""


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise _BadObject(f"holds {twice!r} twice; keep one.")
    return found


def _refused(word: str) -> None:
    raise _BadObject(f"holds {word}, which is not JSON; write null for a missing number.")


def _kind(value: object) -> str:
    return {list: "a list", str: "a text", int: "a number", float: "a number", bool: "a truth value"}.get(
        type(value), "null"
    )


def _column(cells: Sequence[Any], name: str, places: Sequence[str], faults: list[Fault]) -> pa.Array:
    """The cells as the one Arrow type they share, else as text."""
    kinds = {type(cell) for cell in cells if cell is not None}
    if kinds == {int, float}:
        kinds = {float}
        cells = [cell if cell is None else float(cell) for cell in cells]
    if kinds & {list, dict}:
        return _nested(cells, name, places)
    if kinds == {int} and any(cell is not None and not -_LARGEST <= cell < _LARGEST for cell in cells):
        return pa.array([None if cell is None else str(cell) for cell in cells], pa.string())
    if len(kinds) <= 1:
        return pa.array(cells) if kinds else pa.array([None] * len(cells), pa.string())
    first = next(cell for cell in cells if cell is not None)
    index = next(i for i, cell in enumerate(cells) if cell is not None and type(cell) is not type(first))
    message = f"column {name!r} holds {_kind(cells[index])} where it held {_kind(first)} above; all are read as text."
    faults.append(Fault("warning", "column-mixed", places[index], message))
    return pa.array([None if cell is None else _text(cell) for cell in cells], pa.string())


def _nested(cells: Sequence[Any], name: str, places: Sequence[str]) -> pa.Array:
    try:
        return pa.array(cells)
    except (pa.ArrowException, OverflowError) as error:
        index = next((i for i, cell in enumerate(cells) if cell is not None), 0)
        message = f"column {name!r} holds lists or objects of several types; give all lines one form."
        raise refusal("column-mixed", places[index], message) from error


def _text(cell: object) -> str:
    return cell if isinstance(cell, str) else json.dumps(cell)
