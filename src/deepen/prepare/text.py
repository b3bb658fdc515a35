"""Texts to ids: what is learned from the training texts, and every text as the ids of its tokens.

    word       words and signs, split by rules, at blanks, or by a Chinese dictionary (`text_splitting`)
    character  the code points of the normalized text
    byte       the bytes of UTF-8, 256 of them, so that nothing is unknown
    subword    pieces learned by BPE, WordPiece or unigram (`subword`)

A word that reads like a special, such as the <unk> of a corpus that was cut to a vocabulary before, is that special;
characters and bytes never are. `text_vocabulary` says which token gets which id.
"""

from __future__ import annotations

import hashlib
import itertools
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from deepen.core.errors import DataError, OptionError
from deepen.core.faults import Fault
from deepen.core.jsontext import json_text
from deepen.core.units import plural
from deepen.prepare import segment, subword, text_rules, text_splitting
from deepen.prepare.text_options import TextOptions
from deepen.prepare.text_splitting import BYTES, NUM_BYTES, Splitter
from deepen.prepare.text_vocabulary import SPECIALS, UNKNOWN, refuse_contradictions, vocabulary

if TYPE_CHECKING:
    from deepen.prepare.ragged import Ragged

_AT_ONCE = 256  # tokens that are looked up in one go: fewer cost a call for each short text, more leave the cache
_BLOCK = 4096  # texts that are looked up at once


def learn(
    texts: Iterable[str], options: TextOptions, faults: list[Fault], *, specials: Sequence[str] = SPECIALS
) -> dict[str, Any]:
    """What `Tokenizer` needs, JSON-able, from the training texts, which are read once.

    specials  the first ids, 0, 1, ...; <unk> must be among them except for bytes
    returns   {"level", "normalize", "lower", "specials", "max_length", "vocabulary", "counts"}, at level word also
              "splitter" and, with jieba, its version; at level subword "subword" and "tokenizer" (the content of
              tokenizer.json, which holds the vocabulary) in the place of "vocabulary"
    faults    gets notes on what was chosen and how many tokens are unknown

    Raises OptionError for options that contradict each other or a package that is missing, DataError where the texts
    hold fewer than two tokens to tell apart.
    """
    refuse_contradictions(options, specials)
    state = _chosen(options, specials)
    if options.level == "subword":
        state |= subword.learn(texts, options, specials)
        message = (
            f"{plural(len(state['counts']), 'piece')} in the vocabulary, of {plural(sum(state['counts']), 'token')} "
        )
        faults.append(Fault("note", "text-vocabulary", "", f"{message}for training."))
        return state
    if options.level == "word":
        texts = list(texts) if options.splitter == "auto" and not isinstance(texts, Sequence) else texts
        state |= text_splitting.chosen(texts, options.splitter, faults)
    counts = _counted(texts, state)
    return state | vocabulary(counts, options, state, faults)


def learn_tokens(
    rows: Iterable[Sequence[str]], options: TextOptions, faults: list[Fault], *, specials: Sequence[str] = SPECIALS
) -> dict[str, Any]:
    """The same for texts that come as lists of tokens, each of which is one word whatever it holds.

    Raises OptionError for another level than word.
    """
    if options.level != "word":
        raise OptionError(
            f"--text.level: expected word, since the tokens are given with the data, but is {options.level!r}."
        )
    refuse_contradictions(options, specials)
    splitter = "rules" if options.splitter == "auto" else options.splitter
    state = _chosen(options, specials) | {"splitter": splitter}
    normalized = Splitter(state).normalized
    counts: Counter[str] = Counter()
    for row in rows:
        counts.update(map(normalized, row))
    return state | vocabulary(counts, options, state, faults)


def encode(texts: Sequence[str], state: dict[str, Any], split: str, faults: list[Fault]) -> Ragged:
    """The ids of each text, [N] rows of int32; an empty text has an empty row.

    faults  gets how many texts were cut at the state's `max_length`, how many hold no token, and outside of training
            how many tokens are unknown
    """
    return _ragged(*ids_of(texts, state, split, faults))


def ids_of(
    texts: Sequence[str], state: dict[str, Any], split: str, faults: list[Fault]
) -> tuple[np.ndarray, np.ndarray]:
    """The same without torch: all ids one behind the other, int32, and where each text starts, [N + 1] int64."""
    tokenizer = Tokenizer(state)
    tokenizer.warn_of_changes(faults)
    return _together(tokenizer.many_ids(texts), len(texts), tokenizer, split, faults)


def encode_tokens(rows: Sequence[Sequence[str]], state: dict[str, Any], split: str, faults: list[Fault]) -> Ragged:
    """The ids of texts that come as lists of tokens, one id for each token, cut and counted as `encode` does."""
    return _ragged(*ids_of_tokens(rows, state, split, faults))


