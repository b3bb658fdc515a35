"""Our byte-pair encoding against the library `tokenizers`, and by hand."""

from __future__ import annotations

import json
import random
from collections import Counter

import pytest

from deepen.ops.byte_pair import encode, learn_merges, merged

SENNRICH = {"low": 5, "lower": 2, "newest": 6, "widest": 3}


def library_trained(corpus: list[str], num_pieces: int, least: int):
    """The library's own BPE over words parted by blanks, as {"vocab", "merges"}, and the tokenizer."""
    tokenizers = pytest.importorskip("tokenizers")
    tokenizer = tokenizers.Tokenizer(tokenizers.models.BPE())
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.WhitespaceSplit()
    trainer = tokenizers.trainers.BpeTrainer(vocab_size=num_pieces, min_frequency=least, show_progress=False)
    tokenizer.train_from_iterator(corpus, trainer)
    return json.loads(tokenizer.to_str())["model"], tokenizer


def random_corpus(seed: int, letters: str, num_words: int) -> list[str]:
    """Few letters and many repeats, so that many pairs are equally frequent and runs such as "aaaa" occur."""
    draw = random.Random(seed)
    stems = ["".join(draw.choices(letters, k=draw.randint(1, 7))) for _ in range(num_words // 5 + 1)]
    words = [draw.choice(stems) + draw.choice(["", "", draw.choice(stems)]) for _ in range(num_words)]
    return [" ".join(words[start : start + 11]) for start in range(0, num_words, 11)]


@pytest.mark.parametrize(
    ("seed", "letters", "num_words", "least"),
    [(0, "ab", 53, 1), (1, "ab", 211, 2), (2, "abc", 307, 2), (3, "aéZ字", 401, 3), (4, "abcdefgh", 503, 2)]
    + [(seed, "abc"[: 2 + seed % 2], 31, 1) for seed in range(5, 30)],
)
def test_merges_and_encodings_are_those_of_the_library(seed, letters, num_words, least):
    corpus = random_corpus(seed, letters, num_words)
    counts = Counter(word for text in corpus for word in text.split())
    model, tokenizer = library_trained(corpus, 97, least)
    theirs = [tuple(pair) for pair in model["merges"]]
    ours = learn_merges(counts, len(theirs) + 1 if len(model["vocab"]) < 97 else len(theirs), least=least)
    assert ours == theirs and len(theirs) > 5
    draw = random.Random(seed + 1000)
    for word in [*counts, *("".join(draw.choices(letters, k=draw.randint(1, 23))) for _ in range(40))]:
        known = "".join(letter for letter in word if letter in model["vocab"])
        if known:
            assert list(encode(known, ours)) == tokenizer.encode(known).tokens


def test_the_paper_s_example_by_hand():
    # e s: newest 6 + widest 3 = 9, as s t and no other; then es t 9; then l o 7 before o w 7, for l is older than o.
    assert learn_merges(SENNRICH, 4) == [("e", "s"), ("es", "t"), ("l", "o"), ("lo", "w")]
    assert encode("lowest", learn_merges(SENNRICH, 4)) == ("low", "est")


def test_pairs_that_overlap_are_merged_from_the_left():
    assert merged(tuple("aaaaa"), ("a", "a")) == ("aa", "aa", "a")
    assert merged(tuple("abab"), ("a", "b")) == ("ab", "ab")


def test_a_pair_that_is_too_rare_is_not_merged():
    assert learn_merges({"ab": 1, "ac": 1}, 5) == []
    assert learn_merges({"ab": 1, "ac": 1}, 5, least=1) == [("a", "b"), ("a", "c")]
    assert learn_merges({}, 5) == []


def test_pieces_of_a_word_join_to_the_word():
    merges = learn_merges(SENNRICH, 13)
    for word in ("", "newestlowest", "zebra", "wwwwidest"):
        assert "".join(encode(word, merges)) == word
