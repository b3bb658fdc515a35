"""Tagged sentences of a table: what is learned of their tags, and the tags as numbers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from deepen.core.class_names import in_order
from deepen.core.errors import DataError
from deepen.core.faults import Fault
from deepen.core.names import nearest
from deepen.core.units import plural
from deepen.metrics.tagging import TagSet
from deepen.prepare import labels, segment, tags, text_rules
from deepen.prepare.tags import Scheme, split_tag
from deepen.prepare.text import UNKNOWN, Tokenizer
from deepen.prepare.text_rules import cleaned

if TYPE_CHECKING:
    from deepen.prepare.ragged import Ragged

RARE = 1  # words seen that often or less stand for unknown ones in the baseline
MOST_TAGS = 1000


@dataclass(frozen=True)
class Sentence:
    """Tokens and their tags, and the row of the table that they are from."""

    row: int
    source: str
    tokens: list[str]
    tags: list[str]


def tokens_of(table: pa.Table, state: Mapping[str, Any]) -> list[list[str]]:
    """The tokens of each row: as given, or those of a column `text` split as the state of a tokenizer says."""
    if "tokens" in table.column_names:
        return [[token or "" for token in row or ()] for row in table.column("tokens").to_pylist()]
    splitter = state.get("splitter", "rules")
    split = {"whitespace": str.split, "jieba": segment.segmenter}.get(splitter, text_rules.rules)
    divide = split if split is str.split else split(())  # type: ignore[operator]
    return [divide(cleaned(line or "")) for line in table.column("text").to_pylist()]


def sentences_of(table: pa.Table, split: str, faults: list[Fault]) -> list[Sentence]:
    """The rows that have a tag for each token; for each other one a fault of level sample is added."""
    found = []
    columns = (table.column(name).to_pylist() for name in ("source", "tokens", "tags"))
    for row, (source, tokens, own) in enumerate(zip(*columns, strict=True)):
        message = _wrong(tokens, own)
        if message:
            faults.append(Fault("sample", "tags-missing", source, message, split, row))
        else:
            found.append(Sentence(row, source, list(tokens), [tag.strip() for tag in own]))
    return found


def learn(sentences: Sequence[Sentence], scheme: str, learn_as: str, faults: list[Fault]) -> dict[str, Any]:
    """The scheme, the types of entities and the tags that are learned, and what is to be said about them.

    scheme    "auto" for by looking
    learn_as  the scheme in which entities are learned
    returns   scheme (of the data), learned_as, types and tags

    Raises DataError for a tag that its scheme does not know, and where there is nothing to tell apart.
    """
    rows = [each.tags for each in sentences]
    if not any(rows):
        raise DataError("no training sentence has a token with a tag; give some.")
    chosen = tags.scheme_of(rows) if scheme == "auto" else scheme
    _warn_of_names(sentences, plain=chosen == "plain", faults=faults)
    if chosen == "plain":
        return _learn_plain(rows, scheme, faults)
    _refuse_other_tags(sentences, chosen)
    types = in_order({kind for row in rows for tag in row if (kind := split_tag(tag)[1])} | _untyped(rows))
    if not types:
        raise DataError("every training token has the tag 'O'; expected entities, such as 'B-person', or other tags.")
    if scheme == "auto":
        told = f"{plural(len(types), 'type')}: {', '.join(each or 'no name' for each in types[:8])}"
        more = ", ..." if len(types) > 8 else ""
        message = f"the tags mean entities in {chosen}, of {told}{more}; --scheme chooses otherwise."
        faults.append(Fault("note", "tag-scheme", "", message))
    learned = tags.vocabulary(types, "BIOES" if learn_as == "BIOES" else "BIO")
    return {"scheme": chosen, "learned_as": learn_as, "types": types, "tags": learned}


def encode(sentences: Sequence[Sentence], state: Mapping[str, Any], split: str, faults: list[Fault]) -> Ragged:
    """The number of each token's tag, [N] rows of int16, and the warnings of `numbers_of`."""
    import torch

    from deepen.prepare.ragged import Ragged

    return Ragged.of(numbers_of(sentences, state, split, faults), torch.int16)


