from __future__ import annotations

import pytest
import torch

from deepen.core.errors import OptionError
from deepen.models.transformer_pair import Options, build, one_sequence
from deepen.nn.dropout import drawing_for
from deepen.nn.shapes import TextShape
from tests.models.text_networks import VOCABULARY, farthest_from_alone, ids_and_mask, shaken

SHAPE = TextShape(VOCABULARY, longest=11)
SMALL = {"width": 6, "heads": 2, "hidden": 7, "blocks": 2}


def built(**options):
    torch.manual_seed(0)
    return build("transformer-pair", SHAPE, 3, Options(**(SMALL | options)))


@pytest.mark.parametrize("pooling", ["mean", "first"])
@pytest.mark.parametrize("positions", ["learned", "sinusoidal"])
def test_a_pair_is_answered_for_itself(positions, pooling):
    assert farthest_from_alone(shaken(built(positions=positions, pooling=pooling)), sides=2) < 1e-4


def test_the_sequence_has_no_gaps():
    masks = [torch.tensor([[1, 1, 0], [0, 0, 0]]).bool(), torch.tensor([[1, 0], [1, 1]]).bool()]
    source, is_second, mask = one_sequence(*masks)
    # places 0..2 of the first text, 3..4 of the second, 5 is [first], 6 [separator]
    assert [row[keep].tolist() for row, keep in zip(source, mask, strict=True)] == [[5, 0, 1, 6, 3, 6], [5, 6, 3, 4, 6]]
    assert [row[keep].int().tolist() for row, keep in zip(is_second, mask, strict=True)] == [
        [0, 0, 0, 0, 1, 1],
        [0, 0, 1, 1, 1],
    ]
    assert mask.sum(1).tolist() == [6, 5]


def test_what_is_dropped_for_a_pair_does_not_depend_on_padding():
    network = shaken(built()).train()
    first, second = ids_and_mask((3, 2)), ids_and_mask((2, 3), seed=1)
    wide = [tensor for lengths, seed in (((3, 2), 0), ((2, 3), 1)) for tensor in _widened(lengths, seed)]
    outputs = []
    for inputs in ((*first, *second), wide):
        with drawing_for(5, 1, torch.arange(2).numpy(), torch.device("cpu")):
            outputs.append(network(*inputs))
    assert torch.allclose(*outputs, atol=1e-5)


def _widened(lengths, seed):
    """The same ids with more padding behind them."""
    ids, mask = ids_and_mask(lengths, seed=seed)
    pad = torch.zeros(len(ids), 6, dtype=torch.int64)
    return torch.cat([ids, pad], 1), torch.cat([mask, pad.bool()], 1)


def test_it_tells_the_texts_apart_and_sees_words_that_both_have():
    network = shaken(built())
    first, second = ids_and_mask((5,)), ids_and_mask((5,), seed=1)
    assert not torch.allclose(network(*first, *second), network(*second, *first), atol=1e-4)
    silent = shaken(built())
    silent.same.data.zero_()
    assert not torch.allclose(network(*first, *first), silent(*first, *first), atol=1e-4)


def test_texts_beyond_the_learned_positions_are_read_as_far_as_these_go():
    network = shaken(built())
    first, second = ids_and_mask((13,)), ids_and_mask((3,), seed=1)
    cut = (first[0][:, :11], first[1][:, :11])
    assert torch.equal(network(*first, *second), network(*cut, *second))


def test_heads_that_do_not_divide_the_width_are_refused():
    with pytest.raises(OptionError, match="heads must divide the width 6, but is 5"):
        built(heads=5)
