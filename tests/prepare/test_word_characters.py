import numpy as np

from deepen.prepare.word_characters import FIRST, PAD, UNKNOWN, encode, learn, num_characters

ROWS = [["ab", "b"], [], ["cab"]]


def test_characters_by_count_and_then_by_code_point():
    assert learn([["ab", "b"], ["cab", "b"]]) == ["b", "a", "c"]  # b 4, a 2, c 1
    assert learn([["ba"], []]) == ["a", "b"]
    assert num_characters(["b", "a", "c"]) == 5


def test_words_by_their_characters():
    found = encode([["ab", "b"], [], ["cxb"]], ["b", "a"], 4)
    a, b = FIRST + 1, FIRST
    assert found.values.tolist() == [[a, b, 0, 0], [b, 0, 0, 0], [UNKNOWN, UNKNOWN, b, 0]]
    assert found.lengths.tolist() == [2, 0, 1]
    padded, _ = found.padded(np.array([2, 0]), PAD)
    assert padded.tolist() == [[[UNKNOWN, UNKNOWN, b, 0], [0] * 4], [[a, b, 0, 0], [b, 0, 0, 0]]]


def test_of_a_long_word_both_ends_are_kept():
    letters = list("abcdefg")
    for longest, kept in ((5, "abcfg"), (4, "abfg"), (1, "a"), (7, "abcdefg")):
        wanted = [FIRST + letters.index(letter) for letter in kept]
        assert encode([["abcdefg"]], letters, longest).values.tolist() == [wanted]


def test_no_words_at_all():
    assert encode([[], []], ["a"], 3).values.shape == (0, 3)
