"""Batches of a stream by hand."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import torch

from deepen.prepare import corpus, corpus_batches
from deepen.prepare.corpus import Parts
from deepen.prepare.encoded import Draws
from deepen.prepare.ragged import Ragged

LINES = [[5, 6, 7], [8], [], [9, 10]]  # with ends: 1 | 5 6 7 1 8 1 1 9 10 1


def encoded(rows, **options):
    table = pa.table({"text": ["a b c\nd\n", "\ne f\n"], "source": ["x.txt, line 1", "x.txt, line 3"]})
    stream = corpus.stream_of(Ragged.of(LINES), start=1, end=1)
    return corpus_batches.encoded_rows(stream, rows(stream), Parts.of(table, True), **options)


def test_rows_name_the_line_of_the_first_token_that_they_predict():
    found = encoded(lambda stream: corpus.stretches(len(stream.ids), 4, context=2))
    assert corpus_batches.stream_of(found).tolist() == [1, 5, 6, 7, 1, 8, 1, 1, 9, 10, 1]
    assert [found.source(row) for row in range(3)] == ["x.txt, line 1", "x.txt, line 2", "x.txt, line 4"]


def test_what_is_scored_and_what_is_read_before():
    found = encoded(lambda stream: corpus.stretches(len(stream.ids), 4, context=2))
    batch = corpus_batches.scored_batch(found, np.array([2, 0]))
    assert batch["first"].tolist() == [2, 0] and batch["length"].tolist() == [4, 4] and batch.count == 6
    assert batch["ids"][0].tolist() == [1, 1, 9, 10]
    assert batch["targets"].tolist() == [[1, 9, 10, 1], [5, 6, 7, 1]]
    assert corpus_batches.scored_targets(batch, 4).tolist() == [[10, 1, -1, -1], [5, 6, 7, 1]]


def test_training_windows_follow_one_another_behind_the_epochs_offset():
    found = encoded(lambda stream: corpus.windows(2, 3, len(stream.ids)))
    for epoch in range(7):
        batch = corpus_batches.training_batch(found, np.array([1, 0]), 3, Draws(2, epoch))
        offset = corpus.offset_of(2, epoch, 3)
        ids = corpus_batches.stream_of(found).long()
        assert torch.equal(batch["ids"][1], ids[offset : offset + 3])
        assert torch.equal(batch["targets"][0], ids[offset + 4 : offset + 7])
        assert batch.count == 6


def test_each_token_stands_in_its_line():
    found = encoded(lambda stream: corpus.stretches(len(stream.ids), 99, context=2), keeps_sources=True)
    lines = [corpus_batches.sources_at(found, np.array([place]))[0] for place in range(1, 11)]
    assert [int(each.removeprefix("x.txt, line ")) for each in lines] == [1, 1, 1, 1, 2, 2, 3, 4, 4, 4]
