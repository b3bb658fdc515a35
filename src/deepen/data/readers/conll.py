"""Tagged sentences: a token a line with its tag in a column, a blank line between sentences (CoNLL, CoNLL-U).

    Empire    B-location            the tag is in the last column; --target 2 takes another, --columns names the token's
    1  Al  Al  PROPN  NNP  ...      .conllu: FORM and UPOS; --target xpos, feats, deprel ... takes another

Lines of white space alone are blank lines. `-DOCSTART-` lines and comments are passed over, and in CoNLL-U lines for
several words (8-9) and for words that are not in the text (8.1) too, which is counted. Tags are read as they stand.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa

from deepen.core.errors import DataError
from deepen.core.faults import Fault
from deepen.core.units import plural
from deepen.data import text_names
from deepen.data.conll_columns import Sentences, columns_of, sentences_of
from deepen.data.dataset import Dataset, content_key
from deepen.data.read import ReadOptions, short_name
from deepen.data.text_encoding import lines_of, read_text

LOOKS_FOR = "tagged sentences, a token a line (CoNLL, CoNLL-U)"
ENDINGS = (".conll", ".conllu", ".conllx", ".bio", ".iob", ".iob2", ".bioes")
LEAST_LIKE_TOKENS = 0.98
LONGEST_SENTENCE = 1_000  # tokens; what is longer has probably lost its blank lines


def recognizes(path: Path) -> bool:
    """Whether this is such a file, or a folder with one."""
    return text_names.any_file(path, is_conll)


def is_conll(file: Path) -> bool:
    """Whether a file looks like a token a line: by its ending, or by its columns and the blank lines between."""
    kind = text_names.ending(file.name)
    if kind in ENDINGS:
        return True
    if kind in text_names.OTHER_ENDINGS:
        return False
    lines = text_names.head_lines(file)
    data = text_names.head(file)
    if not lines or not any(not line.strip() for line in data.split(b"\n")[1:-1]):
        return False
    widths = Counter(len(line.split("\t")) if "\t" in line.strip() else len(line.split()) for line in lines)
    width, count = widths.most_common(1)[0]
    return 2 <= width <= 14 and count >= LEAST_LIKE_TOKENS * len(lines) and _are_short(lines)


def read(path: Path, options: ReadOptions) -> Dataset:
    """Columns tokens and tags (lists of strings), source ("file, line N" of the first token) and key.

    The key is a hash of the tokens and their tags. Where tags are not needed they may be missing. Sentences with a
    damaged line are left out (level sample). Raises DataError for a column that is not there, and if no sentence is.
    """
    faults: list[Fault] = []
    files = text_names.by_split(text_names.data_files(path, is_conll), path, faults, pair=True)
    if not any(files.values()):
        raise DataError(f"{path}: holds no file of tagged sentences; give one, or a folder with some.")
    read_files = {
        split: [(text_names.relative_name(file, path), _sentences(file, path, options, faults)) for file in same]
        for split, same in files.items()
    }
    tables = {split: _table(found) for split, found in read_files.items()}
    everything = [found for same in read_files.values() for _, found in same]
    if not any(found.tokens for found in everything):
        bad = [fault for fault in faults if fault.level == "sample"]
        raise DataError(bad[0].sentence() if bad else f"{path}: holds no sentence; give a file with some.", bad)
    _say_left_out(everything, path, faults)
    return Dataset(short_name(path), _layout(files, everything), tables, (), tuple(faults))


def _sentences(file: Path, root: Path, options: ReadOptions, faults: list[Fault]) -> Sentences:
    name = text_names.relative_name(file, root)
    lines = lines_of(read_text(file, options.encoding, faults, place=name))
    token = options.columns[0] if options.columns else ""
    is_conll_u = text_names.ending(file.name) == ".conllu"
    columns = columns_of(lines, is_conll_u=is_conll_u, token=token, target=options.target, place=name)
    if columns.tag < 0 and options.targets_needed:
        raise DataError(f"{name}: holds one column; expected a token and its tag, separated by a tab or a blank.")
    found = sentences_of(lines, columns, name, faults)
    longest = max(found.tokens, key=len, default=[])
    if len(longest) > LONGEST_SENTENCE:
        line = found.starts[next(i for i, tokens in enumerate(found.tokens) if tokens is longest)]
        message = f"a sentence of {len(longest):,} tokens begins here; are blank lines between sentences missing?"
        faults.append(Fault("warning", "sentence-long", f"{name}, line {line}", message))
    return found


def _table(files: Sequence[tuple[str, Sentences]]) -> pa.Table:
    tokens = [row for _, found in files for row in found.tokens]
    tags = [row for _, found in files for row in found.tags]
    texts = pa.list_(pa.string())
    columns = {"tokens": pa.array(tokens, texts)}
    if tags and len(tags) == len(tokens):
        columns["tags"] = pa.array(tags, texts)
    sources = [f"{name}, line {line}" for name, found in files for line in found.starts]
    columns["source"] = pa.array(sources, pa.string())
    pairs = zip(tokens, tags, strict=True) if "tags" in columns else ((row, ()) for row in tokens)
    keys = [content_key("\n".join(row).encode(), "\n".join(tagged).encode()) for row, tagged in pairs]
    return pa.table({**columns, "key": pa.array(keys, pa.string())})


def _say_left_out(found: Sequence[Sentences], path: Path, faults: list[Fault]) -> None:
    ranges, empties = sum(each.ranges for each in found), sum(each.empties for each in found)
    if ranges or empties:
        message = (
            f"{plural(ranges, 'line')} for several words (such as 8-9) and {plural(empties, 'line')} for words that "
            "are not in the text (such as 8.1) left out."
        )
        faults.append(Fault("note", "nodes-left-out", path.name, message))


def _layout(files: dict[str, list[Path]], found: Sequence[Sentences]) -> str:
    endings = {text_names.ending(file.name) for same in files.values() for file in same}
    kind = "CoNLL-U" if endings == {".conllu"} else "CoNLL"
    sentences = sum(len(each.tokens) for each in found)
    tokens = sum(map(len, (row for each in found for row in each.tokens)))
    tags = {tag for each in found for row in each.tags for tag in row}
    kinds = f", {len(tags)} tags" if tags else ""
    counted = f"{plural(sentences, 'sentence')}, {plural(tokens, 'token')}{kinds}"
    return f"{kind} {text_names.shown_files(files)}: {counted}"


def _are_short(lines: Sequence[str]) -> bool:
    """Whether first columns are words, not texts: a table of texts has blanks in them."""
    return sum(" " in line.split("\t")[0].strip() for line in lines if "\t" in line) <= 0.02 * len(lines)
