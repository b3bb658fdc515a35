"""Lines and judged words as queries, and what word vectors answer them."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
import torch

from deepen.prepare.encoded import Batch
from deepen.prepare.subword_pieces import PieceOptions, PieceTable, pieces_of
from deepen.prepare.text import UNKNOWN, Tokenizer, learn
from deepen.prepare.text_options import TextOptions
from deepen.prepare.word_answers import Answering, units
from deepen.prepare.word_maps import word_figures
from deepen.prepare.word_queries import (
    ANALOGY,
    NOTHING,
    PAIR,
    PLACES,
    QUESTION,
    TEXT,
    WORD,
    Lexicon,
    encode_judged,
    encode_lines,
)

WORDS = ["king", "queen", "man", "woman", "apple"]
PIECES = PieceOptions(shortest=3, longest=4, buckets=1009)


def lexicon(*, with_pieces=False):
    texts = [" ".join([word] * (20 - place)) for place, word in enumerate(WORDS)]
    tokenizer = Tokenizer(learn(texts, TextOptions(splitter="whitespace"), [], specials=(UNKNOWN,)))
    assert tokenizer.vocabulary == [UNKNOWN, *WORDS]
    table = PieceTable.of(tokenizer.vocabulary, PIECES, without=1) if with_pieces else None
    return Lexicon(tokenizer, table)


def queries(lines, lexicon):
    words = [line.split() for line in lines]
    table = pa.table({"source": pa.array([f"q, line {i}" for i in range(len(lines))], pa.string())})
    return encode_lines(words, table.column("source").to_pylist(), lexicon, table)


def batch_of(encoded):
    rows = np.arange(len(encoded))
    tensors = encoded.take(rows)
    for at in range(PLACES):
        for name in (f"rows{at}", f"weights{at}"):
            tensors[name] = encoded.ragged[name].padded(rows)[0]
    return Batch(tensors, len(rows), rows)


def test_what_a_line_asks_follows_from_its_words():
    encoded = queries(["king", "king QUEEN", "man king woman", "a king zebra ape", ""], lexicon())
    assert encoded.tensors["kind"].tolist() == [WORD, TEXT, ANALOGY, TEXT, NOTHING]
    assert encoded.tensors["unknown"].tolist() == [0, 0, 0, 3, 0]
    assert encoded.tensors["ids"].tolist() == [[1, -1, -1, -1], [-1, 1, 2, -1], [3, 1, 4, -1], [-1] * 4, [-1] * 4]
    assert encoded.source(3) == "q, line 3: a king zebra ape"
    assert encoded.table.column("text")[1].as_py() == "king QUEEN"


def test_judged_words_keep_their_scores_and_sections():
    table = pa.table(
        {
            "first": ["king", "man"], "second": ["queen", "king"], "third": pa.array([None, "woman"], pa.string()),
            "fourth": pa.array([None, "queen"], pa.string()), "score": pa.array([8.5, None], pa.float64()),
            "section": ["pairs", "family"], "source": ["a", "b"],
        }
    )  # fmt: skip
    tensors = encode_judged(table, {"pairs": 0, "family": 1}, lexicon()).tensors
    assert tensors["kind"].tolist() == [PAIR, QUESTION] and tensors["section"].tolist() == [0, 1]
    assert tensors["score"].tolist() == [8.5, 0.0]
    assert tensors["ids"].tolist() == [[1, 2, -1, -1], [3, 1, 4, 2]]


VECTORS = torch.tensor([[0, 0, 0], [2, 2, 0], [1, 0, 1], [0, 3, 0], [0.0, 0, 1], [1, 1, -1]])  # [V, D]


@pytest.fixture
def answers():
    own = lexicon()
    found = Answering(own.tokenizer.vocabulary, VECTORS, VECTORS)
    return lambda *lines: found.answers(batch_of(queries(lines, own)), list(lines))


def test_a_word_is_answered_with_the_nearest_others(answers):
    (answer,) = answers("king")
    assert answer.kind == "word" and answer.similarity is None and answer.unknown == 0
    # cosines by hand: man 1 / sqrt 2, apple 2 / sqrt 6, queen 1 / 2, woman 0
    wanted = [("apple", 2 / 6**0.5), ("man", 2**-0.5), ("queen", 0.5), ("woman", 0.0)]
    assert [word for word, _ in answer.neighbours] == [word for word, _ in wanted]
    assert [value for _, value in answer.neighbours] == pytest.approx([value for _, value in wanted], abs=1e-5)


def test_an_analogy_leads_from_the_first_over_the_second_to_the_third(answers):
    (answer,) = answers("man king woman")
    # king / |king| - man + woman = (.7071, -.2929, 1): queen (1 + .7071) / sqrt 2 = 1.2071, apple -.5858 / sqrt 3
    assert answer.kind == "analogy" and answer.nearest == "queen"
    assert answer.cosine == pytest.approx(1.20711, abs=1e-5)
    assert dict(answer.neighbours)["apple"] == pytest.approx(-0.33819, abs=1e-4)
    assert not {"man", "king", "woman"} & dict(answer.neighbours).keys()


def test_two_words_have_a_similarity_and_a_text_is_its_mean(answers):
    two, many, none, unknown, partly = answers("king queen", "king man zebra woman", "", "zebra", "man zebra woman")
    assert two.kind == "text" and two.similarity == pytest.approx(0.5, abs=1e-5)
    mean = (VECTORS[1] + VECTORS[3] + VECTORS[4]) / 3
    assert many.cosine == pytest.approx(float((units(mean[None]) @ units(VECTORS).T).max()), abs=1e-5)
    assert many.unknown == 1
    assert (none.kind, none.nearest, none.neighbours) == ("nothing", None, ())
    assert (unknown.kind, unknown.nearest, unknown.unknown) == ("word", None, 1)
    assert (partly.kind, partly.nearest) == ("analogy", None), "an analogy with an unknown word has no answer"


def test_of_equally_near_words_the_commoner_comes_first():
    vectors = torch.tensor([[0.0, 0], [1, 0], [1, 0], [1, 0], [0, 1], [1, 0]])
    own = lexicon()
    (answer,) = Answering(own.tokenizer.vocabulary, vectors, vectors).answers(batch_of(queries(["man"], own)), ["s"])
    assert [word for word, _ in answer.neighbours] == ["king", "queen", "apple", "woman"]


def test_a_word_of_pieces_is_their_mean_seen_or_not():
    own = lexicon(with_pieces=True)
    assert own.pieces is not None
    table = torch.randn(own.pieces.num_rows, 7, generator=torch.Generator().manual_seed(0))
    found = Answering(own.tokenizer.vocabulary, torch.zeros(6, 7), table)
    batch = batch_of(queries(["king", "kings", "xyz"], own))
    rows = own.rows_of("king")
    torch.testing.assert_close(found.place(batch, 0)[0], table[rows].mean(0))
    assert own.parts_of("king") == ["king", *pieces_of("king", PIECES)] and len(rows) == len(own.parts_of("king"))
    seen = own.parts_of("kings")
    assert set(seen) == set(pieces_of("king", PIECES)) & set(pieces_of("kings", PIECES))
    torch.testing.assert_close(found.place(batch, 0)[1], table[own.rows_of("kings")].mean(0))
    assert not found.place(batch, 0)[2].any() and batch["unknown"].tolist() == [0, 0, 1]


def test_figures_show_the_neighbours_of_common_words_and_name_the_points():
    words = [UNKNOWN, ",", *(f"w{i}" for i in range(13))]
    vectors = torch.randn(15, 5, generator=torch.Generator().manual_seed(1))
    vectors[3] = 2 * vectors[2] + 0.01
    nearest, pca, tsne = word_figures(words, list(range(15, 0, -1)), vectors, first=1)
    assert nearest.rows[0][0] == "w0" and nearest.rows[0][2].startswith("w1 (1.00), ")
    assert len(nearest.rows) == 13 and pca.names == tsne.names == words[2:]
    assert len(pca.points) == len(tsne.points) == 13
    assert word_figures(words[:9], [1] * 9, vectors[:9], first=1) == []