def ids_of_tokens(
    rows: Sequence[Sequence[str]], state: dict[str, Any], split: str, faults: list[Fault]
) -> tuple[np.ndarray, np.ndarray]:
    """The same without torch, as in `ids_of`."""
    tokenizer = Tokenizer(state)
    found = (tokenizer.ids_of_tokens(row) for row in rows)
    return _together(found, len(rows), tokenizer, split, faults)


def files(state: dict[str, Any]) -> dict[str, Any]:
    """JSON files for a run folder by name: tokenizer.json at level subword, which other tools read; else none."""
    return {"tokenizer.json": state["tokenizer"]} if state["level"] == "subword" else {}


class Tokenizer:
    """Texts to tokens to ids and back, as a state of `learn` says.

    vocabulary   every token in the order of its id, specials first
    counts       how often each stood in the training texts; those of <unk> include all that were too rare
    specials     the first of the vocabulary
    unknown      the id of <unk>, -1 where nothing can be unknown
    fingerprint  16 digits that differ where another text could get other ids
    """

    def __init__(self, state: dict[str, Any]) -> None:
        self.state = state
        self.level: str = state["level"]
        self.specials: tuple[str, ...] = tuple(state["specials"])
        self._subword = subword.Subwords(state) if self.level == "subword" else None
        self.vocabulary: list[str] = self._subword.vocabulary if self._subword else list(state["vocabulary"])
        self.counts: list[int] = list(state["counts"])
        self.unknown = self.specials.index(UNKNOWN) if UNKNOWN in self.specials else -1
        self._splitter = Splitter(state)
        first = len(self.specials) if self.level == "character" else 0  # a special is no character
        self._ids = _Ids(self.unknown, ((token, first + i) for i, token in enumerate(self.vocabulary[first:])))

    def __len__(self) -> int:
        return len(self.vocabulary)

    @property
    def fingerprint(self) -> str:
        """See the class."""
        same = {name: value for name, value in self.state.items() if name not in ("counts", "max_length")}
        return hashlib.sha256(json_text(dict(sorted(same.items()))).encode()).hexdigest()[:16]

    def normalized(self, text: str) -> str:
        """The text as it is before it is split."""
        return self._splitter.normalized(text)

    def tokens(self, text: str) -> list[str]:
        """The tokens of a text, unknown ones too as they are written.

        At level byte each is written like <0xE4>.
        """
        return self._subword.tokens(text) if self._subword else self._splitter.tokens(text)

    def ids(self, text: str) -> list[int]:
        """The ids of all tokens of a text; `max_length` is `encode`'s."""
        return next(iter(self.many_ids([text]))).tolist()

    def ids_of_tokens(self, tokens: Sequence[str]) -> np.ndarray:
        """One id for each given token (level word), [n] int32; each is normalized and never split."""
        return self._looked_up([self.normalized(token) for token in tokens])

    def many_ids(self, texts: Sequence[str]) -> Iterable[np.ndarray]:
        """The ids of each text in turn, [n] int32."""
        if self._subword:
            yield from self._subword.many_ids(texts)
        elif self.level == "byte":
            first = np.int32(len(self.specials))
            for text in texts:
                yield self._splitter.bytes_of(text) + first
        else:
            tokens: list[str] = []
            ends = [0]
            for text in texts:
                tokens += self._splitter.tokens(text)
                ends.append(len(tokens))
                if len(tokens) >= _AT_ONCE:
                    yield from self._cut(tokens, ends)
                    tokens, ends = [], [0]
            yield from self._cut(tokens, ends)

    def id_of(self, token: str) -> int:
        """The id of a token as it stands in the vocabulary, `unknown` if it does not."""
        if token in self.specials:
            return self.specials.index(token)
        return self._ids.get(token, self.unknown)

    def text(self, ids: Iterable[int]) -> str:
        """The text of ids. Specials are written as they are called.

        Exactly the normalized text at the levels byte and character and for subwords with bytes to fall back to, where
        no id is a special; words are joined by blanks, Han characters by nothing. Bytes that are no UTF-8 become
        U+FFFD. Raises DataError for an id outside the vocabulary.
        """
        ids = [int(index) for index in ids]
        wrong = next((index for index in ids if not 0 <= index < len(self.vocabulary)), None)
        if wrong is not None:
            raise DataError(
                f"id {wrong}: outside the vocabulary of {len(self.vocabulary):,} tokens; were these ids made by "
                "another tokenizer?"
            )
        if self._subword:
            return self._subword.text(ids)
        if self.level == "byte":
            return _text_of_bytes(ids, self.specials)
        tokens = [self.vocabulary[index] for index in ids]
        return "".join(tokens) if self.level == "character" else _joined(tokens)

    def warn_of_changes(self, faults: list[Fault]) -> None:
        """Adds a warning if what splits texts today is not what split them in training."""
        learned = self.state.get("jieba")
        if learned is not None and learned != segment.version():
            message = (
                f"jieba {segment.version()} splits the texts, but {learned} did in training; words may end elsewhere."
            )
            faults.append(Fault("warning", "text-splitter", "", message))

    def _cut(self, tokens: list[str], ends: list[int]) -> Iterable[np.ndarray]:
        """The ids of texts whose tokens stand one text behind the other."""
        found = self._looked_up(tokens)
        return [found[begin:end] for begin, end in itertools.pairwise(ends)]

    def _looked_up(self, tokens: list[str]) -> np.ndarray:
        return np.fromiter(map(self._ids.__getitem__, tokens), np.int32, len(tokens))


