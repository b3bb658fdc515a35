from __future__ import annotations

import pytest
import torch

from deepen.models.decomposable_attention import FARTHEST, Options, build
from deepen.nn.attention_record import recording
from deepen.nn.shapes import TextShape
from tests.models.text_networks import LENGTHS, VOCABULARY, farthest_from_alone, ids_and_mask, shaken


def built(**options):
    torch.manual_seed(0)
    return build("decomposable-attention", TextShape(VOCABULARY), 3, Options(**({"width": 5, "hidden": 7} | options)))


@pytest.mark.parametrize("intra", [False, True])
@pytest.mark.parametrize("same", [False, True])
def test_a_pair_is_answered_for_itself(intra, same):
    assert farthest_from_alone(shaken(built(intra_attention=intra, same_words=same)), sides=2) < 1e-4


def test_it_is_the_papers_formulas_word_by_word():
    network = shaken(built())
    first, first_mask = ids_and_mask()
    second, second_mask = ids_and_mask(LENGTHS[::-1], seed=1)
    second[0, :2] = first[0, :2]  # so that some words are the same
    for row, outputs in enumerate(network(first, first_mask, second, second_mask)):
        left, right = first[row][first_mask[row]], second[row][second_mask[row]]
        a, b = (
            torch.cat([network.null[None], network.projection(network.embedding(words))]) for words in (left, right)
        )
        e = torch.zeros(len(a), len(b))
        for i in range(len(a)):
            for j in range(len(b)):
                e[i, j] = network.attend(a[i]) @ network.attend(b[j]) / 7**0.5
                if i and j and left[i - 1] == right[j - 1]:
                    e[i, j] += network.same
        of_a = torch.tensor([[float(i > 0 and left[i - 1] in right)] for i in range(len(a))])
        of_b = torch.tensor([[float(j > 0 and right[j - 1] in left)] for j in range(len(b))])
        v = [network.compare(torch.cat([a[i], e[i].softmax(0) @ b, of_a[i]])) for i in range(len(a))]
        w = [network.compare(torch.cat([b[j], e[:, j].softmax(0) @ a, of_b[j]])) for j in range(len(b))]
        v, w = torch.stack(v), torch.stack(w)
        expected = network.head(network.aggregate(torch.cat([v.sum(0), w.sum(0)])))
        assert torch.allclose(outputs, expected, atol=1e-4)


def test_without_distances_the_order_of_words_changes_nothing():
    first, first_mask = ids_and_mask((7,))
    second, second_mask = ids_and_mask((5,), seed=1)
    plain, near = shaken(built()), shaken(built(intra_attention=True))
    turned = (first.flip(1), first_mask, second, second_mask)
    assert torch.allclose(plain(first, first_mask, second, second_mask), plain(*turned), atol=1e-5)
    assert not torch.allclose(near(first, first_mask, second, second_mask), near(*turned), atol=1e-4)


def test_far_words_share_one_distance():
    network = shaken(built(intra_attention=True))
    x, mask = torch.randn(1, FARTHEST + 5, 7), torch.ones(1, FARTHEST + 5, dtype=torch.bool)
    scores = torch.zeros(FARTHEST + 5, FARTHEST + 5)
    q = network.intra.query(x)[0]
    for i in range(len(scores)):
        for j in range(len(scores)):
            apart = max(-FARTHEST - 1, min(FARTHEST + 1, i - j))
            scores[i, j] = q[i] @ q[j] / 7**0.5 + network.intra.distances[apart + FARTHEST + 1]
    assert torch.allclose(network.intra(x, mask)[0, :, 7:], scores.softmax(1) @ x[0], atol=1e-5)


def test_the_alignment_of_the_first_text_is_recorded():
    network = shaken(built())
    first, second = ids_and_mask((7, 3)), ids_and_mask((5, 2), seed=1)
    with recording(network) as found:
        network(*first, *second)
    ((_, weights),) = found
    assert weights.shape == (2, 1, 7, 5) and (weights[0].sum(-1) <= 1).all()
    assert not weights[1, 0, :3, 2:].any()  # behind the end of the second text
