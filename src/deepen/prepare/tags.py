"""Tags of tokens: which scheme they are written in, the entities they mean, and the same entities in another scheme.

    BIO    B- begins an entity, I- goes on with it, O is outside (IOB2; Ramshaw and Marcus 1995, Tjong Kim Sang 2002)
    IOB1   the same, but B- stands only where an entity follows another of its type at once, else I- begins it
    BIOES  like BIO, E- ends an entity of several tokens, S- is one of one token (IOBES; BILOU with L- and U-)
    plain  every token has a tag of its own, such as a part of speech

Entities are found by the rules of the shared tasks (the script conlleval): an entity begins at B- or S-, and at any
other tag that is not O if the token before is outside, ends an entity, or has another type. So every sequence of tags
has a meaning, also one that its scheme does not allow, such as I- after O. A tag is a prefix, a hyphen and the type;
without type ("B", "I", "O") the type is "".
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

Scheme = Literal["BIO", "IOB1", "BIOES", "plain"]
OUTSIDE = "O"
_PREFIXES = {"B": "B", "I": "I", "E": "E", "S": "S", "L": "E", "U": "S"}
CODES = {"O": 0, "B": 1, "I": 2, "E": 3, "S": 4}


@dataclass(frozen=True, order=True)
class Span:
    """An entity: the tokens from start up to end, which is the first behind it."""

    start: int
    end: int
    type: str


def split_tag(tag: str) -> tuple[str, str]:
    """Prefix and type of a tag; ("O", "") for one that is outside, and ("", tag) for one that is no such tag.

    >>> split_tag("B-creative-work"), split_tag("U-PER"), split_tag("O"), split_tag("NOUN")
    (('B', 'creative-work'), ('S', 'PER'), ('O', ''), ('', 'NOUN'))
    """
    if tag == OUTSIDE:
        return OUTSIDE, ""
    prefix, hyphen, kind = tag.partition("-")
    if prefix in _PREFIXES and (kind or not hyphen):
        return _PREFIXES[prefix], kind
    return "", tag


def scheme_of(rows: Iterable[Sequence[str]]) -> Scheme:
    """The scheme of these sentences' tags, by looking at all of them.

    plain  if some tag is neither O nor a prefix with a type, or no tag is O or B-
    BIOES  if E- or S- (L-, U-) occurs
    IOB1   if more entities begin with I- than with a B- that does not follow its own type
    BIO    else
    """
    rows = [list(row) for row in rows]
    tags = {tag for row in rows for tag in row}
    parts = {tag: split_tag(tag) for tag in tags}
    prefixes = {prefix for prefix, _ in parts.values()}
    untyped = {tag for tag, (prefix, kind) in parts.items() if prefix not in ("", OUTSIDE) and not kind}
    is_mixed = bool(untyped) and len(untyped) < len(tags - {OUTSIDE})
    if "" in prefixes or OUTSIDE not in prefixes or is_mixed or (untyped and "B" not in prefixes):
        return "plain"
    if prefixes & {"E", "S"}:
        return "BIOES"
    begins: Counter[str] = Counter()
    for row in rows:
        before = (OUTSIDE, "")
        for tag in row:
            prefix, kind = parts[tag]
            if prefix != OUTSIDE and (before[0] == OUTSIDE or before[1] != kind):
                begins[prefix] += 1
            before = parts[tag]
    return "IOB1" if begins["I"] > begins["B"] else "BIO"


def spans(tags: Sequence[str]) -> list[Span]:
    """The entities of one sentence's tags in any scheme but plain, in their order.

    >>> spans(["B-PER", "I-PER", "O", "I-LOC"])
    [Span(start=0, end=2, type='PER'), Span(start=3, end=4, type='LOC')]
    """
    parts = [split_tag(tag) for tag in tags]
    types = {kind: index for index, kind in enumerate(dict.fromkeys(kind for _, kind in parts))}
    codes = np.array([CODES.get(prefix, 0) for prefix, _ in parts], np.int64)
    numbers = np.array([types[kind] for _, kind in parts], np.int64)
    names = list(types)
    first = np.zeros(len(tags), bool)
    first[:1] = True
    starts, ends = boundaries(codes, numbers, first)
    return [Span(s, e, names[numbers[s]]) for s, e in zip(starts.tolist(), ends.tolist(), strict=True)]


def boundaries(codes: np.ndarray, types: np.ndarray, first: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Where entities begin and end, over many sentences one behind the other.

    codes    [n] int: 0 for O, then 1 to 4 for B, I, E, S
    types    [n] int: the number of the type, not read where the code is 0
    first    [n] bool: the first token of a sentence
    returns  starts [m] and ends [m], the places behind the last tokens

    By the rules of conlleval, see the head of this file.
    """
    if len(codes) == 0:
        return np.zeros(0, np.int64), np.zeros(0, np.int64)
    before = np.where(first, 0, np.concatenate([[0], codes[:-1]]))
    is_other = np.concatenate([[True], types[1:] != types[:-1]])
    is_closed = (before == 0) | (before == 3) | (before == 4) | is_other
    begins = (codes == 1) | (codes == 4) | ((codes != 0) & is_closed)
    ends = ~begins & (codes == 0) & (before != 0) | begins & (before != 0)
    ends |= first & np.concatenate([[False], codes[:-1] != 0])
    places = np.append(np.flatnonzero(ends), len(codes))
    starts = np.flatnonzero(begins)
    return starts, places[np.searchsorted(places, starts, side="right")]