def numbers_of(
    sentences: Sequence[Sentence], state: Mapping[str, Any], split: str, faults: list[Fault]
) -> list[list[int]]:
    """The same without torch.

    Tags that were never learned get numbers of K and more, which `tag_set` explains; a warning says so, and another how
    many tags had to be read as others since their scheme does not allow them where they stand.
    """
    numbers = {tag: index for index, tag in enumerate(state["tags"])}
    unseen: dict[str, tuple[int, str]] = {}  # how often, and where first
    slips: list[str] = []
    rows = []
    for each in sentences:
        if state["scheme"] == "plain":
            known = [numbers.get(tag, len(numbers)) for tag in each.tags]
            _count(unseen, (tag for tag in each.tags if tag not in numbers), each.source)
        else:
            known = _entity_numbers(each, state, numbers, unseen, slips)
        rows.append(known)
    _say_slips(slips, state["scheme"], split, faults)
    _say_unseen(unseen, state, split, faults)
    return rows


def tag_set(state: Mapping[str, Any]) -> TagSet:
    """What the learned tags mean; behind them, what never learned ones do."""
    names = tuple(state["tags"])
    if state["scheme"] == "plain":
        return TagSet(names)
    types = {kind: index for index, kind in enumerate(state["types"])}
    parts = [split_tag(tag) for tag in names]
    codes = [tags.CODES[prefix] for prefix, _ in parts]
    numbers = [-1 if prefix == tags.OUTSIDE else types[kind] for prefix, kind in parts]
    return TagSet(
        names,
        np.array([*codes, tags.CODES["B"], tags.CODES["I"]]),
        np.array([*numbers, len(types), len(types)]),
        (*state["types"], "never learned"),
        tags.boundaries,
    )


def commonest_tags(
    ids: Ragged, sentences: Sequence[Sentence], learned: Mapping[str, Any], vocabulary: dict[str, Any]
) -> list[int]:
    """For each id of the vocabulary the tag that its word most often has in training; of equals the first.

    An unknown word gets the commonest tag of the words that were seen once, or of all if there is none.
    """
    tokenizer, num_tags = Tokenizer(vocabulary), len(learned["tags"])
    words = ids.values.numpy().astype(np.int64)
    numbers = encode(sentences, learned, "train", []).values.numpy().astype(np.int64)
    table = np.bincount(words * num_tags + numbers, minlength=len(tokenizer) * num_tags).reshape(-1, num_tags)
    rare = table[table.sum(1) <= RARE].sum(0) if table.shape[0] else table.sum(0)
    unknown = tokenizer.id_of(UNKNOWN)
    found = table.argmax(1)
    stands_for = table[unknown] if table[unknown].any() else rare if rare.any() else table.sum(0)
    found[~table.any(1)] = stands_for.argmax()
    return found.tolist()


def _wrong(tokens: list[str | None] | None, own: list[str | None] | None) -> str:
    if tokens is None or any(token is None for token in tokens):
        return "has a token that is missing; mend or remove the sentence."
    if own is None:
        return "has no tags; give each token one or remove the sentence."
    if len(tokens) != len(own):
        return f"has {plural(len(tokens), 'token')} but {plural(len(own), 'tag')}; give each token one tag."
    place = next((place for place, tag in enumerate(own) if not (tag or "").strip()), None)
    if place is not None:
        return f"token {place + 1}, {tokens[place]!r}, has no tag; give it one or remove the sentence."
    return ""


def _learn_plain(rows: Sequence[Sequence[str]], scheme: str, faults: list[Fault]) -> dict[str, Any]:
    found = in_order({tag for row in rows for tag in row})
    if len(found) == 1:
        raise DataError(f"every training token has the tag {found[0]!r}; expected at least 2 tags.")
    if len(found) > MOST_TAGS:
        raise DataError(
            f"the training tokens have {len(found):,} different tags, such as {found[0]!r} and {found[-1]!r}; at most "
            f"{MOST_TAGS:,} can be learned. Is it the right column (--target)?"
        )
    if scheme == "auto":
        message = f"the {len(found)} tags mean no entities, so tokens are counted; --scheme chooses otherwise."
        faults.append(Fault("note", "tag-scheme", "", message))
    return {"scheme": "plain", "learned_as": "plain", "types": [], "tags": found}


