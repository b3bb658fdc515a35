import torch

from deepen.models.glove import PAPER, SIZES, Options, build, piece_options
from deepen.nn.shapes import TextShape


def test_two_tables_and_a_bias_for_each_row():
    (words,) = PAPER["glove"].inputs
    net = build("glove", TextShape(words), 100)
    assert list(SIZES) == ["glove"] and piece_options("glove", Options()) is None
    assert sum(p.numel() for p in net.parameters()) == PAPER["glove"].parameters == 2 * words * 101


def test_a_words_vector_is_the_sum_of_both():
    torch.manual_seed(0)
    net = build("glove", TextShape(13), 7)
    torch.testing.assert_close(net.vectors, (net.centres + net.contexts).detach())
    net.centres.data += 1
    net.settle()
    torch.testing.assert_close(net.vectors, (net.centres + net.contexts).detach())