class _Ids(dict[str, int]):
    """The id of each token; that of unknown ones for all others, and nothing is added."""

    def __init__(self, unknown: int, ids: Iterable[tuple[str, int]]) -> None:
        super().__init__(ids)
        self._unknown = unknown

    def __missing__(self, token: str) -> int:
        return self._unknown


def _chosen(options: TextOptions, specials: Sequence[str]) -> dict[str, Any]:
    form = options.normalize
    if form == "auto":
        form = "none" if options.level == "byte" else "NFC"
    return {
        "level": options.level,
        "normalize": form,
        "lower": options.lower,
        "specials": list(specials),
        "max_length": options.max_length,
    }


def _counted(texts: Iterable[str], state: dict[str, Any]) -> Counter[str]:
    splitter = Splitter(state)
    if splitter.level == "byte":
        totals = np.zeros(NUM_BYTES, np.int64)
        for text in texts:
            totals += np.bincount(splitter.bytes_of(text), minlength=NUM_BYTES)
        return Counter(dict(zip(BYTES, totals.tolist(), strict=True)))
    counts: Counter[str] = Counter()
    for text in texts:
        counts.update(splitter.tokens(text))
    return counts


def _ragged(values: np.ndarray, starts: np.ndarray) -> Ragged:
    import torch

    from deepen.prepare.ragged import Ragged

    return Ragged(torch.from_numpy(values), torch.from_numpy(starts))


def _together(
    rows: Iterable[np.ndarray], num_rows: int, tokenizer: Tokenizer, split: str, faults: list[Fault]
) -> tuple[np.ndarray, np.ndarray]:
    """The rows one behind the other, cut at the state's `max_length`, and what is to be said about them."""
    most = tokenizer.state["max_length"]
    lengths = np.zeros(num_rows, np.int64)
    blocks: list[np.ndarray] = []
    waiting: list[np.ndarray] = []
    for index, row in enumerate(rows):
        lengths[index] = len(row)
        waiting.append(row if most is None else row[:most])
        if len(waiting) == _BLOCK:
            blocks.append(np.concatenate(waiting))
            waiting = []
    values = np.concatenate([np.zeros(0, np.int32), *blocks, *waiting])
    _say_lengths(lengths, most, split, faults)
    if split != "train":
        _say_unknown(values, tokenizer.unknown, split, faults)
    if most is not None:
        lengths = np.minimum(lengths, most)
    return values, np.concatenate([[0], np.cumsum(lengths)])


def _say_lengths(lengths: np.ndarray, most: int | None, split: str, faults: list[Fault]) -> None:
    num_empty = int((lengths == 0).sum())
    if num_empty:
        is_one = num_empty == 1
        message = (
            f"{plural(num_empty, 'text')} without a token, answered as {'an empty one' if is_one else 'empty ones'}."
        )
        faults.append(Fault("note", "text-empty", split, message))
    num_cut = 0 if most is None else int((lengths > most).sum())
    if num_cut:
        message = (
            f"{plural(num_cut, 'text')} cut after {plural(most or 0, 'token')} (--text.max-length), "
            f"the longest has {int(lengths.max()):,}."
        )
        faults.append(Fault("note", "text-cut", split, message))


def _say_unknown(values: np.ndarray, unknown: int, split: str, faults: list[Fault]) -> None:
    num_unknown = int((values == unknown).sum()) if unknown >= 0 else 0
    if num_unknown:
        message = f"{plural(num_unknown, 'token')} unknown ({num_unknown / len(values):.1%} of all)."
        faults.append(Fault("note", "text-unknown", split, message))


def _text_of_bytes(ids: list[int], specials: Sequence[str]) -> str:
    """Runs of bytes decoded, specials between them by name."""
    first, parts = len(specials), []
    for is_byte, run in itertools.groupby(ids, lambda index: index >= first):
        if not is_byte:
            parts += [specials[index] for index in run]
            continue
        content = bytes(index - first for index in run)
        try:
            parts.append(content.decode("utf-8", "surrogatepass"))
        except UnicodeDecodeError:
            parts.append(content.decode("utf-8", "replace"))
    return "".join(parts)


def _joined(tokens: Sequence[str]) -> str:
    """The tokens with a blank between two of them, but none between two that are Han."""
    parts: list[str] = []
    for before, token in itertools.pairwise(["", *tokens]):
        is_run = bool(before) and text_rules.is_han(before[-1]) and text_rules.is_han(token[:1])
        parts += [token] if is_run or not before else [" ", token]
    return "".join(parts)
