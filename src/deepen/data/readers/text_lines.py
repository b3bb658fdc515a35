"""Plain text: a corpus as blocks of whole lines, or where each sample is answered by itself, one line a row.

    wikitext-2/wiki.train.tokens, wiki.valid.tokens, wiki.test.tokens       the splits as given
    timemachine.txt, or a folder of texts                                   all in one table

What a folder holds beside the texts (README, LICENSE, tables, pictures) is not read.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import pyarrow as pa

from deepen.core.errors import DataError
from deepen.core.faults import Fault
from deepen.core.units import plural, size
from deepen.data import text_blocks, text_names
from deepen.data.dataset import Dataset, content_key
from deepen.data.read import ReadOptions, short_name
from deepen.data.text_encoding import lines_of, read_text
from deepen.data.walk import walk

LOOKS_FOR = "plain text in one file or in a folder of files"
FOLDERS_LOOKED = 50


def recognizes(path: Path) -> bool:
    """Whether this is a text file, or a folder with one (or with a folder with one)."""
    if text_names.any_file(path, is_text):
        return True
    try:
        folders = [each for _, each in zip(range(FOLDERS_LOOKED), path.iterdir(), strict=False) if each.is_dir()]
    except OSError:
        return False
    return any(text_names.any_file(folder, is_text) for folder in folders)


def is_text(file: Path) -> bool:
    """Whether a file is one of plain text: no table, markup or picture by its name, and text by its first bytes."""
    kind = text_names.ending(file.name)
    return kind not in text_names.OTHER_ENDINGS and text_names.may_be_text(text_names.head(file))


def read(path: Path, options: ReadOptions) -> Dataset:
    """Columns text, source, key, and of a corpus place, the number of the block in its split.

    With `options.singly` a row is a line that is not blank. Raises DataError where labels are needed, and for files
    that hold nothing.
    """
    if options.targets_needed:
        if not any(text_names.head_lines(file) for file in text_names.data_files(path, is_text, deep=True)):
            raise DataError(f"{path}: holds no text; give a file with some.")
        raise DataError(
            f"{path}: holds plain text without labels; give lines such as `__label__x text` or `x<TAB>text`, a table, "
            "or a folder per class."
        )
    faults: list[Fault] = []
    files = corpus_files(path, faults)
    texts = {
        split: [(text_names.relative_name(file, path), read_text(file, options.encoding, faults)) for file in same]
        for split, same in files.items()
    }
    if not any(text.strip() for same in texts.values() for _, text in same):
        raise DataError(f"{path}: holds no text; give a file with some.")
    make = _rows if options.singly else _blocks
    tables = {split: make(same, faults) for split, same in texts.items()}
    layout = _layout(files, texts) + ("" if options.singly else in_blocks(tables))
    return Dataset(short_name(path), layout, tables, (), tuple(faults))


def corpus_files(path: Path, faults: list[Fault]) -> dict[str, list[Path]]:
    """The text files by split; a note says what else lies beside them."""
    files = text_names.data_files(path, is_text, deep=True)
    if not files:
        raise DataError(f"{path}: holds no text file; give one, or a folder with some.")
    if path.is_dir():
        found = walk(path)
        faults.extend(found.faults)
        read = {text_names.relative_name(file, path) for file in files}
        left = [name for name in found.files if name not in read]
        if left:
            shown = ", ".join(left[:3]) + (f" and {len(left) - 3:,} more" if len(left) > 3 else "")
            faults.append(Fault("note", "other-files", str(path), f"not read as data: {shown}."))
    return text_names.by_split(files, path, faults, many=True)


def _blocks(texts: Sequence[tuple[str, str]], faults: list[Fault]) -> pa.Table:
    """The blocks of all files, one file after another."""
    encoded = [(name, text.encode("utf-8")) for name, text in texts if text]
    length = text_blocks.block_size(sum(len(data) for _, data in encoded))
    columns: list[pa.ChunkedArray] = []
    sources, keys = [], []
    for name, data in encoded:
        cut = text_blocks.cut(data, length)
        if cut.inside:
            faults.append(cut_within(name, cut.inside))
        columns.append(text_blocks.strings(data, cut.offsets))
        sources += [f"{name}, line {line}" for line in cut.lines]
        keys += cut.keys
    chunks = [chunk for column in columns for chunk in column.chunks]
    return pa.table(
        {
            "text": pa.chunked_array(chunks, pa.string()),
            "place": pa.array(range(len(keys)), pa.int64()),
            "source": pa.array(sources, pa.string()),
            "key": pa.array(keys, pa.string()),
        }
    )


def in_blocks(tables: Mapping[str, pa.Table]) -> str:
    """The samples of a corpus, in words: they are what splits count."""
    return f", in {plural(sum(table.num_rows for table in tables.values()), 'block')} of whole lines"


def cut_within(name: str, count: int) -> Fault:
    """The note that lines were so long that they had to be cut."""
    message = f"holds lines of more than {size(text_blocks.LARGEST_BLOCK)}, cut in {plural(count, 'place')}."
    return Fault("note", "line-cut", name, message)


def _rows(texts: Sequence[tuple[str, str]], faults: list[Fault]) -> pa.Table:
    """The lines that are not blank."""
    rows, sources = [], []
    for name, text in texts:
        lines = lines_of(text)
        full = [(number, line) for number, line in enumerate(lines, start=1) if line and not line.isspace()]
        rows += [line for _, line in full]
        sources += [f"{name}, line {number}" for number, _ in full]
        if len(full) < len(lines):
            message = f"{plural(len(lines) - len(full), 'blank line')} passed over."
            faults.append(Fault("note", "line-blank", name, message))
    return pa.table(
        {
            "text": pa.array(rows, pa.string()),
            "source": pa.array(sources, pa.string()),
            "key": pa.array([content_key(row.encode()) for row in rows], pa.string()),
        }
    )


def _layout(
    files: Mapping[str, Sequence[Path]],
    texts: Mapping[str, Sequence[tuple[str, str]]],
) -> str:
    lines = sum(text.count("\n") + (text[-1:] not in ("\n", "")) for same in texts.values() for _, text in same)
    letters = sum(len(text) for same in texts.values() for _, text in same)
    parts = "" if "all" in files else f" ({', '.join(files)})"
    return f"plain text {text_names.shown_files(files)}{parts}: {plural(lines, 'line')}, {plural(letters, 'character')}"
