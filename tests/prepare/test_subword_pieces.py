"""N-grams of words, their hash as fastText has it, and the rows of a table."""

from __future__ import annotations

import numpy as np
import pytest

from deepen.core.errors import OptionError
from deepen.prepare.subword_pieces import PieceOptions, PieceTable, buckets_of, pieces_of

OPTIONS = PieceOptions(shortest=3, longest=6, buckets=2_000_000)


def test_the_papers_example():
    given = PieceOptions(shortest=3, longest=3)
    assert pieces_of("where", given) == ["<wh", "whe", "her", "ere", "re>"]


@pytest.mark.parametrize("word", ["where", "a", "ab", "straße", "猫が好き", "naïve"])
@pytest.mark.parametrize("options", [OPTIONS, PieceOptions(1, 3, 101), PieceOptions(2, 2, 7)])
def test_buckets_are_those_of_the_pieces_in_their_order(word, options):
    def hashed(piece):
        value = 2166136261
        for byte in piece.encode():
            value = ((value ^ (byte - 256 if byte > 127 else byte)) * 16777619) % 2**32
        return value % options.buckets

    assert buckets_of(word, options) == [hashed(piece) for piece in pieces_of(word, options)]


@pytest.mark.parametrize("word", ["where", "a", "straße", "猫が好き"])
def test_gensims_fasttext_hashes_alike(word):
    ft = pytest.importorskip("gensim.models.fasttext_inner")
    from gensim.models.fasttext import ft_ngram_hashes

    assert ft is not None
    assert sorted(buckets_of(word, OPTIONS)) == sorted(ft_ngram_hashes(word, 3, 6, 2_000_000))


def test_the_table_has_a_row_for_each_word_and_each_bucket_that_some_word_falls_into():
    words = ["<unk>", "cat", "cats"]
    table = PieceTable.of(words, OPTIONS, without=1)
    rows = [table.rows[table.starts[w] : table.starts[w + 1]].tolist() for w in range(3)]
    assert rows[0] == [0] and [each[0] for each in rows] == [0, 1, 2]
    assert [len(each) for each in rows] == [1, 1 + len(pieces_of("cat", OPTIONS)), 1 + len(pieces_of("cats", OPTIONS))]
    shared = set(pieces_of("cat", OPTIONS)) & set(pieces_of("cats", OPTIONS))
    assert len(set(rows[1]) & set(rows[2])) == len(shared) == 3  # <ca <cat cat
    assert table.num_rows == 3 + len(table.buckets) == 1 + max(max(each) for each in rows)
    assert np.all(np.diff(table.buckets) > 0)


def test_an_unseen_word_has_the_rows_of_what_it_shares():
    table = PieceTable.of(["<unk>", "cat"], OPTIONS, without=1)
    shared = [piece for piece in pieces_of("cater", OPTIONS) if piece in pieces_of("cat", OPTIONS)]
    named = dict(zip(pieces_of("cat", OPTIONS), table.rows[2:].tolist(), strict=True))
    assert table.of_unseen("cater") == [named[piece] for piece in shared] and shared == ["<ca", "<cat", "cat"]
    assert table.of_unseen("zzz") == []


def test_lengths_that_contradict_each_other_are_refused():
    with pytest.raises(OptionError, match=r"pieces\.longest 2: expected at least --pieces\.shortest, which is 3"):
        PieceOptions(shortest=3, longest=2)
