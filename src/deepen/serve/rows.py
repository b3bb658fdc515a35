"""The body of a request as rows, checked cell by cell against the fields of a run.

    application/json       {"rows": [{"age": 41, "job": "nurse"}, ...]}, or of a single field {"rows": ["text", ...]};
                           pictures as base64
    multipart/form-data    a part per cell, named as its field; the k-th part of a name belongs to the k-th row. Where a
                           run reads pictures alone, parts may be called file or files, too

What is wrong with one row is that row's own error; the others are answered.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from deepen.core.errors import FileError
from deepen.core.jsontext import parse_json
from deepen.core.names import did_you_mean, nearest
from deepen.prepare.fields import Field, Kind
from deepen.serve.answering import Cell, Row
from deepen.serve.limits import LONGEST_TEXT, shortened
from deepen.serve.multipart import Part, boundary_of, parts_of
from deepen.serve.problems import Problem

JSON, MULTIPART = "application/json", "multipart/form-data"
FILE_NAMES = ("file", "files")
_ADDRESS = re.compile(r"\s*[A-Za-z][A-Za-z0-9+.\-]{1,20}:(//|[^\s,]{0,40}[;,])")


@dataclass(frozen=True)
class Wanted:
    """What the rows of a request stand for; `errors` holds a sentence for those that are none.

    notes  sentences on what was given and is not used
    """

    rows: list[Row | None]
    errors: list[str]
    notes: tuple[str, ...] = ()


def media_type(header: str) -> str:
    """The media type of a Content-Type header. Raises Problem 415 for one that is not read here."""
    kind = header.partition(";")[0].strip().casefold()
    if kind not in (JSON, MULTIPART):
        given = f"Content-Type {shortened(kind)}" if kind else "no Content-Type"
        raise Problem(415, f"{given}; expected {JSON} or {MULTIPART}.")
    if kind == JSON and "charset" in header.casefold() and "utf-8" not in header.casefold():
        raise Problem(415, "JSON is read as UTF-8 alone; send it so.")
    return kind


def wanted(body: bytes, header: str, fields: Sequence[Field], *, max_rows: int) -> Wanted:
    """The rows of a body. Raises Problem for a body that cannot be read, or holds too many or no rows."""
    if media_type(header) == JSON:
        given = _from_json(body, fields)
    else:
        given = _from_parts(parts_of(body, boundary_of(header), most=max_rows * len(fields) + 8), fields)
    if not given:
        raise Problem(422, 'no rows; expected {"rows": [...]} with at least one, or one file.')
    if len(given) > max_rows:
        raise Problem(413, f"{len(given):,} rows in one request; expected at most {max_rows:,}, so send them in turns.")
    rows: list[Row | None] = []
    errors: list[str] = []
    known = _names(fields)
    unused: dict[str, None] = {}
    for each in given:
        found = checked(each, fields)
        rows.append(None if isinstance(found, str) else found)
        errors.append(found if isinstance(found, str) else "")
        if isinstance(each, Mapping) and not known.issuperset(each):
            unused |= dict.fromkeys(str(name) for name in each if name not in known)
    notes = tuple(f"{shortened(name)} is no field of this run and is not used." for name in list(unused)[:5])
    return Wanted(rows, errors, notes)


def checked(given: Any, fields: Sequence[Field]) -> Row | str:
    """A row whose cells are as its fields want them, or the sentence that says why it is none."""
    if not isinstance(given, Mapping):
        if len(fields) > 1:
            return f"{shortened(given)}: expected an object with {_named(fields)}."
        given = {fields[0].name: given}
    row: Row = {}
    for field in fields:
        if field.name in given:
            name, value, kind = field.name, given[field.name], field.kind
            if field.instead and isinstance(value, str):
                name, kind = field.instead, "line"
        elif field.instead and field.instead in given:
            name, value, kind = field.instead, given[field.instead], "line"
        else:
            near = nearest(field.name, [str(each) for each in given])
            hint = f" (there is {shortened(near)})" if near else ""
            return f"{shortened(field.name)}{hint} is missing; expected {_named(fields)}."
        cell = _cell(value, kind)
        if isinstance(cell, _Wrong):
            return f"{shortened(field.name)}: {cell}"
        row[name] = cell
    return row


class _Wrong(str):
    """The rest of a sentence about a cell."""


def _cell(value: Any, kind: Kind) -> Cell | _Wrong:
    if kind == "picture":
        return _picture(value)
    if kind == "words":
        if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
            return _Wrong(f"{shortened(value)}: expected a list of words.")
        wrong = next((wrong for each in value if (wrong := _bad_text(each))), None)
        return wrong or list(value)
    if kind in ("text", "line"):
        if not isinstance(value, str):
            return _Wrong(f"{shortened(value)}: expected a text.")
        if kind == "line" and len(value.splitlines()) > 1:
            return _Wrong(f"{shortened(value)}: expected one line; send each line as a row.")
        return _bad_text(value) or value
    if value is None:
        return None
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, float)):
        return repr(value) if isinstance(value, int) or not value.is_integer() else _whole(value)
    if not isinstance(value, str):
        return _Wrong(f"{shortened(value)}: expected a {kind}, or null where it is not known.")
    return _bad_text(value) or value


def _whole(value: float) -> str:
    """3.0 as 3, as a table of whole numbers has it."""
    return str(int(value)) if abs(value) < 1e15 else repr(value)


def _picture(value: Any) -> Cell | _Wrong:
    if isinstance(value, bytes):
        return value if value else _Wrong("is empty; send the bytes of an image file.")
    if not isinstance(value, str):
        return _Wrong(f"{shortened(value)}: expected an image file as base64, or as a part of {MULTIPART}.")
    if _ADDRESS.match(value):
        return _Wrong(f"{shortened(value)} looks like an address; nothing is fetched here, send the bytes.")
    try:
        return base64.b64decode(value, validate=True) or _Wrong("is empty; send the bytes of an image file.")
    except (binascii.Error, ValueError):
        return _Wrong(f"{shortened(value)}: not base64; send an image file as base64, or as a part of {MULTIPART}.")


def _bad_text(text: str) -> _Wrong | None:
    if len(text) > LONGEST_TEXT:
        return _Wrong(f"{len(text):,} characters; expected at most {LONGEST_TEXT:,}, so send it in parts.")
    if "\x00" in text:
        return _Wrong("holds the character NUL; leave it out.")
    try:
        text.encode()
    except UnicodeEncodeError:
        return _Wrong("holds half of a surrogate pair; write the whole character.")
    return None


def _from_json(body: bytes, fields: Sequence[Field]) -> list[Any]:
    if body.startswith((b"\xff\xfe", b"\xfe\xff", b"\xef\xbb\xbf")):
        raise Problem(400, "the body begins with a byte order mark; send plain UTF-8.")
    try:
        value = parse_json(body, place="the body", max_depth=8, error=FileError)
    except FileError as error:
        raise Problem(400, str(error)) from None
    if not isinstance(value, dict) or not isinstance(value.get("rows"), list):
        example = '{"rows": [...]}'
        raise Problem(422, f"the body: expected {example}, each row with {_named(fields)}, not {shortened(value)}.")
    odd = next((name for name in value if name != "rows"), None)
    if odd is not None:
        raise Problem(422, f"the body: {shortened(odd)} is not known here; it holds rows alone.")
    return value["rows"]


def _from_parts(parts: Sequence[Part], fields: Sequence[Field]) -> list[Any]:
    """The k-th part of each name makes the k-th row."""
    columns: dict[str, list[Any]] = {}
    known = _names(fields)
    only = fields[0] if len(fields) == 1 else None
    for part in parts:
        is_picture_part = only is not None and only.kind == "picture" and part.name in FILE_NAMES
        name = only.name if only is not None and is_picture_part else part.name
        if name not in known:
            near = did_you_mean(name, [field.name for field in fields])
            raise Problem(422, f"a part is called {shortened(name)}{near}; expected {_named(fields)}.")
        kind = next((field.kind for field in fields if field.name == name), "line")
        columns.setdefault(name, []).append(part.content if kind == "picture" else _decoded(part, kind))
    counts = {len(cells) for cells in columns.values()}
    if len(counts) > 1:
        said = ", ".join(f"{len(cells)} of {shortened(name)}" for name, cells in list(columns.items())[:5])
        raise Problem(422, f"parts that make no rows: {said}; send as many of each.")
    return [dict(zip(columns, cells, strict=True)) for cells in zip(*columns.values(), strict=True)]


def _decoded(part: Part, kind: str) -> Any:
    try:
        text = part.content.decode()
    except UnicodeDecodeError as fault:
        raise Problem(400, f"the part {shortened(part.name)}: not UTF-8 text (byte {fault.start:,}).") from None
    return text.split() if kind == "words" else text


def _names(fields: Sequence[Field]) -> set[str]:
    return {name for field in fields for name in (field.name, field.instead) if name}


def _named(fields: Sequence[Field]) -> str:
    names = [field.name for field in fields]
    more = f" and {len(names) - 8} more" if len(names) > 8 else ""
    return ", ".join(shortened(name) for name in names[:8]) + more