def written(entities: Iterable[Span], length: int, scheme: Scheme) -> list[str]:
    """The tags of a sentence of this many tokens with these entities, none of which overlap.

    >>> written([Span(0, 2, "PER"), Span(2, 3, "PER")], 4, "IOB1")
    ['I-PER', 'I-PER', 'B-PER', 'O']
    """
    assert scheme != "plain", "plain tags mean no entities"
    tags = [OUTSIDE] * length
    before = Span(-1, -1, "")
    for entity in sorted(entities):
        inside = entity.end - entity.start - 2
        if scheme == "BIOES":
            prefixes = ["S"] if inside < 0 else ["B", *["I"] * inside, "E"]
        else:
            touches = before.end == entity.start and before.type == entity.type
            prefixes = ["B" if scheme == "BIO" or touches else "I", *["I"] * (inside + 1)]
        tags[entity.start : entity.end] = [joined(prefix, entity.type) for prefix in prefixes]
        before = entity
    return tags


def joined(prefix: str, kind: str) -> str:
    """The tag of a prefix and a type."""
    return f"{prefix}-{kind}" if kind and prefix != OUTSIDE else prefix


def repaired(tags: Sequence[str], scheme: Scheme) -> tuple[list[str], list[int]]:
    """The same entities as the scheme allows them to be written, and the places where that is another tag.

    >>> repaired(["O", "I-PER", "I-LOC"], "BIO")
    (['O', 'B-PER', 'B-LOC'], [1, 2])
    """
    clean = written(spans(tags), len(tags), scheme)
    return clean, [place for place, (a, b) in enumerate(zip(tags, clean, strict=True)) if split_tag(a) != split_tag(b)]


def vocabulary(types: Sequence[str], scheme: Scheme) -> list[str]:
    """All tags of these types: O first, then those of each type."""
    prefixes = "BIES" if scheme == "BIOES" else "BI"
    return [OUTSIDE, *(joined(prefix, kind) for kind in types for prefix in prefixes)]


def allowed(tags: Sequence[str], scheme: Scheme) -> np.ndarray:
    """[K + 2, K + 2] bool, [i, j]: whether tag j may follow tag i; K stands for the start and K + 1 for the end.

    scheme  BIO or BIOES; of plain tags all may follow all
    """
    num_tags = len(tags)
    found = np.zeros((num_tags + 2, num_tags + 2), bool)
    if scheme == "plain":
        found[:num_tags, :num_tags] = found[num_tags, :num_tags] = found[:num_tags, num_tags + 1] = True
        return found
    assert scheme in ("BIO", "BIOES"), f"{scheme} is never learned"
    parts = [*map(split_tag, tags), (OUTSIDE, ""), (OUTSIDE, "")]
    for i, (prefix, kind) in enumerate(parts[:-1]):
        is_open = prefix in ("B", "I")  # of BIOES an entity must go on
        for j, (after, other) in enumerate(parts):
            if j == num_tags:
                continue
            goes_on = after in ("I", "E")
            if goes_on:
                found[i, j] = is_open and kind == other
            else:
                found[i, j] = not (scheme == "BIOES" and is_open)
    found[num_tags, num_tags + 1] = False
    return found
