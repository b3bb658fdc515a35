"""What a tagger answers: frozen, JSON-able, the schema of every output; and the same as a CoNLL file."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from deepen.prepare.tags import Scheme, spans, written

_BREAKS = re.compile(r"[\t\r\n]+")  # what would end a column or a line


@dataclass(frozen=True)
class Entity:
    """One entity of a sentence.

    start, end   its tokens: the first, and the first behind it, counted from 0
    text         its tokens with blanks between them
    probability  the least of its tokens' tags
    """

    start: int
    end: int
    type: str
    text: str
    probability: float


@dataclass(frozen=True)
class TaggedText:
    """A sentence with a tag for each token.

    source         where the sentence came from
    text           the sentence for people: [tokens](type) where tags mean entities, else token/tag
    tags           one for each token
    probabilities  of each tag given the whole sentence, in [0, 1]
    entities       in their order; none where tags mean no entities
    """

    source: str
    text: str
    tokens: tuple[str, ...]
    tags: tuple[str, ...]
    probabilities: tuple[float, ...]
    entities: tuple[Entity, ...]


def tagged_text(
    source: str, tokens: Sequence[str], tags: Sequence[str], probabilities: Sequence[float], scheme: Scheme
) -> TaggedText:
    """The answer from the tags of a network in any scheme; entities are written in this one.

    >>> tagged_text("a", ["Ann", "Lee", "sings"], ["B-PER", "E-PER", "O"], [0.9, 0.8, 1.0], "BIO").text
    '[Ann Lee](PER) sings'
    """
    if scheme == "plain":
        said = " ".join(f"{token}/{tag}" for token, tag in zip(tokens, tags, strict=True))
        return TaggedText(source, said, tuple(tokens), tuple(tags), tuple(probabilities), ())
    found = spans(tags)
    entities = tuple(
        Entity(
            each.start,
            each.end,
            each.type,
            " ".join(tokens[each.start : each.end]),
            min(probabilities[each.start : each.end]),
        )
        for each in found
    )
    own = tuple(written(found, len(tokens), scheme))
    return TaggedText(source, _marked(tokens, entities), tuple(tokens), own, tuple(probabilities), entities)


def conll_text(answers: Iterable[TaggedText]) -> str:
    """Sentences as a CoNLL file has them: a token and its tag a line, with a tab between, a blank line behind each.

    A tab or line break within a token becomes a blank, and a token without a character "_", so that the file can be
    read again line by line. A sentence without a token has no line.

    >>> conll_text([TaggedText("a", "", ("Ann", "sings"), ("B-PER", "O"), (0.9, 1.0), ())])
    'Ann\\tB-PER\\nsings\\tO\\n\\n'
    """
    return "".join(
        "".join(
            f"{_BREAKS.sub(' ', token).strip() or '_'}\t{tag}\n"
            for token, tag in zip(each.tokens, each.tags, strict=True)
        )
        + "\n"
        for each in answers
        if each.tokens
    )


def _marked(tokens: Sequence[str], entities: Sequence[Entity]) -> str:
    parts, place = [], 0
    for entity in entities:
        parts += [*tokens[place : entity.start], f"[{entity.text}]({entity.type or 'entity'})"]
        place = entity.end
    return " ".join([*parts, *tokens[place:]])
