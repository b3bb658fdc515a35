import numpy as np
import pytest

from deepen.ops import ngram_words
from deepen.ops.ngram_words import WordNumbers

WORDS = ["<unk>", "</s>", "été", "a", "ab", "b", "…", "a\u00a0b", "\x1c"]


def naive(lines, beginning, end):
    found = []
    for line in lines:
        named = [word.decode() for word in line.encode().split()]
        numbers = [WORDS.index(word) if word in WORDS else 0 for word in named]
        found += [*([] if beginning is None else [beginning]), *numbers, *([] if end is None else [end])]
    return found


def lines_of(seed, count):
    draw = np.random.default_rng(seed)
    pieces = [*WORDS, "abc", "c", "ét", " ", "  ", "\t", "\n", "\v", "\f", "\r", "\u2003", ""]
    return ["".join(draw.choice([*pieces, " ", " "], size=int(draw.integers(0, 29)))) for _ in range(count)]


@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize(("beginning", "end"), [(9, 1), (None, 1), (9, None), (None, None)])
def test_words_are_those_between_blanks(compiled, beginning, end):
    if compiled:
        pytest.importorskip("numba")
    numbers = WordNumbers(WORDS, 0, compiled=compiled)
    lines = lines_of(0, 199)
    found = numbers.marked(lines, beginning=beginning, end=end)
    assert found.dtype == np.int32 and found.tolist() == naive(lines, beginning, end)
    assert len(set(found.tolist())) > 8  # most words were met
    assert numbers.marked([], beginning=beginning, end=end).tolist() == []
    assert numbers.marked([""], beginning=beginning, end=end).tolist() == naive([""], beginning, end)
    assert numbers.marked(["a"], beginning=beginning, end=end).tolist() == naive(["a"], beginning, end)


def test_many_words_are_told_apart():
    pytest.importorskip("numba")
    words = [f"w{number:x}" for number in range(4999)]
    found = WordNumbers(words, -7, compiled=True).marked([" ".join(words), "w w0 x"], beginning=None, end=None)
    assert found.tolist() == [*range(4999), -7, 0, -7]


def test_without_numba_and_for_little_text_a_dictionary_answers(monkeypatch):
    monkeypatch.setattr(ngram_words, "_compile", lambda: pytest.fail("compiled"))
    assert WordNumbers(["a"], -1).marked(["a b"], beginning=None, end=None).tolist() == [0, -1]
    monkeypatch.setattr(ngram_words, "is_compilable", lambda: False)
    assert WordNumbers(["a"], -1, compiled=True).marked(["a b"], beginning=3, end=4).tolist() == [3, 0, -1, 4]
