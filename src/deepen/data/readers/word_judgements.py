"""What people say of words, to score word vectors by: how alike two words are, or which word completes an analogy.

    tiger  cat  7.35                      two words and a number, parted by tabs, commas or blanks; # begins a comment
    : capital-common-countries            a section, and under it four words a line: the first is to the second as the
    Athens Greece Baghdad Iraq            third is to the fourth

One file, or a folder of them.
"""

from __future__ import annotations

import re
from pathlib import Path

import pyarrow as pa

from deepen.core.errors import DataError
from deepen.core.faults import Fault
from deepen.core.units import plural
from deepen.data import text_names
from deepen.data.columns import with_origin
from deepen.data.dataset import Dataset
from deepen.data.read import ReadOptions, short_name
from deepen.data.text_encoding import lines_of, read_text

LOOKS_FOR = "word pairs with a number (WordSim-353, SimLex-999) or analogies under `: section` (questions-words.txt)"
LINES_LOOKED = 20
FEWEST_ALIKE = 2  # judged pairs among the first lines, before a file is taken for a list of them
WORDS = ("first", "second", "third", "fourth")
_PARTS = re.compile(r"\t|,|;| +")


def recognizes(path: Path) -> bool:
    """Whether the first lines of a file, or of a text file in a folder, are judgements."""
    return text_names.any_file(path, is_judgements)


def is_judgements(file: Path) -> bool:
    """Whether all of a file's first lines are judgements, but for comments and one line of column names."""
    lines = [line for line in text_names.head_lines(file)[:LINES_LOOKED] if line.strip() and not line.startswith("#")]
    if not lines:
        return False
    if lines[0].startswith(":"):
        return all(line.startswith(":") or len(line.split()) == len(WORDS) for line in lines)
    judged = [_pair(line) is not None for line in lines]
    return sum(judged) >= FEWEST_ALIKE and all(judged[1:])


def read(path: Path, options: ReadOptions) -> Dataset:
    """Columns first, second, third, fourth (string; the last two null for a pair), score (double), section.

    Raises DataError for a line that is neither.
    """
    faults: list[Fault] = []
    files = text_names.data_files(path, is_judgements, deep=False)
    columns: dict[str, list[str | float | None]] = {name: [] for name in (*WORDS, "score", "section")}
    sources: list[str] = []
    for file in files:
        name = text_names.relative_name(file, path)
        _add(columns, sources, file, name, options, faults)
    if not sources:
        raise DataError(f"{path}: holds no word pairs and no analogies; give a file with some.")
    kinds = {name: pa.float64() if name == "score" else pa.string() for name in columns}
    table = pa.table({name: pa.array(cells, kinds[name]) for name, cells in columns.items()})
    pairs = sum(score is not None for score in columns["score"])
    layout = f"word judgements: {plural(pairs, 'pair')} and {plural(len(sources) - pairs, 'analogy', 'analogies')}"
    return Dataset(short_name(path), layout, {"all": with_origin(table, sources)}, (), tuple(faults))


def _add(
    columns: dict[str, list[str | float | None]],
    sources: list[str],
    file: Path,
    name: str,
    options: ReadOptions,
    faults: list[Fault],
) -> None:
    """The judgements of one more file."""
    section, begun = file.stem, False
    for number, line in enumerate(lines_of(read_text(file, options.encoding, faults)), start=1):
        if not line.strip() or line.startswith("#"):
            continue
        if line.startswith(":"):
            section = line[1:].strip() or file.stem
            continue
        words, pair = line.split(), _pair(line)
        if pair is not None:
            row: tuple[str | float | None, ...] = (*pair[:2], None, None, pair[2], section)
        elif len(words) == len(WORDS) and section != file.stem:
            row = (*words, None, section)
        elif not begun:  # the names of the columns
            begun = True
            continue
        else:
            raise DataError(
                f"{name}, line {number}: expected two words and a number, or four words under a line `: section`, but "
                f"it reads {line[:60]!r}; mend or remove the line."
            )
        begun = True
        sources.append(f"{name}, line {number}")
        for column, value in zip(columns, row, strict=True):
            columns[column].append(value)


def _pair(line: str) -> tuple[str, str, float] | None:
    parts = [part.strip() for part in _PARTS.split(line.strip())]
    if len(parts) != 3 or not all(parts):
        return None
    try:
        return parts[0], parts[1], float(parts[2])
    except ValueError:
        return None
