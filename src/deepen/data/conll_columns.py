"""The token lines of CoNLL and CoNLL-U files: which column holds the token and which the tag, and what is damaged."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from deepen.core.errors import DataError
from deepen.core.faults import Fault
from deepen.core.names import did_you_mean
from deepen.data.text_file import refusal

CONLL_U = ("id", "form", "lemma", "upos", "xpos", "feats", "head", "deprel", "deps", "misc")
MAY_BE_NONE = ("feats", "misc", "deps")  # "_" says there are none
DOCUMENT = "-DOCSTART-"
LINES_LOOKED = 2_000
_NUMBERS = tuple(map(str, range(1, 500)))
_WORD = re.compile(r"[1-9][0-9]*")
_RANGE = re.compile(r"[0-9]+-[0-9]+")
_EMPTY = re.compile(r"[0-9]+\.[0-9]+")


@dataclass(frozen=True)
class Columns:
    """How the lines of a file are written.

    count       columns of a token line
    token, tag  their places, from 0; tag is -1 where there are no tags
    by_tabs     whether tabs separate them, else blanks
    is_conll_u  whether lines are numbered: ranges and empty nodes are then left out
    """

    count: int
    token: int
    tag: int
    by_tabs: bool
    is_conll_u: bool


@dataclass
class Sentences:
    """The sentences of a file, and what was left out of it.

    starts   the line of the first token of each, from 1
    ranges   lines for several words (CoNLL-U: 8-9), left out
    empties  lines for words that are not in the text (CoNLL-U: 8.1), left out
    """

    tokens: list[list[str]] = field(default_factory=list)
    tags: list[list[str]] = field(default_factory=list)
    starts: list[int] = field(default_factory=list)
    ranges: int = 0
    empties: int = 0
    documents: int = 0


def columns_of(lines: Sequence[str], *, is_conll_u: bool, token: str, target: str, place: str) -> Columns:
    """How these lines are written, by their majority.

    token   the column of the tokens: a number from 1 or a name of CoNLL-U; "" for the first (FORM in CoNLL-U)
    target  the column of the tags in the same way; "" or "tags" for the last (UPOS in CoNLL-U)
    Raises DataError if there is no such column.
    """
    target = "" if target.strip().lower() == "tags" else target
    full = [line for line in lines[:LINES_LOOKED] if line and not line.isspace() and not line.startswith(DOCUMENT)]
    if is_conll_u:
        form = _named(token or "form", CONLL_U, place, "--columns")
        return Columns(len(CONLL_U), form, _named(target or "upos", CONLL_U, place), True, True)
    by_tabs = 2 * sum("\t" in line.strip() for line in full) >= len(full)
    counts = Counter(len(line.rstrip("\r\n").split("\t") if by_tabs else line.split()) for line in full)
    count = counts.most_common(1)[0][0] if counts else 1
    numbers = [str(number) for number in range(1, count + 1)]
    first = _named(token, numbers, place, "--columns") if token else 0
    last = _named(target, numbers, place) if target and count > 1 else count - 1 if count > 1 else -1
    return Columns(count, first, last, by_tabs, False)


def sentences_of(lines: Sequence[str], columns: Columns, name: str, faults: list[Fault]) -> Sentences:
    """All sentences; those with a damaged line are left out (level sample, with the line)."""
    found = Sentences()
    blank_ends = [*(number for number, line in enumerate(lines) if not line or line.isspace()), len(lines)]
    start = 0
    take = _conll_u if columns.is_conll_u else _plain
    for end in blank_ends:
        if end > start:
            take(lines, start, end, columns, name, found, faults)
        start = end + 1
    return found


def _plain(
    lines: Sequence[str], start: int, end: int, columns: Columns, name: str, found: Sentences, faults: list[Fault]
) -> None:
    """The sentence of these lines; comments before it and lines that begin a document are passed over."""
    while start < end and _is_comment(lines[start], columns):
        start += 1
    while start < end and lines[start].startswith(DOCUMENT):
        found.documents += 1
        start += 1
    cells = [line.split("\t") if columns.by_tabs else line.split() for line in lines[start:end]]
    for index, row in enumerate(cells):
        if len(row) != columns.count or not row[columns.token].strip() or not row[columns.tag].strip():
            faults.append(_damaged(lines[start + index], row, columns, f"{name}, line {start + index + 1}"))
            return
        if row[0] == DOCUMENT:
            message = f"{DOCUMENT} stands within a sentence; put a blank line before and behind it."
            faults.append(Fault("sample", "blank-line-missing", f"{name}, line {start + index + 1}", message))
            return
    if cells:
        _add(cells, columns, start, found)


def _conll_u(
    lines: Sequence[str], start: int, end: int, columns: Columns, name: str, found: Sentences, faults: list[Fault]
) -> None:
    """The sentence of these lines, without its comments, ranges and empty nodes."""
    while start < end and lines[start].startswith("#"):
        start += 1
    cells = [line.split("\t") for line in lines[start:end]]
    if _is_sound(cells, columns):
        _add(cells, columns, start, found)
        return
    cells, last, first = [], 0, -1
    for index in range(start, end):
        if lines[index].startswith("#"):
            continue
        first = index if first < 0 else first
        row = lines[index].split("\t")
        place = f"{name}, line {index + 1}"
        if len(row) != columns.count:
            faults.append(_damaged(lines[index], row, columns, place))
            return
        if _RANGE.fullmatch(row[0]):
            found.ranges += 1
        elif _EMPTY.fullmatch(row[0]):
            found.empties += 1
        elif fault := _word_fault(row, last, columns, place):
            faults.append(fault)
            return
        else:
            last += 1
            cells.append(row)
    if cells:
        _add(cells, columns, first, found)


def _is_sound(cells: Sequence[Sequence[str]], columns: Columns) -> bool:
    """Whether all lines are words, numbered from 1, and each has its tag: most sentences, and the quick way."""
    if not cells or len(cells) >= len(_NUMBERS) or set(map(len, cells)) != {columns.count}:
        return False
    seen = {row[columns.tag] for row in cells} | {row[columns.token] for row in cells}
    return tuple(row[0] for row in cells) == _NUMBERS[: len(cells)] and "_" not in seen and all(map(str.strip, seen))


def _word_fault(row: Sequence[str], last: int, columns: Columns, place: str) -> Fault | None:
    if not _WORD.fullmatch(row[0]):
        return Fault("sample", "token-number", place, f"{row[0]!r} is no number of a token; expected {last + 1}.")
    if int(row[0]) != last + 1:
        mend = "is the blank line before it missing?" if row[0] == "1" else "number the tokens in their order."
        message = f"token {row[0]} follows token {last}; {mend}"
        return Fault("sample", "blank-line-missing" if row[0] == "1" else "token-number", place, message)
    tag = row[columns.tag].strip()
    name = CONLL_U[columns.tag]
    is_given = tag != "_" or name in MAY_BE_NONE or row[columns.token] == "_"  # an underscore is its own lemma
    if tag and is_given and row[columns.token].strip():
        return None
    message = f"token {row[0]} has no {name.upper()}; give it one, or take another column by --target."
    return Fault("sample", "tag-missing", place, message)


def _add(cells: Sequence[Sequence[str]], columns: Columns, start: int, found: Sentences) -> None:
    found.tokens.append([row[columns.token] for row in cells])
    found.starts.append(start + 1)
    if columns.tag >= 0:
        found.tags.append([row[columns.tag] for row in cells])


def _is_comment(line: str, columns: Columns) -> bool:
    """Whether a line before a sentence is a comment: "# ..." that does not have the columns of a token."""
    width = len(line.split("\t") if columns.by_tabs else line.split())
    return line.startswith("#") and width != columns.count


def _damaged(line: str, row: Sequence[str], columns: Columns, place: str) -> Fault:
    by = "tabs" if columns.by_tabs else "blanks"
    if len(row) == columns.count:
        return Fault("sample", "column-empty", place, "the token or its tag is empty; fill it.")
    hint = ""
    if columns.by_tabs and len(line.split()) == columns.count:
        hint = " (there are blanks where other lines have tabs)"
    message = f"has {len(row)} column{'s' if len(row) > 1 else ''}{hint}, expected {columns.count} separated by {by}."
    return Fault("sample", "column-count", place, message)


def _named(asked: str, names: Sequence[str], place: str, option: str = "--target") -> int:
    """The place of a column by its name or its number from 1. Raises DataError if there is none."""
    wanted = asked.strip().lower().removeprefix("column")
    if wanted in names:
        return names.index(wanted)
    if wanted.isdigit() and 1 <= int(wanted) <= len(names):
        return int(wanted) - 1
    hint = did_you_mean(wanted, names) if not wanted.isdigit() else f"; there are {len(names)}."
    raise _refused(place, f"{option} {asked}: there is no such column{hint}")


def _refused(place: str, message: str) -> DataError:
    return refusal("target-missing", place, message)
