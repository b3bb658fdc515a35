from __future__ import annotations

import torch
from torch.nn import functional as F

from deepen.models.dpcnn import Options, build, halved, num_blocks
from deepen.nn.shapes import TextShape
from tests.models.text_networks import VOCABULARY, farthest_from_alone, ids_and_mask, shaken


def built(blocks=3):
    torch.manual_seed(0)
    return build("dpcnn", TextShape(VOCABULARY), 3, Options(width=5, maps=7, blocks=blocks))


def test_a_single_text_goes_through_the_formulas():
    network = shaken(built())
    ids, mask = ids_and_mask((11,))
    z = network.region(network.embedding(ids).mT)
    for index, block in enumerate(network.blocks):
        if index:
            z = torch.stack([z[:, :, start : start + 3].amax(2) for start in range(0, z.shape[2], 2)], 2)
        z = z + block.second(F.relu(block.first(F.relu(z))))
    assert z.shape[2] == 3  # 11, 6, 3
    assert torch.allclose(network(ids, mask), network.linear(z.amax(2)), atol=1e-5)


def test_a_text_is_answered_for_itself_even_beyond_its_last_halving():
    assert farthest_from_alone(shaken(built(blocks=6))) < 1e-5


def test_halving_keeps_the_largest_of_each_text_and_nothing_beyond():
    z = torch.tensor([[[-1.0, -5.0, -3.0, 9.0]], [[2.0, 4.0, 6.0, 8.0]]])
    found, lengths = halved(z, torch.tensor([3, 4]))
    assert lengths.tolist() == [2, 2]
    assert found.tolist() == [[[-1.0, -3.0, 0.0]], [[6.0, 8.0, 0.0]]]
    assert halved(z[:, :, :1], torch.tensor([1, 0]))[0].tolist() == [[[-1.0]], [[0.0]]]


def test_blocks_follow_the_longest_text():
    depth = {longest: num_blocks(TextShape(5, longest=longest), Options()) for longest in (1, 2, 8, 9, 10**6)}
    assert depth == {1: 1, 2: 2, 8: 4, 9: 5, 10**6: 7}
    assert num_blocks(TextShape(5), Options()) == 7
    assert num_blocks(TextShape(5, longest=8), Options(blocks=2)) == 2
