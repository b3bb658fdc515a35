"""A text a line, its label on the same line.

    __label__sports __label__tennis a text     fastText; several labels make the column `labels`
    DESC:manner How did serfdom develop        TREC: the coarse class, or with --target fine the whole DESC:manner
    sports<TAB>a text    a text<TAB>sports     the side with fewer and shorter values is the label
    0 a text                                   a class number first

Class numbers get the names of a class.txt or classes.txt beside the file (or of --labels). The files of a folder are
splits by their names.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from deepen.core.errors import DataError
from deepen.core.faults import Fault
from deepen.core.names import did_you_mean
from deepen.core.units import plural
from deepen.data import text_names
from deepen.data.dataset import Dataset
from deepen.data.read import ReadOptions, short_name
from deepen.data.text_classes import class_names, layout, named, say_empty, text_table
from deepen.data.text_encoding import lines_of, read_text

LOOKS_FOR = "a text a line with its label (__label__x text; x<TAB>text; 0 text; COARSE:fine text)"
LEAST_ALIKE = 0.98  # of the lines
MARK = "__label__"
HEADER = frozenset(("label", "labels", "class", "target", "category", "y", "sentiment"))
LONGEST_LABEL = 40  # characters
MOST_NUMBERS = 0.5  # different class numbers per line
_MARKED = re.compile(r"(?<!\S)__label__(\S+)")
_COARSE = re.compile(r"([A-Z]{2,}):(\S+) +(.*)", re.DOTALL)
_NUMBER = re.compile(r"([0-9]{1,4}) +(.*)", re.DOTALL)
KINDS = {
    "marked": "__label__ as in fastText",
    "coarse": "COARSE:fine text",
    "tab-first": "label, tab, text",
    "tab-last": "text, tab, label",
    "number": "class number, text",
}


@dataclass
class _Part:
    """What one split holds so far; labels[i] are those of texts[i], none if they are not known."""

    texts: list[str]
    labels: list[tuple[str, ...]]
    sources: list[str]


def recognizes(path: Path) -> bool:
    """Whether this is such a file, or a folder with one."""
    return text_names.any_file(path, is_labelled)


def is_labelled(file: Path) -> bool:
    """Whether the first lines of a file have a label each; of tables only what fastText would read."""
    lines = text_names.head_lines(file)
    kind = kind_of(lines)
    return bool(kind) and (kind == "marked" or text_names.ending(file.name) not in text_names.OTHER_ENDINGS)


def kind_of(lines: Sequence[str]) -> str:
    """Which of KINDS these lines are, "" for none."""
    if not lines:
        return ""
    least = LEAST_ALIKE * len(lines)
    if sum(line.lstrip().startswith(MARK) for line in lines) >= min(least, 0.9 * len(lines)):
        return "marked"
    if sum(_COARSE.match(line) is not None for line in lines) >= least:
        return "coarse"
    if sum(line.count("\t") == 1 for line in lines) >= least:
        return _tab_side([line.split("\t") for line in lines if line.count("\t") == 1])
    numbers = [match[1] for line in lines if (match := _NUMBER.match(line))]
    if len(numbers) >= least and len(set(numbers)) <= max(2, MOST_NUMBERS * len(numbers)):
        return "number"
    return ""


def read(path: Path, options: ReadOptions) -> Dataset:
    """Columns text, label (or labels), source ("file, line N") and key.

    Lines without a label are kept with none, for the task to refuse them. Raises DataError if no line has one.
    """
    faults: list[Fault] = []
    files = text_names.by_split(text_names.data_files(path, is_labelled), path, faults, pair=True)
    if not any(files.values()):
        raise DataError(f"{path}: holds no file with labelled lines; give one, or a folder with some.")
    parts = {split: _Part([], [], []) for split in files}
    kinds = []
    for split, same in files.items():
        for file in same:
            name = text_names.relative_name(file, path)
            lines = lines_of(read_text(file, options.encoding, faults, place=name))
            kinds.append(kind_of([line for line in lines if line.strip()]) or kind_of(text_names.head_lines(file)))
            _add(parts[split], lines, kinds[-1], name, _granularity(options, kinds[-1], name), faults)
    several = any(len(labels) > 1 for part in parts.values() for labels in part.labels)
    tables, names = _tables(parts, path, several, options, faults)
    if not any(part.texts for part in parts.values()):
        raise DataError(f"{path}: holds no text; give a file with some.")
    said = layout(f"labelled lines ({KINDS.get(kinds[0], 'none')})", files, tables)
    return Dataset(short_name(path), said, tables, names, tuple(faults))


def _tables(parts: dict[str, _Part], path: Path, several: bool, options: ReadOptions, faults: list[Fault]):
    """The tables by split, and the class names that were given."""
    if several:
        tables = {
            split: text_table(part.texts, [labels or None for labels in part.labels], part.sources, several=True)
            for split, part in parts.items()
        }
        names = class_names(path, options, faults) if options.labels else ()
    else:
        single = {split: [labels[0] if labels else None for labels in part.labels] for split, part in parts.items()}
        given = class_names(path, options, faults)
        single, names = named(single, given, path.name, faults, stated=bool(options.labels))
        tables = {split: text_table(part.texts, single[split], part.sources) for split, part in parts.items()}
    for split, table in tables.items():
        say_empty(table, split, faults)
    return tables, names


def _add(part: _Part, lines: Sequence[str], kind: str, name: str, fine: bool, faults: list[Fault]) -> None:
    """The texts and labels of further lines."""
    blank = 0
    header = _header(lines, kind)
    if header:
        faults.append(Fault("note", "header", f"{name}, line 1", f"{lines[0]!r} names the columns and is no text."))
    for number, line in enumerate(lines, start=1):
        if not line or line.isspace():
            blank += 1
        elif number > 1 or not header:
            text, labels = _split(line, kind, fine)
            part.texts.append(text)
            part.labels.append(labels)
            part.sources.append(f"{name}, line {number}")
    if blank:
        faults.append(Fault("note", "line-blank", name, f"{plural(blank, 'blank line')} passed over."))


def _split(line: str, kind: str, fine: bool) -> tuple[str, tuple[str, ...]]:
    """The text and the labels of a line; the whole line and none where it is not like the others."""
    if kind == "marked":
        return _MARKED.sub("", line).strip(), tuple(dict.fromkeys(_MARKED.findall(line)))
    if kind in ("tab-first", "tab-last"):
        first, _, rest = line.partition("\t") if kind == "tab-first" else reversed(line.rpartition("\t"))
        return (rest, (first.strip(),)) if first.strip() and "\t" in line else (line.strip("\t"), ())
    match = (_COARSE if kind == "coarse" else _NUMBER).fullmatch(line)
    if match is None:
        return line, ()
    label = f"{match[1]}:{match[2]}" if fine else match[1]
    return match[match.lastindex or 0], (label,)


def _granularity(options: ReadOptions, kind: str, name: str) -> bool:
    """Whether the fine classes are wanted. Raises DataError for a target that such lines do not have."""
    known = ["label", "coarse", "fine"] if kind == "coarse" else ["label", "labels"]
    asked = options.target.strip().lower()
    if asked and asked not in known and options.targets_needed:
        hint = did_you_mean(asked, known)
        raise DataError(f"{name}: --target {options.target}: labelled lines have no such column{hint}")
    return kind == "coarse" and asked == "fine"


def _header(lines: Sequence[str], kind: str) -> bool:
    """Whether the first line of lines with tabs names the columns."""
    cells = lines[0].split("\t") if lines and kind.startswith("tab") else []
    return any(cell.strip().lower() in HEADER for cell in cells)


def _tab_side(cells: Sequence[Sequence[str]]) -> str:
    """ "tab-first" or "tab-last": where the label stands; "" if neither side looks like labels."""
    body = cells[1:] if any(cell.strip().lower() in HEADER for cell in cells[0]) else cells
    sides = [[row[side].strip() for row in body] for side in (0, 1)]
    if not body:
        return ""
    marks = [(_likeness(values), -len(set(values)), -sum(map(len, values))) for values in sides]
    best = max((0, 1), key=lambda side: marks[side])
    return ("tab-first", "tab-last")[best] if marks[best][0] > 0 else ""


def _likeness(values: Sequence[str]) -> int:
    """How much values look like labels: 2 for numbers, 1 for short ones that come again, 0 for others."""
    if max(map(len, values)) > LONGEST_LABEL:
        return 0
    if all(value.isascii() and value.isdigit() for value in values):
        return 2
    return int(len(set(values)) <= len(values) // 2 or not any(" " in value for value in values))
