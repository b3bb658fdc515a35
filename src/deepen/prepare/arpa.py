r"""ARPA files of n-gram models, plain or gzipped, as SRILM, KenLM and others read and write them.

    \data\
    ngram 1=4            how many n-grams there are of each order
    ngram 2=3

    \1-grams:
    -99<tab><s><tab>-0.3 log10 of the probability, the words, log10 of the backoff (0 where it is left out)
    -0.8<tab></s>
    ...
    \end\

`<s>` is the beginning, `</s>` the end of a line, `<unk>` (or `<UNK>`) the word for all that is not listed. A file read
here may come from any of those tools; where the first words of an n-gram are not listed they are added as KenLM does
it, with the probability that they have through backing off. Numbers are written with as many digits as a float32 has.
"""

from __future__ import annotations

import gzip
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from deepen.core.errors import DataError
from deepen.core.files import atomic_write
from deepen.ops.ngram_trie import MISSING, NEVER, BackoffModel, Trie, located, starts_of
from deepen.prepare.arpa_file import BEGIN, END, UNKNOWN, ArpaFile, NGrams

SPACES = {" ": "<space>", "\t": "<tab>", "\n": "<newline>", "\r": "<return>"}  # tokens of texts read by characters
ROWS_AT_ONCE = 500_000
_SPACE, _TAB, _BREAK, _NOTHING = (pa.scalar(text, pa.large_string()) for text in (" ", "\t", "\n", ""))


def backoff_model(
    file: ArpaFile, vocabulary: Sequence[str] | None = None, *, end: str = END, unknown: str = UNKNOWN[0]
) -> tuple[BackoffModel, list[str]]:
    """The file's model over a vocabulary, and what had to be done for it in sentences.

    vocabulary  default: the file's own words, in their order
    end         the token of the vocabulary that the file's `</s>` is
    unknown     the token that its `<unk>` is

    N-grams with words that the vocabulary lacks are left out. A token that the file lacks has the probability of its
    `<unk>`, which is what other tools answer for it, and no n-grams; so the probabilities then add up to more than 1.
    """
    names = list(file.words if vocabulary is None else vocabulary)
    found = {arpa_word(token, end=end, unknown=unknown): place for place, token in enumerate(names)}
    number = np.array([_place_of(word, found) for word in file.words] + [len(names)])
    notes = []
    missing = len(names) - len(np.unique(number[:-1][number[:-1] >= 0]))
    left_out = int((number[:-1] < 0).sum())
    has_unknown = any(word in file.words for word in UNKNOWN)
    if missing:
        share = "the probability of its <unk>" if has_unknown else "log10 p = -99, since it has no <unk>"
        notes.append(f"{file.path}: lacks {missing:,} of {len(names):,} tokens; they get {share}.")
    if left_out:
        notes.append(f"{file.path}: {left_out:,} of its words are not in the vocabulary; their n-grams are left out.")
    orders = []
    for each in file.orders:
        grams = number[each.grams]
        kept = (grams >= 0).all(axis=1)
        orders.append(NGrams(grams[kept].astype(np.int32), each.probabilities[kept], each.backoffs[kept]))
    orders[0] = _all_unigrams(file, orders[0], len(names))
    model, added = _built(orders, len(names))
    if added:
        notes.append(f"{file.path}: {added:,} n-grams whose beginnings it does not list; these were added.")
    return model, notes


def write_arpa(
    path: Path | str, model: BackoffModel, vocabulary: Sequence[str], *, end: str = END, unknown: str = UNKNOWN[0]
) -> None:
    """Writes a model, gzipped where the name ends with .gz, whole or not at all.

    vocabulary  [V] the tokens; `end` is written as `</s>`, `unknown` as `<unk>`, tokens that are white space by name

    Raises DataError for tokens that such a file cannot hold: white space within, or two that would be written alike.
    """
    assert len(vocabulary) == model.num_words
    names = require_arpa_names(path, vocabulary, end=end, unknown=unknown)
    with atomic_write(path) as file:
        if str(path).endswith(".gz"):
            with gzip.GzipFile(fileobj=file, mode="wb", compresslevel=6, mtime=0, filename="") as packed:
                _write(packed, model, names)  # type: ignore[arg-type]
        else:
            _write(file, model, names)


def require_arpa_names(
    path: Path | str, vocabulary: Sequence[str], *, end: str = END, unknown: str = UNKNOWN[0]
) -> list[str]:
    """The tokens as an ARPA file spells them, and `<s>`. Raises DataError for those that it cannot hold."""
    tokens = [*vocabulary, BEGIN]
    names = [*(arpa_word(token, end=end, unknown=unknown) for token in vocabulary), BEGIN]
    seen: dict[str, str] = {}
    for name, token in zip(names, tokens, strict=True):
        if name == "" or re.search(r"[\x00\t-\r ]", name):
            raise DataError(f"{path}: an ARPA file cannot hold the token {token!r}, which has white space in it.")
        spelled = UNKNOWN[0] if name in UNKNOWN else name
        if spelled in seen:
            raise DataError(
                f"{path}: expected tokens that ARPA files tell apart, but {seen[spelled]!r} and {token!r} are both "
                f"read as {spelled}."
            )
        seen[spelled] = token
    return names


def arpa_word(token: str, *, end: str = END, unknown: str = UNKNOWN[0]) -> str:
    """A token as ARPA files spell it.

    >>> arpa_word("<eos>", end="<eos>"), arpa_word(" ")
    ('</s>', '<space>')
    """
    if token == end:
        return END
    return UNKNOWN[0] if token == unknown else SPACES.get(token, token)


