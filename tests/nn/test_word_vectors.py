"""Tables as networks: scores by hand, what follows from the tables, and their arrays."""

from __future__ import annotations

import numpy as np
import torch

from deepen.nn.lane_tables import padded, put_back
from deepen.nn.word_vectors import PairVectors, SubwordVectors, WordVectors


def test_scores_are_products_of_rows():
    torch.manual_seed(0)
    words, others = torch.tensor([3, 0, 6]), torch.tensor([1, 6, 6])
    plain = WordVectors(7, 5)
    plain.contexts.data.normal_()
    wanted = [float(plain.vectors[w] @ plain.contexts[o]) for w, o in zip(words, others, strict=True)]
    torch.testing.assert_close(plain(words, others).flatten(), torch.tensor(wanted))
    pair = PairVectors(7, 5)
    wanted = [
        float(pair.centres[w] @ pair.contexts[o] + pair.centre_biases[w] + pair.context_biases[o])
        for w, o in zip(words, others, strict=True)
    ]
    torch.testing.assert_close(pair(words, others).flatten(), torch.tensor(wanted))


def test_a_word_of_pieces_is_their_mean():
    torch.manual_seed(0)
    net = SubwordVectors(3, 5, 4)
    net.contexts.data.normal_()
    net.set_pieces(np.array([0, 1, 3, 4, 2, 6]), np.array([0, 1, 4, 6]))
    net.settle()
    means = torch.stack([net.pieces[0], net.pieces[[1, 3, 4]].mean(0), net.pieces[[2, 6]].mean(0)])
    torch.testing.assert_close(net.vectors, means.detach())
    words, others = torch.tensor([2, 1, 1]), torch.tensor([0, 2, 1])
    torch.testing.assert_close(net(words, others).flatten(), (means[words] * net.contexts[others]).sum(1))


def test_what_it_begins_with_are_its_word_vectors():
    given = torch.randn(7, 5, generator=torch.Generator().manual_seed(1))
    for net in (WordVectors(7, 5), PairVectors(7, 5)):
        net.begin(given)
        net.settle()
        torch.testing.assert_close(net.vectors.detach(), given)


def test_arrays_have_rows_of_whole_registers_and_come_back():
    for width in (1, 15, 16, 17, 33):
        tensor = torch.randn(3, width)
        array = padded(tensor, fill=9.0)
        assert array.shape == (3, -(-width // 16) * 16) and (array[:, width:] == 9).all()
        assert np.shares_memory(array, tensor.numpy()) == (width % 16 == 0)
        array += 1
        wanted = torch.from_numpy(array[:, :width].copy())
        put_back(array, tensor)
        assert torch.equal(tensor, wanted)
