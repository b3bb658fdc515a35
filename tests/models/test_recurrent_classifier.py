from __future__ import annotations

import pytest
import torch

from deepen.models.recurrent_classifier import Options, build
from deepen.nn.attention_record import recording
from deepen.nn.shapes import TextShape
from tests.models.text_networks import LENGTHS, VOCABULARY, farthest_from_alone, ids_and_mask, shaken


def built(name="bilstm-attention", **options):
    torch.manual_seed(0)
    return build(name, TextShape(VOCABULARY), 3, Options(**({"width": 5, "hidden": 7} | options)))


@pytest.mark.parametrize("pooling", ["last", "attention", "mean", "max"])
@pytest.mark.parametrize("cell", ["lstm", "gru", "rnn"])
def test_a_text_is_answered_for_itself(cell, pooling):
    assert farthest_from_alone(shaken(built(cell=cell, pooling=pooling, layers=2))) < 1e-5


def test_the_ends_are_those_of_pytorchs_own_bidirectional_lstm():
    network = shaken(built("text-rnn", layers=1))
    own = torch.nn.LSTM(5, 7, bidirectional=True, batch_first=True)
    names = ("weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0")
    own.load_state_dict(
        {name: getattr(network.reader.ahead[0], name) for name in names}
        | {f"{name}_reverse": getattr(network.reader.back[0], name) for name in names}
    )
    ids, mask = ids_and_mask((7, 7))
    _, (ends, _) = own(network.embedding(ids))
    assert torch.allclose(network(ids, mask), network.linear(torch.cat([ends[0], ends[1]], 1)), atol=1e-5)


def test_attention_is_a_softmax_over_the_words_of_each_text():
    network = shaken(built())
    ids, mask = ids_and_mask()
    with recording(network) as found:
        logits = network(ids, mask)
    ((_, weights),) = found
    h = network.reader(network.embedding(ids), mask.sum(1))[0]
    for row, length in enumerate(LENGTHS):
        scores = torch.tanh(h[row, :length]) @ network.vector
        assert torch.allclose(weights[row, 0, 0, :length], scores.softmax(0), atol=1e-6)
        assert not weights[row, 0, 0, length:].any()
        pooled = torch.tanh(scores.softmax(0) @ h[row, :length])
        assert torch.allclose(logits[row], network.linear(pooled), atol=1e-5)


def test_the_sizes_differ_in_layers_and_pooling():
    rnn, attention = built("text-rnn"), built()
    assert (rnn.reader.num_layers, rnn.pooling) == (2, "last")
    assert (attention.reader.num_layers, attention.pooling) == (1, "attention")
