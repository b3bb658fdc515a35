"""Texts in the rows of a table, their label (or labels) in a column: CSV, TSV, JSON lines, Parquet, Excel.

The texts are the column named text, sentence, content, review ... (title and description joined), else the one with the
longest cells; --columns names others. A file without names, as AG News has it ("3","title","description"), is read
too, and classes.txt beside it names its classes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from deepen.core.errors import DataError
from deepen.core.faults import Fault
from deepen.data import text_names, text_rows
from deepen.data.columns import RESERVED
from deepen.data.dataset import Dataset
from deepen.data.read import ReadOptions, short_name
from deepen.data.target import LIKELY, choose_target, found_column
from deepen.data.text_classes import class_names, layout, named, say_empty, text_table
from deepen.data.text_file import refusal

LOOKS_FOR = "a table (.csv, .tsv, .jsonl, .parquet, .xlsx) with a column of texts and one of labels"
TEXT_NAMES = (
    *("text", "texts", "sentence", "content", "review", "review_text", "comment", "comment_text", "tweet", "document"),
    *(
        "abstract",
        "body",
        "message",
        "question",
        "question_text",
        "utterance",
        "query",
        "article",
        "post",
        "description",
    ),
)
TITLES = ("title", "headline", "subject")
LABEL_NAMES = (*LIKELY, "labels", "category", "class_name", "label_name", "sentiment", "intent", "emotion", "topic")
DIVIDERS = ("|", ";", ",")
FEWEST_WORDS = 3  # on average, of a column of texts
MOST_CLASSES_PER_ROW = 0.1


def recognizes(path: Path) -> bool:
    """Whether this is a table, or a folder with one."""
    return text_names.any_file(path, text_rows.is_table)


def read(path: Path, options: ReadOptions) -> Dataset:
    """Columns text, label (or labels), source and key, and the column of --group.

    Labels are several where the column holds lists, or is called by `--target labels` and holds "a|b". Raises DataError
    where no column can be the text, or none the label.
    """
    faults: list[Fault] = []
    files = text_names.by_split(text_names.data_files(path, text_rows.is_table), path, faults)
    if not any(files.values()):
        raise DataError(f"{path}: holds no table; give one, or a folder with one.")
    raw = text_rows.read_rows(files, options, faults)
    first = next(iter(raw.values()))
    place = next(iter(files.values()))[0].name
    target = _target(first, options, place, faults)
    texts = _texts(first, options, target, place, faults)
    names: tuple[str, ...] = class_names(path, options, faults)
    several = bool(target) and _has_several(raw, target, options)
    found: Mapping[str, Any] = dict.fromkeys(raw)
    if several:
        found = {split: _label_lists(table, target, faults) for split, table in raw.items()}
    elif target:
        columns = {split: table.column(target).cast(pa.string()).to_pylist() for split, table in raw.items()}
        found, names = named(columns, names, place, faults, stated=bool(options.labels))
    names = names if target and (options.labels or not several) else ()
    tables = {}
    for split, table in raw.items():
        sources = pc.cast(table.column("source"), pa.string()).combine_chunks()
        made = text_table(text_rows.texts_of(table, texts), found[split], sources, several=several)
        tables[split] = _with_group(made, table, options)
        say_empty(tables[split], split, faults)
    return Dataset(short_name(path), layout("table of texts", files, tables), tables, names, tuple(faults))


def _target(table: pa.Table, options: ReadOptions, place: str, faults: list[Fault]) -> str:
    """The column of labels, "" where there is none and none is needed."""
    own = [name for name in table.column_names if name not in RESERVED]
    if options.target:
        try:
            return found_column(own, options.target.strip(), place)
        except DataError:
            if options.targets_needed:
                raise
            return ""
    likely = [name for name in own if name.casefold() in LABEL_NAMES]
    if not likely and text_rows.is_unnamed(table):
        likely = _like_classes(table, own)
    if len(likely) == 1:
        message = f"column {likely[0]!r} is taken as the one to learn; --target NAME takes another."
        faults.append(Fault("note", "target-guessed", place, message))
        return likely[0]
    return choose_target(own, "", place, faults) if options.targets_needed else ""


def _like_classes(table: pa.Table, own: Sequence[str]) -> list[str]:
    """The columns of whole numbers, else those with few different values."""
    cells = {name: table.column(name).drop_null() for name in own if len(table.column(name).drop_null())}
    whole = [name for name, column in cells.items() if all(text.isdigit() for text in column.unique().to_pylist())]
    most = MOST_CLASSES_PER_ROW * table.num_rows
    return whole or [name for name, column in cells.items() if len(column.unique()) <= most]


def _texts(table: pa.Table, options: ReadOptions, target: str, place: str, faults: list[Fault]) -> list[str]:
    """The columns of texts, to be joined."""
    own = [name for name in table.column_names if name not in RESERVED]
    if options.columns:
        return [found_column(own, name, place) for name in options.columns]
    strings = text_rows.text_columns(table, (target, options.group))
    folded = {name.casefold(): name for name in reversed(strings)}
    title = next((folded[name] for name in TITLES if name in folded), "")
    body = next((folded[name] for name in TEXT_NAMES if name in folded), "")
    chosen = [name for name in (title, body) if name] if body or title else []
    if not chosen and text_rows.is_unnamed(table):
        chosen = [name for name in strings if text_rows.mean_words(table, name) >= FEWEST_WORDS]
    if not chosen and strings:
        chosen = [max(strings, key=lambda name: text_rows.mean_words(table, name))]
    if not chosen:
        raise refusal("text-missing", place, f"there is no column of texts; name it with --columns: {', '.join(own)}.")
    if chosen != ["text"]:
        which = " and ".join(repr(name) for name in chosen)
        is_one = len(chosen) == 1
        ending = ("", "NAME takes another") if is_one else ("s", "A,B,... takes others")
        message = f"texts are taken from column{ending[0]} {which}; --columns {ending[1]}."
        faults.append(Fault("note", "text-column", place, message))
    return chosen


def _has_several(raw: dict[str, pa.Table], target: str, options: ReadOptions) -> bool:
    kinds = [table.schema.field(target).type for table in raw.values()]
    if any(pa.types.is_list(kind) or pa.types.is_large_list(kind) for kind in kinds):
        return True
    return options.target.strip().casefold() == "labels" and all(pa.types.is_string(kind) for kind in kinds)


def _label_lists(table: pa.Table, target: str, faults: list[Fault]) -> list[list[str] | None]:
    """The labels of each row; None where they are not known."""
    cells = table.column(target).to_pylist()
    if not pa.types.is_string(table.schema.field(target).type):
        return [None if cell is None else [str(label) for label in cell if label is not None] for cell in cells]
    divider = next((mark for mark in DIVIDERS if any(mark in cell for cell in cells if cell)), DIVIDERS[0])
    faults.append(Fault("note", "labels-divided", "", f"labels of column {target!r} are divided by {divider!r}."))
    return [
        None if cell is None else [label for part in cell.split(divider) if (label := part.strip())] for cell in cells
    ]


def _with_group(made: pa.Table, raw: pa.Table, options: ReadOptions) -> pa.Table:
    if options.group in raw.column_names and options.group not in made.column_names:
        return made.append_column(options.group, raw.column(options.group))
    return made
