import pytest
import torch

from deepen.core.errors import OptionError
from deepen.models.skip_gram import PAPER, SIZES, Options, build, piece_options
from deepen.nn.shapes import TextShape


@pytest.mark.parametrize("name", SIZES)
def test_there_are_two_tables_and_rows_for_pieces(name):
    (words,) = PAPER[name].inputs
    net = build(name, TextShape(words), 100)
    assert sum(p.numel() for p in net.parameters()) == PAPER[name].parameters == 2 * words * 100
    more = build(name, TextShape(11, characters=29), 7)
    assert sum(p.numel() for p in more.parameters()) == 7 * (2 * 11 + (29 if SIZES[name].has_pieces else 0))


def test_word_vectors_begin_small_and_contexts_at_zero():
    torch.manual_seed(0)
    net = build("skip-gram", TextShape(101), 10)
    assert not net.contexts.any() and 0.09 < float(net.vectors.detach().abs().max()) <= 0.1


def test_pieces_are_read_by_models_that_have_them_and_refused_by_others():
    pieces = piece_options("cbow-subword", Options(longest=5))
    assert (pieces.shortest, pieces.longest, pieces.buckets) == (3, 5, 2_000_000)
    assert piece_options("cbow", Options()) is None
    with pytest.raises(OptionError, match=r"--network\.longest 5: only models with subwords read it, not cbow"):
        piece_options("cbow", Options(longest=5))