def _place_of(word: str, found: Mapping[str, int]) -> int:
    if word in UNKNOWN:
        return found.get(word, found.get(UNKNOWN[0], MISSING))
    return found.get(word, MISSING)


def _all_unigrams(file: ArpaFile, held: NGrams, num_words: int) -> NGrams:
    """One for every token and the beginning, in their order."""
    first = file.orders[0]
    unknown = [file.words.index(word) for word in UNKNOWN if word in file.words]
    share = first.probabilities[np.flatnonzero(first.grams[:, 0] == unknown[0])[0]] if unknown else NEVER
    probabilities = np.full(num_words + 1, share, np.float32)
    backoffs = np.zeros(num_words + 1, np.float32)
    probabilities[num_words] = NEVER
    probabilities[held.grams[:, 0]] = held.probabilities
    backoffs[held.grams[:, 0]] = held.backoffs
    return NGrams(np.arange(num_words + 1, dtype=np.int32)[:, None], probabilities, backoffs)


def _built(orders: list[NGrams], num_words: int) -> tuple[BackoffModel, int]:
    """The trie of n-grams in any order, and how many had to be added because others begin with them."""
    base = num_words + 1
    trie = Trie(num_words, (), ())
    probabilities, backoffs = [orders[0].probabilities], [orders[0].backoffs]
    suffixes, closed, added = np.full(base, MISSING, np.int64), True, 0
    for order, each in enumerate(orders[1:], start=2):
        parents = trie.find_all(each.grams[:, :-1])
        if (parents < 0).any():
            complete, added = _with_beginnings(orders)
            return _built(complete, num_words)[0], added
        keys = parents * base + each.grams[:, -1]
        sorting = np.argsort(keys)
        parents, last = parents[sorting], each.grams[sorting, -1]
        if order == 2:
            suffixes = last.astype(np.int64)
        else:
            suffixes = located(trie.all_keys[order - 3], suffixes[parents], last, base)
            closed &= bool((suffixes >= 0).all())
        starts = starts_of(parents, trie.sizes[-1])
        model = BackoffModel(trie, tuple(probabilities), tuple(backoffs[:-1]), is_closed=False)
        probability, backoff = each.probabilities[sorting], each.backoffs[sorting]
        blank = np.flatnonzero(np.isnan(probability))
        for row in blank:
            gram = each.grams[sorting[row]]
            probability[row] = backoffs[-1][parents[row]] + _log10(model, backoffs, gram[1:])
        trie = Trie(num_words, (*trie.words, last.astype(np.int32)), (*trie.starts, starts))
        probabilities.append(probability)
        backoffs.append(backoff)
    return BackoffModel(trie, tuple(probabilities), tuple(backoffs[:-1]), is_closed=closed), added


def _with_beginnings(orders: list[NGrams]) -> tuple[list[NGrams], int]:
    """The orders, and in each those n-grams that longer ones begin with; their probability is not a number yet."""
    found, added = list(orders), 0
    for k in range(len(found) - 1, 1, -1):
        own = found[k - 1]
        both = np.concatenate([own.grams, found[k].grams[:, :-1]])
        _, first = np.unique(both, axis=0, return_index=True)
        extra = both[np.sort(first[first >= len(own.grams)])]
        added += len(extra)
        found[k - 1] = NGrams(
            np.concatenate([own.grams, extra]),
            np.append(own.probabilities, np.full(len(extra), np.nan, np.float32)),
            np.append(own.backoffs, np.zeros(len(extra), np.float32)),
        )
    return found, added


def _log10(model: BackoffModel, backoffs: Sequence[np.ndarray], gram: np.ndarray) -> float:
    """log10 p of the last word of an n-gram after the others, shorter and shorter."""
    total = 0.0
    while True:
        place = model.trie.find(gram)
        if place != MISSING:
            return total + float(model.probabilities[len(gram) - 1][place])
        context = model.trie.find(gram[:-1])
        total += float(backoffs[len(gram) - 2][context]) if context != MISSING else 0.0
        gram = gram[1:]


def _write(file: IO[bytes], model: BackoffModel, names: Sequence[str]) -> None:
    head = "".join(f"ngram {n}={size}\n" for n, size in enumerate(model.trie.sizes, start=1))
    file.write(f"\\data\\\n{head}".encode())
    words = pa.array(names, pa.large_string())
    for order, size in enumerate(model.trie.sizes, start=1):
        file.write(f"\n\\{order}-grams:\n".encode())
        for start in range(0, size, ROWS_AT_ONCE):
            file.write(_section_text(model, words, order, slice(start, min(start + ROWS_AT_ONCE, size))))
    file.write(b"\n\\end\\\n")


def _section_text(model: BackoffModel, words: pa.Array, order: int, rows: slice) -> bytes:
    grams = model.trie.grams(order, rows)
    columns = [words.take(pa.array(grams[:, k])) for k in range(order)]
    join: Any = pc.binary_join_element_wise  # type: ignore[attr-defined]
    cells = [_decimal(model.probabilities[order - 1][rows]), join(*columns, _SPACE)]
    if order < model.order:
        cells.append(_decimal(model.backoffs[order - 1][rows]))
    lines = join(join(*cells, _TAB), _BREAK, _NOTHING)
    return lines.buffers()[2].to_pybytes()[: pc.sum(pc.binary_length(lines)).as_py()]  # type: ignore[attr-defined]


def _decimal(numbers: np.ndarray) -> pa.Array:
    """The shortest decimals that are read as these float32."""
    return pa.array(np.where(numbers == 0, np.float32(0), numbers)).cast(pa.string()).cast(pa.large_string())
