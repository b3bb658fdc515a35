"""Blocks of a corpus as ids, kept in memory or read anew."""

from __future__ import annotations

import numpy as np
import pytest

from deepen.prepare.corpus_stream import CorpusStream, block_ids, texts_of
from deepen.prepare.text import UNKNOWN, Tokenizer, learn
from deepen.prepare.text_options import TextOptions

BLOCKS = ["the cat sat\n\non the mat\n", "yak\n", "the the cat zebra mat", ""]


@pytest.fixture
def tokenizer():
    state = learn(["the cat sat on the mat"], TextOptions(splitter="whitespace"), [], specials=(UNKNOWN,))
    return Tokenizer(state)


def test_unknown_words_and_empty_lines_are_left_out(tokenizer):
    ids, starts = block_ids(BLOCKS[0] + BLOCKS[1] + BLOCKS[2], tokenizer)
    wanted = "the cat sat on the mat the the cat mat"
    assert " ".join(tokenizer.vocabulary[i] for i in ids) == wanted
    assert starts.tolist() == [0, 3, 6, 10] and ids.dtype == np.int32
    ids, starts = block_ids("zebra\nyak", tokenizer)
    assert len(ids) == 0 and starts.tolist() == [0]


@pytest.mark.parametrize("keep", [0, 60, 10**6])
def test_what_there_is_room_for_is_read_once_and_the_rest_again(tokenizer, keep):
    asked = []

    def read(number):
        asked.append(number)
        return BLOCKS[number]

    stream = CorpusStream(len(BLOCKS), read, tokenizer, keep=keep)
    passes = [[stream.block(number) for number in range(len(BLOCKS))] for _ in range(3)]
    for found in passes:
        for text, (ids, starts) in zip(BLOCKS, found, strict=True):
            wanted = block_ids(text, tokenizer)
            assert np.array_equal(ids, wanted[0]) and np.array_equal(starts, wanted[1])
    # 6 ids and 3 starts are 48 bytes, 0 and 1 are 8, 4 and 2 are 32, 0 and 1 are 8
    kept = {0: [], 60: [0, 1], 10**6: [0, 1, 2, 3]}[keep]
    times = [asked.count(number) for number in range(len(BLOCKS))]
    assert times[:3] == [1 if number in kept else 3 for number in range(3)]


def test_all_texts_in_turn():
    assert list(texts_of(3, BLOCKS.__getitem__)) == BLOCKS[:3]
