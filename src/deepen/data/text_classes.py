"""Labels of texts: names for numbered classes, one label or several of each text, and the columns they make."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import pyarrow as pa

from deepen.core.faults import Fault
from deepen.core.units import plural
from deepen.data import text_names
from deepen.data.dataset import content_key
from deepen.data.pixels import checked_names
from deepen.data.read import ReadOptions
from deepen.data.target import mark_target
from deepen.data.text_encoding import lines_of, read_text
from deepen.data.text_file import refusal

CLASS_FILES = ("classes.txt", "class.txt", "labels.txt", "label_names.txt", "class_names.txt")
Labels = Sequence[str | None]


def class_names(path: Path, options: ReadOptions, faults: list[Fault]) -> tuple[str, ...]:
    """The names in the file of --labels, else in classes.txt (class.txt, ...) beside the data; () if there is none."""
    folder = path if path.is_dir() else path.parent
    beside = [folder / name for name in CLASS_FILES if (folder / name).is_file()]
    if not options.labels and (not beside or beside[0] == path):
        return ()
    file = Path(options.labels) if options.labels else beside[0]
    lines = [line.strip() for line in lines_of(read_text(file, "", faults))]
    while lines and not lines[-1]:
        lines.pop()
    return checked_names(lines, str(file))


def named(
    labels: Mapping[str, Labels], names: Sequence[str], place: str, faults: list[Fault], *, stated: bool
) -> tuple[dict[str, Labels], tuple[str, ...]]:
    """The labels by split with class numbers turned into names, and the names that are then the only classes.

    stated  whether --labels named them, so that labels that are no numbers must be among them too

    Where all labels are whole numbers they count the names from 0, or from 1 where 0 does not occur and the number of
    names does. Raises DataError for a number beyond the names.
    """
    texts = {text for column in labels.values() for text in column if text is not None}
    if not names or not texts:
        return dict(labels), tuple(names) if stated else ()
    if texts <= set(names):
        return dict(labels), tuple(names)
    if not all(text.isascii() and text.isdigit() for text in texts):
        return dict(labels), tuple(names) if stated else ()
    numbers = {text: int(text) for text in texts}
    first = 1 if 0 not in numbers.values() and len(names) in numbers.values() else 0
    beyond = [text for text, number in numbers.items() if not 0 <= number - first < len(names)]
    if beyond:
        known = f"the {plural(len(names), 'class name')}, counted from {first}"
        raise refusal("label-number", place, f"label {min(beyond)!r} is beyond {known}; add its name.")
    shown = ", ".join(names[:5]) + (", ..." if len(names) > 5 else ".")
    message = f"labels are numbers from {first} and stand for {plural(len(names), 'class name')}: {shown}"
    faults.append(Fault("note", "classes-named", place, message))
    of_text = {text: names[number - first] for text, number in numbers.items()}
    return {
        split: [None if text is None else of_text[text] for text in column] for split, column in labels.items()
    }, tuple(names)


def text_table(
    texts: Sequence[str],
    labels: Sequence[str | None] | Sequence[Sequence[str] | None] | None,
    sources: Sequence[str] | pa.Array,
    *,
    several: bool = False,
) -> pa.Table:
    """Columns text, label (or labels, a list, where a text may have several), source and key, a hash of the text."""
    columns = {"text": pa.array(texts, pa.string())}
    if labels is not None and several:
        columns["labels"] = pa.array(labels, pa.list_(pa.string()))
    elif labels is not None:
        columns["label"] = pa.array(labels, pa.string())
    columns["source"] = sources if isinstance(sources, pa.Array) else pa.array(sources, pa.string())
    keys = [content_key(text.encode()) for text in texts]
    table = pa.table({**columns, "key": pa.array(keys, pa.string())})
    return mark_target(table, "labels") if several else table


def layout(kind: str, files: Mapping[str, Sequence[Path]], tables: Mapping[str, pa.Table], word: str = "text") -> str:
    """What the data were read as, with the number of texts and classes."""
    count = sum(table.num_rows for table in tables.values())
    found: set[str] = set()
    for table in tables.values():
        if "labels" in table.column_names:
            found |= {name for names in table.column("labels").to_pylist() for name in names or ()}
        elif "label" in table.column_names:
            found |= {name for name in table.column("label").unique().to_pylist() if name is not None}
    what = ("label", "") if any("labels" in table.column_names for table in tables.values()) else ("class", "classes")
    classes = f", {plural(len(found), *what)}" if found else ""
    parts = ""
    if "all" not in tables:
        parts = f" ({', '.join(f'{split} {table.num_rows:,}' for split, table in tables.items())})"
    shown = text_names.shown_files(files)
    return f"{kind}{' ' + shown if shown else ''}: {plural(count, word)}{classes}{parts}"


def say_empty(table: pa.Table, split: str, faults: list[Fault]) -> None:
    """A note that counts the texts of a table that hold nothing but blanks."""
    empty = [i for i, text in enumerate(table.column("text").to_pylist()) if not text or text.isspace()]
    if empty:
        place = table.column("source")[empty[0]].as_py()
        many = f"{plural(len(empty), 'text')} of {split} {'is' if len(empty) == 1 else 'are'} empty, and kept."
        faults.append(Fault("note", "text-empty", place, many))