def _refuse_other_tags(sentences: Sequence[Sentence], scheme: str) -> None:
    allowed = {"O", "B", "I", "E", "S"} if scheme == "BIOES" else {"O", "B", "I"}
    for each in sentences:
        wrong = next((tag for tag in each.tags if split_tag(tag)[0] not in allowed), None)
        if wrong is not None:
            example = "S-x" if scheme == "BIOES" else "B-x"
            raise DataError(
                f"{each.source}: tag {wrong!r} is none of {scheme} (such as {example} or O); mend it, or choose "
                "another --scheme."
            )


def _untyped(rows: Iterable[Sequence[str]]) -> set[str]:
    return {""} if any(split_tag(tag) == ("B", "") for row in rows for tag in row) else set()


def _warn_of_names(sentences: Sequence[Sentence], *, plain: bool, faults: list[Fault]) -> None:
    """The warnings on class names: probable typing errors, and names that differ only in case."""
    found = [(tag if plain else split_tag(tag)[1], each.source) for each in sentences for tag in each.tags]
    found = [(name, source) for name, source in found if name]
    if len({name for name, _ in found}) > 1:
        names, sources = zip(*found, strict=True)
        said: list[Fault] = []
        labels.learn(pa.table({"tag": pa.array(names), "source": pa.array(sources)}), "tag", faults=said)
        faults.extend(said)


def _entity_numbers(
    sentence: Sentence,
    state: Mapping[str, Any],
    numbers: Mapping[str, int],
    unseen: dict[str, tuple[int, str]],
    slips: list[str],
) -> list[int]:
    scheme: Scheme = state["scheme"]
    clean, places = tags.repaired(sentence.tags, scheme)
    for place in places:
        told = f"token {place + 1}, {sentence.tokens[place]!r}: {sentence.tags[place]} read as {clean[place]}"
        slips.append(f"{sentence.source}: {told}")
    entities = tags.spans(clean)
    known = [each for each in entities if each.type in state["types"]]
    found = [numbers[tag] for tag in tags.written(known, len(clean), state["learned_as"])]
    for each in entities:
        if each.type not in state["types"]:
            found[each.start : each.end] = [len(numbers), *[len(numbers) + 1] * (each.end - each.start - 1)]
    _count(unseen, (each.type for each in entities if each.type not in state["types"]), sentence.source)
    return found


def _count(unseen: dict[str, tuple[int, str]], names: Iterable[str], source: str) -> None:
    for name, count in Counter(names).items():
        before, first = unseen.get(name, (0, source))
        unseen[name] = (before + count, first)


def _say_slips(slips: Sequence[str], scheme: str, split: str, faults: list[Fault]) -> None:
    if slips:
        place, _, first = slips[0].partition(": ")
        many = f" {len(slips) - 1:,} more tags of {split} were mended like this." if len(slips) > 1 else ""
        message = f"{first}, since {scheme} does not allow it there.{many}"
        faults.append(Fault("warning", "tag-repaired", place, message))


def _say_unseen(
    unseen: Mapping[str, tuple[int, str]], state: Mapping[str, Any], split: str, faults: list[Fault]
) -> None:
    is_plain = state["scheme"] == "plain"
    what, known = ("tag", state["tags"]) if is_plain else ("type", state["types"])
    for name, (count, source) in unseen.items():
        near = nearest(name, known)
        hint = f"; nearest is {near!r}" if near else ""
        things = plural(count, "token" if is_plain else "entity", "tokens" if is_plain else "entities")
        message = (
            f"{what} {name!r} is not one of the {len(known)} that were learned{hint}. {things} of {split} with it "
            "count as wrong, whatever is answered."
        )
        faults.append(Fault("warning", "tag-unseen", source, message))
