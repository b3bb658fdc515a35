from __future__ import annotations

import pytest
import torch

from deepen.models.matching_recurrent import Options, build
from deepen.nn.shapes import TextShape
from tests.models.text_networks import LENGTHS, VOCABULARY, farthest_from_alone, ids_and_mask, shaken


def built(**options):
    torch.manual_seed(0)
    return build("bilstm-matching", TextShape(VOCABULARY), 3, Options(**({"width": 5, "hidden": 7} | options)))


@pytest.mark.parametrize("same", [False, True])
@pytest.mark.parametrize("cell", ["lstm", "gru", "rnn"])
def test_a_pair_is_answered_for_itself(cell, same):
    assert farthest_from_alone(shaken(built(cell=cell, same_words=same)), sides=2) < 1e-4


def test_it_is_the_papers_formulas_word_by_word():
    network = shaken(built())
    first, first_mask = ids_and_mask((7, 3, 1))
    second, second_mask = ids_and_mask((5, 4, 2), seed=1)
    second[0, :2] = first[0, :2]
    for row, outputs in enumerate(network(first, first_mask, second, second_mask)):
        left, right = first[row][first_mask[row]], second[row][second_mask[row]]
        a, b = (network.reader(network.embedding(words)[None])[0][0] for words in (left, right))
        same = (left[:, None] == right[None, :]).float()
        e = a @ b.T + network.same * same
        pooled = []
        for x, partner, of_both in (
            (a, torch.stack([e[i].softmax(0) @ b for i in range(len(a))]), same.amax(1)),
            (b, torch.stack([e[:, j].softmax(0) @ a for j in range(len(b))]), same.amax(0)),
        ):
            p = network.compare(torch.cat([x, partner, x - partner, x * partner, of_both[:, None]], 1)).relu()
            out = network.composer(p[None])[0][0]
            pooled += [out.mean(0), out.amax(0)]
        expected = network.head(torch.tanh(network.hidden(torch.cat(pooled))))
        assert torch.allclose(outputs, expected, atol=1e-4)


def test_both_texts_are_read_by_the_same_network():
    network = shaken(built())
    first, second = ids_and_mask(LENGTHS), ids_and_mask(LENGTHS, seed=1)
    half = network.hidden.weight.shape[1] // 2
    with torch.no_grad():  # as if the last layers took no notice of which text is which
        network.hidden.weight[:, half:] = network.hidden.weight[:, :half]
    assert torch.allclose(network(*first, *second), network(*second, *first), atol=1e-4)
