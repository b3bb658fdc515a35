"""Pairs of texts with a class, a score or both: SICK, SNLI, MNLI, GLUE, STS, and any table with two columns of texts.

    pair_ID  sentence_A  sentence_B  relatedness_score  entailment_judgment       SICK; trial is for validation
    {"sentence1": "...", "sentence2": "...", "gold_label": "neutral"}             SNLI; "-" is no label and left out

The columns are found by their names, or are the two of --columns a,b; --target names the class or the score.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from deepen.core.errors import DataError
from deepen.core.faults import Fault
from deepen.core.units import plural
from deepen.data import text_names, text_rows
from deepen.data.columns import RESERVED
from deepen.data.dataset import Dataset, content_key
from deepen.data.read import ReadOptions, short_name
from deepen.data.target import found_column, listed, mark_target
from deepen.data.text_classes import class_names, layout, named
from deepen.data.text_file import refusal

LOOKS_FOR = "a table (.csv, .tsv, .jsonl, .parquet) with two columns of texts, such as SICK and SNLI"
PAIRS = (
    ("text_a", "text_b"),
    ("sentence_a", "sentence_b"),
    ("sentence1", "sentence2"),
    ("premise", "hypothesis"),
    ("question1", "question2"),
    ("text1", "text2"),
    ("question", "sentence"),
    ("question", "answer"),
    ("query", "passage"),
    ("#1 string", "#2 string"),
    ("s1", "s2"),
    ("a", "b"),
)
LABEL_NAMES = ("label", "gold_label", "entailment_judgment", "is_duplicate", "quality", "class", "target", "judgment")
SCORE_NAMES = ("score", "relatedness_score", "similarity", "similarity_score", "gold_score", "relatedness")
NO_LABEL = "-"
FEWEST_WORDS = 2.5
MOST_COPIES = 0.5  # of the pairs


def recognizes(path: Path) -> bool:
    """Whether this is a table, or a folder with one."""
    return text_names.any_file(path, text_rows.is_table)


def read(path: Path, options: ReadOptions) -> Dataset:
    """Columns text_a, text_b, label (a string) and score (a number) as far as there are such, source and key.

    Rows without a label where it is written as "-" are left out and counted. Raises DataError if two columns of texts
    cannot be told, and if neither a class nor a score is there where one is needed.
    """
    faults: list[Fault] = []
    files = text_names.by_split(text_names.data_files(path, text_rows.is_table), path, faults)
    if not any(files.values()):
        raise DataError(f"{path}: holds no table; give one, or a folder with one.")
    raw = text_rows.read_rows(files, options, faults)
    first, place = next(iter(raw.values())), next(iter(files.values()))[0].name
    pair = _pair(first, options, place)
    label, score, asked = _targets(first, options, pair, place)
    said = [f"texts {pair[0]!r} and {pair[1]!r}", *([f"class {label!r}"] if label else [])]
    said += [f"score {score!r}"] if score else []
    message = f"columns are {', '.join(said)}; --columns and --target take others."
    faults.append(Fault("note", "pair-columns", place, message))
    raw = {split: _with_labels(table, label, split, faults) for split, table in raw.items()}
    names: tuple[str, ...] = ()
    labels = {split: table.column(label).cast(pa.string()).to_pylist() for split, table in raw.items()} if label else {}
    if label:
        labels, names = named(labels, class_names(path, options, faults), place, faults, stated=bool(options.labels))
    tables = {}
    for split, table in raw.items():
        made = _table(table, pair, labels.get(split), score, options, faults)
        _say_empty(made, split, faults)
        _warn_of_copies(made, split, faults)
        tables[split] = mark_target(made, asked) if asked else made
    return Dataset(short_name(path), layout("pairs", files, tables, "pair"), tables, names, tuple(faults))


def _pair(table: pa.Table, options: ReadOptions, place: str) -> tuple[str, str]:
    """The two columns of texts."""
    own = [name for name in table.column_names if name not in RESERVED]
    if options.columns:
        if len(options.columns) != 2:
            message = f"--columns {','.join(options.columns)}: expected two columns of texts."
            raise refusal("pair-columns", place, message)
        first, second = (found_column(own, name, place) for name in options.columns)
        if first == second:
            raise refusal("pair-columns", place, f"--columns names {first!r} twice; expected two columns of texts.")
        return first, second
    folded = {name.casefold(): name for name in reversed(own)}
    for first, second in PAIRS:
        if first in folded and second in folded:
            return folded[first], folded[second]
    if len(own) < 2:
        raise refusal("pair-columns", place, "there is one column; expected two of texts, and what is to be learned.")
    texts = [name for name in text_rows.text_columns(table) if text_rows.mean_words(table, name) >= FEWEST_WORDS]
    if len(texts) == 2:
        return texts[0], texts[1]
    message = f"which two columns are the texts is not known; pass --columns A,B of: {listed(own)}."
    raise refusal("pair-columns", place, message)


def _targets(table: pa.Table, options: ReadOptions, pair: Sequence[str], place: str) -> tuple[str, str, str]:
    """The column of classes and that of scores, "" for none, and which of them, label or score, --target means."""
    own = [name for name in table.column_names if name not in RESERVED and name not in pair]
    folded = {name.casefold(): name for name in reversed(own)}
    label = next((folded[name] for name in LABEL_NAMES if name in folded), "")
    score = next((folded[name] for name in SCORE_NAMES if name in folded), "")
    asked, meant = options.target.strip(), ""
    if {"label": label, "score": score}.get(asked.casefold()):
        meant = asked.casefold()
    elif asked:
        try:
            found = found_column(own, asked, place)
        except DataError:
            if options.targets_needed:
                raise
            return label, score, ""
        meant = "score" if _is_score(table, found) else "label"
        label, score = (label, found) if meant == "score" else (found, score)
    if not label and not score and not asked and len(own) == 1:
        label, score = ("", own[0]) if _is_score(table, own[0]) else (own[0], "")
    if options.targets_needed and not label and not score:
        message = f"which column is to be learned is not known; pass --target NAME. There is: {listed(own) or 'none'}."
        raise refusal("target-unknown", place, message)
    return label, score, meant


def _is_score(table: pa.Table, name: str) -> bool:
    """Whether a column holds numbers that are no class numbers: by its name, or with fractions."""
    if name.casefold() in SCORE_NAMES:
        return True
    kind = table.schema.field(name).type
    if pa.types.is_floating(kind):
        return True
    cells = [cell for cell in table.column(name).slice(0, text_rows.ROWS_LOOKED).cast(pa.string()).to_pylist() if cell]
    return bool(cells) and all(_number(cell) is not None for cell in cells) and any("." in cell for cell in cells)


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def _with_labels(table: pa.Table, label: str, split: str, faults: list[Fault]) -> pa.Table:
    """The rows whose label is not "-"."""
    if not label or not pa.types.is_string(table.schema.field(label).type):
        return table
    none = [text == NO_LABEL for text in table.column(label).to_pylist()]
    count = sum(none)
    if not count:
        return table
    place = table.column("source")[none.index(True)].as_py()
    message = f"{plural(count, 'pair')} of {split} without a label ({NO_LABEL!r}: annotators did not agree) left out."
    faults.append(Fault("note", "pair-unlabelled", place, message))
    return table.filter(pa.array([not each for each in none]))


def _table(
    raw: pa.Table,
    pair: Sequence[str],
    labels: Sequence[str | None] | None,
    score: str,
    options: ReadOptions,
    faults: list[Fault],
) -> pa.Table:
    first, second = (text_rows.texts_of(raw, [name]) for name in pair)
    columns: dict[str, pa.Array | pa.ChunkedArray] = {
        "text_a": pa.array(first, pa.string()),
        "text_b": pa.array(second, pa.string()),
    }
    if labels is not None:
        columns["label"] = pa.array(labels, pa.string())
    if score:
        columns["score"] = _scores(raw, score, faults)
    columns["source"] = raw.column("source")
    keys = [content_key(a.encode(), b.encode()) for a, b in zip(first, second, strict=True)]
    columns["key"] = pa.array(keys, pa.string())
    if options.group in raw.column_names and options.group not in columns:
        columns[options.group] = raw.column(options.group)
    return pa.table(columns)


def _scores(raw: pa.Table, name: str, faults: list[Fault]) -> pa.Array:
    """[N] double; what is no number is missing, which is said."""
    cells = raw.column(name).cast(pa.string()).to_pylist()
    numbers = [None if cell is None else _number(cell) for cell in cells]
    wrong = [i for i, (cell, number) in enumerate(zip(cells, numbers, strict=True)) if cell and number is None]
    if wrong:
        message = f"score {cells[wrong[0]]!r} is no number, as in {plural(len(wrong), 'row')}; taken as missing."
        faults.append(Fault("warning", "score-text", raw.column("source")[wrong[0]].as_py(), message))
    return pa.array(numbers, pa.float64())


def _warn_of_copies(table: pa.Table, split: str, faults: list[Fault]) -> None:
    """A warning where most pairs hold one text twice: a column was copied over the other."""
    same = pc.call_function("equal", [table.column("text_a"), table.column("text_b")]).to_pylist()
    if sum(same) > MOST_COPIES * len(same):
        message = f"{plural(sum(same), 'pair')} of {split} ({sum(same) / len(same):.0%}) hold the same text twice."
        faults.append(Fault("warning", "pair-copies", table.column("source")[same.index(True)].as_py(), message))


def _say_empty(table: pa.Table, split: str, faults: list[Fault]) -> None:
    pairs = zip(table.column("text_a").to_pylist(), table.column("text_b").to_pylist(), strict=True)
    empty = [i for i, (first, second) in enumerate(pairs) if not first.strip() or not second.strip()]
    if empty:
        message = f"{plural(len(empty), 'pair')} of {split} with an empty text, kept."
        faults.append(Fault("note", "text-empty", table.column("source")[empty[0]].as_py(), message))
