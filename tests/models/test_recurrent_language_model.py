"""The recurrent language models against torch's own layers, and what is dropped in them."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from deepen.models.recurrent_language_model import Options, build, word_mask
from deepen.nn.dropout import drawing_for
from deepen.nn.shapes import TextShape

V, D, H, B, T = 23, 11, 7, 5, 13


def ids(seed=0):
    return torch.randint(V, (B, T), generator=torch.Generator().manual_seed(seed))


def built(name, **options):
    torch.manual_seed(1)
    return build(name, TextShape(V), D, Options(**options))


@pytest.mark.parametrize(("name", "layer"), [("rnn", nn.RNN), ("gru", nn.GRU), ("lstm", nn.LSTM)])
def test_it_is_torchs_layers_between_two_maps(name, layer):
    model = built(name, hidden_size=H, layers=2, embedding_size=3).eval()
    peer = layer(3, H, num_layers=2, batch_first=True)
    own = dict(model.recurrent.named_parameters())
    with torch.no_grad():
        for key, parameter in peer.named_parameters():
            level = key[-1]
            parameter.copy_(own[f"ahead.{level}.{key[:-1]}0"])
        expected = model.projection(peer(model.embedding(ids()))[0])
        assert torch.allclose(model(ids())[0], expected, atol=1e-6)


@pytest.mark.parametrize("name", ["rnn", "gru", "lstm"])
def test_a_text_in_two_parts_is_the_text(name):
    model = built(name, hidden_size=H, layers=2).eval()
    whole, end = model(ids(), None)
    first, state = model(ids()[:, :4], model.initial_state(B, torch.device("cpu")))
    second, after = model(ids()[:, 4:], state)
    assert torch.allclose(torch.cat([first, second], 1), whole, atol=1e-6)
    for one, other in zip(end, after, strict=True):
        assert one.shape == (B, 2, H) and torch.allclose(one, other, atol=1e-6)


def test_without_a_size_of_its_own_the_hidden_state_is_the_answer():
    assert built("lstm", hidden_size=D).projection is None
    assert built("lstm").recurrent.hidden_size == 400


@pytest.mark.parametrize("options", [{"dropout": 0.5}, {"dropout": 0.5, "variational": True}, {"word_dropout": 0.4}])
@pytest.mark.parametrize("recurrent", [0.0, 0.4])
def test_what_is_dropped_depends_on_the_row_alone(options, recurrent):
    model = built("lstm", hidden_size=H, layers=2, recurrent_dropout=recurrent, **options).train()
    rows = np.array([3, 1, 4, 15, 9])

    def answered(chosen):
        with drawing_for(2, 6, rows[chosen], torch.device("cpu")):
            return model(ids()[chosen], None)[0]

    whole = answered([0, 1, 2, 3, 4])
    assert torch.allclose(whole[[3, 1]], answered([3, 1]), atol=1e-6)
    assert not torch.allclose(whole, model.eval()(ids(), None)[0], atol=1e-3)


def test_variational_dropout_drops_the_same_numbers_at_all_places():
    model = built("rnn", hidden_size=D, dropout=0.5, variational=True).train()
    dropped = model(ids(), None)[0] == 0
    assert dropped.any() and not dropped.all()
    assert torch.equal(dropped, dropped[:, :1].expand_as(dropped))
    free = built("rnn", hidden_size=D, dropout=0.5).train()(ids(), None)[0] == 0
    assert not torch.equal(free, free[:, :1].expand_as(free))


def test_a_word_is_dropped_everywhere_in_its_row_or_nowhere():
    torch.manual_seed(3)
    given = torch.randint(5, (101, 19))
    found = word_mask(given, 0.3)
    for row in range(101):
        for word in range(5):
            assert len(set(found[row][given[row] == word].tolist())) <= 1
    assert sorted(found.unique().tolist()) == pytest.approx([0.0, 1 / 0.7])
    share = float((found[:, 0] == 0).float().mean())
    assert abs(share - 0.3) < 4 * (0.3 * 0.7 / 101) ** 0.5
