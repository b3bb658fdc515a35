"""What stands before a text, what ends a line, and what a prompt becomes."""

from __future__ import annotations

import pytest

from deepen.prepare import text
from deepen.prepare.corpus import EOS
from deepen.prepare.language import Words
from deepen.prepare.text import TextOptions

TEXTS = ["a b\nb a"]


def words(level, has_ends):
    specials = [*([] if level == "byte" else [text.UNKNOWN]), *([EOS] if has_ends else [])]
    state = text.learn(TEXTS, TextOptions(level=level), [], specials=specials)
    return Words({"text": state, "has_ends": has_ends})


def test_lines_with_ends():
    found = words("word", True)
    a, b, end = found.tokenizer.id_of("a"), found.tokenizer.id_of("b"), found.end
    assert found.start == end
    assert found.read("b a\n\na") == ([b, a, end, end, a], [a])
    stream = found.stream(text.encode(["b", "a b"], {**_state(found)}, "train", []))
    assert stream.ids.tolist() == [end, b, end, a, b, end]
    said = found.signature(stream.ids).sentence()
    assert said.startswith("word level, 5 tokens in 2 lines, <eos> counted")


@pytest.mark.parametrize(("level", "start"), [("character", 0), ("byte", 10)])
def test_a_text_as_written_begins_behind_a_line_break(level, start):
    found = words(level, False)
    assert found.end is not None and found.tokenizer.text([found.end]) == "\n"
    assert found.start == found.end and (level != "byte" or found.start == start)
    ids, last = found.read("b\na")
    assert ids == last and found.tokenizer.text(ids) == "b\na"


def test_without_any_end_the_first_id_stands_before():
    found = words("word", False)
    assert found.end is None and found.start == 0


def _state(found):
    return text.learn(TEXTS, TextOptions(level="word"), [], specials=found.tokenizer.specials)
