"""A corpus as one stream: by hand, and what every cutting of it must keep."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pyarrow as pa
import pytest
import torch

from deepen.core.errors import DataError
from deepen.prepare import corpus, text
from deepen.prepare.corpus import Parts
from deepen.prepare.ragged import Ragged
from deepen.prepare.text import TextOptions, Tokenizer


def table(*blocks):
    """Blocks in the order of a hash, as tables are."""
    rows = [(body, place, source) for place, (body, source) in enumerate(blocks)]
    rows = [rows[i] for i in np.random.default_rng(3).permutation(len(rows))]
    names = ("text", "place", "source")
    return pa.table({name: [row[i] for row in rows] for i, name in enumerate(names)})


def test_blocks_come_in_the_order_of_the_corpus_and_lines_keep_their_numbers():
    parts = Parts.of(table(("a\n\nb\n", "x.txt, line 1"), ("c\nd", "x.txt, line 4"), ("e\n", "y.txt")), True)
    assert parts.texts == ["a", "", "b", "c", "d", "e"]
    assert parts.sources_of(np.arange(6)) == [
        "x.txt, line 1",
        "x.txt, line 2",
        "x.txt, line 3",
        "x.txt, line 4",
        "x.txt, line 5",
        "y.txt",
    ]
    whole = Parts.of(table(("a\n\nb\n", "x.txt, line 1"), ("c\nd", "x.txt, line 4")), False)
    assert "".join(whole.texts) == "a\n\nb\nc\nd"


def test_a_stream_by_hand():
    lines = Ragged.of([[5, 6], [], [7]])
    ended = corpus.stream_of(lines, start=1, end=1)
    assert ended.ids.tolist() == [1, 5, 6, 1, 1, 7, 1]
    assert ended.begins.tolist() == [1, 4, 5, 7]
    assert ended.part_of(np.array([1, 3, 4, 5, 6])).tolist() == [0, 0, 1, 2, 2]
    plain = corpus.stream_of(lines, start=0, end=None)
    assert plain.ids.tolist() == [0, 5, 6, 7]
    assert plain.begins.tolist() == [1, 3, 3, 4]


@pytest.mark.parametrize(("scores_ends", "scored"), [(True, [[5, 6, 1], [1], [7, 1]]), (False, [[5, 6], [], [7]])])
def test_a_line_is_scored_after_the_end_of_the_one_before(scores_ends, scored):
    stream = corpus.stream_of(Ragged.of([[5, 6], [], [7]]), start=1, end=1)
    rows = corpus.whole_parts(stream.begins, scores_ends=scores_ends)
    for begin, start, stop, expected in zip(rows.begin, rows.start, rows.stop, scored, strict=True):
        assert begin == start and stream.ids[begin] == 1
        assert stream.ids[start + 1 : stop + 1].tolist() == expected


@pytest.mark.parametrize(("total", "length"), [(23, 11), (24, 11), (101, 7), (102, 7), (104, 7), (3, 1)])
def test_windows_fit_at_every_offset_and_leave_out_less_than_two(total, length):
    count = corpus.training_rows(total, length)
    last = (count - 1) * length + (length - 1) + length  # the last target of the last window, moved the furthest
    assert last <= total - 1
    assert total - 1 - count * length < 2 * length
    at_rest = corpus.windows(count, length, total)
    scored = [t for a, b in zip(at_rest.start, at_rest.stop, strict=True) for t in range(a + 1, b + 1)]
    assert scored == list(range(1, total))


def test_a_text_of_less_than_two_windows_is_refused_with_what_would_do():
    with pytest.raises(DataError, match=r"--sequence-length 11: .* 22 tokens, but .* has 21; take .* 10 or less"):
        corpus.training_rows(22, 11)
    with pytest.raises(DataError, match="give more text"):
        corpus.training_rows(2, 11)


@pytest.mark.parametrize("context", [1, 5, 13, 1000])
@pytest.mark.parametrize("total", [2, 8, 53, 57, 113])
def test_stretches_score_every_token_once_after_its_context(total, context):
    rows = corpus.stretches(total, 7, context)
    scored = [(t, a) for a, s, e in zip(rows.begin, rows.start, rows.stop, strict=True) for t in range(s + 1, e + 1)]
    assert [t for t, _ in scored] == list(range(1, total))
    assert all(t - begin >= context or begin == 0 for t, begin in scored)


@pytest.mark.parametrize(("rows", "batches"), [(1, 1), (7, 3), (13, 5), (97, 11), (11, 11)])
def test_lanes_follow_one_another_and_hold_each_row_once(rows, batches):
    found = corpus.lanes(rows, batches)
    assert sorted(np.concatenate(found).tolist()) == list(range(rows))
    sizes = [len(batch) for batch in found]
    assert max(sizes) - min(sizes) <= 1 and min(sizes) >= 1
    for before, after in pairwise(found):
        assert set(after - 1) <= set(before.tolist())


def test_offsets_are_a_function_of_seed_and_epoch_and_reach_everywhere():
    offsets = [corpus.offset_of(3, epoch, 7) for epoch in range(100)]
    assert offsets == [corpus.offset_of(3, epoch, 7) for epoch in range(100)]
    assert set(offsets) == set(range(7))
    assert offsets != [corpus.offset_of(4, epoch, 7) for epoch in range(100)]


@pytest.mark.parametrize("level", ["word", "character", "byte"])
def test_pieces_put_together_are_the_text(level):
    written = "two grüße 😀 at once\nand a third\n"
    specials = {"word": ["<unk>", "<eos>"], "character": ["<unk>"], "byte": []}[level]
    lines = written.splitlines() if level == "word" else [written]
    tokenizer = Tokenizer(text.learn(lines * 2, TextOptions(level=level), [], specials=specials))
    if level == "word":
        ids = [index for line in lines for index in [*tokenizer.ids(line), 1]]
    else:
        ids = tokenizer.ids(written)
    cut = 2 if level == "word" else 6
    found = list(corpus.pieces(tokenizer, ids[:cut], ids[cut:], end=1 if level == "word" else None))
    assert "".join([tokenizer.text(ids[:cut]), *found]) == written
    assert all("\ufffd" not in piece for piece in found)
    assert len(found) > 5


def test_pieces_of_a_long_line_are_not_lost():
    tokenizer = Tokenizer(text.learn(["a b c d a b c"], TextOptions(), [], specials=["<unk>"]))
    ids = np.random.default_rng(0).integers(1, 5, 3 * corpus.LONGEST_HELD).tolist()
    found = "".join(corpus.pieces(tokenizer, ids[:1], ids[1:], end=None))
    assert tokenizer.text(ids[:1]) + found == tokenizer.text(ids)


def test_what_is_no_text_comes_out_at_the_end_all_the_same():
    tokenizer = Tokenizer(text.learn(["ab"], TextOptions(level="byte"), [], specials=[]))
    assert "".join(corpus.pieces(tokenizer, [], [0x61, 0xC3], end=None)) == "a\ufffd"


def test_a_stretch_knows_itself_as_tensors():
    assert {name: each.dtype for name, each in corpus.stretches(9, 4, 2).tensors().items()} == {
        "begin": torch.int64,
        "start": torch.int64,
        "stop": torch.int64,
    }
