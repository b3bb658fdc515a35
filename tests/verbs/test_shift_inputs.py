"""What is compared of each kind of data, and what cannot be."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest

from deepen.core.errors import DataError
from deepen.data.dataset import Schema
from deepen.data.read import read
from deepen.tasks import language_modeling, token_tagging, word_vectors
from deepen.verbs.shift_inputs import sides_of, stretches

CORPUS = language_modeling.schema(language_modeling.Options())
WORDS = word_vectors.schema(word_vectors.Options())
TAGS = token_tagging.schema(token_tagging.Options())


def table(**columns) -> pa.Table:
    return pa.table({**columns, "source": ["x"] * len(next(iter(columns.values())))})


def test_stretches_end_with_a_word_and_leave_out_the_rest() -> None:
    assert stretches("one two\nthree four", 5) == ["one two", "three"]
    assert stretches("体" * 100, 30) == ["体" * 70, "体" * 30]  # without blanks a stretch ends 40 characters on
    assert stretches("", 5) == []


def test_how_a_corpus_is_cut_into_rows_means_nothing(tmp_path: Path) -> None:
    """Blocks of a file, the file's lines, and blocks that stay in their files are the same text."""
    lines = [f"line {number} of the {'sea' if number % 3 else 'hills'}" for number in range(701)]
    place = tmp_path / "a.txt"
    place.write_text("\n".join(lines) + "\n")
    (block,) = read(place, CORPUS).tables.values()
    (kept,) = read(place, WORDS).tables.values()
    of_lines = table(text=lines)
    shuffled = block.take(pa.array(range(block.num_rows - 1, -1, -1)))
    for old in (block, kept, of_lines, shuffled):
        sides = sides_of(old, block, CORPUS, "")
        assert sides.units == ("stretch of 71 characters", "stretches of 71 characters")
        assert abs(sides.old - sides.new).max() == 0


def test_tokens_are_compared_with_plain_text() -> None:
    tokens = table(tokens=[["Ann", "Lee", "sings", "."], ["No", "tea"]] * 9)
    plain = table(text=["Ann Lee sings.", "No tea"] * 9)
    sides = sides_of(tokens, plain, TAGS, "tags")
    assert abs(sides.old[0] - sides.new[0])[:, :-4].max() == 0  # all but the measures of the raw text


def test_what_cannot_be_compared_is_refused() -> None:
    few, many = table(text=["one two three"] * 3), table(text=["one two three"] * 99)
    texts = Schema(("text_lines",), ("text",), "label")
    with pytest.raises(DataError, match="expected at least 10 usable new samples, but found 3"):
        sides_of(many, few, texts, "")
    with pytest.raises(
        DataError, match="expected at least 10 usable reference stretches of 40 characters, but found 1"
    ):
        sides_of(few, many, CORPUS, "")
    with pytest.raises(DataError, match="expected running text, but there are judgements of words; name texts"):
        sides_of(table(first=["a"] * 11, second=["b"] * 11), many, WORDS, "")
    with pytest.raises(DataError, match="expected a column 'text_a'; there is: x, source"):
        sides_of(many, table(x=["a"] * 11), Schema((), ("text_a", "text_b"), "label"), "")
    with pytest.raises(DataError, match="expected columns of numbers, dates or categories; there is: y"):
        sides_of(table(y=["a", "b"] * 11), table(y=["a", "b"] * 11), Schema((), (), ""), "y")
