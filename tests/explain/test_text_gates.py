"""Gates of tokens, found by trial in networks that cut, join, repeat and spell what they read."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from deepen.explain.text_gates import Side, find_gates, repeated
from deepen.models import fasttext, recurrent_tagger, textcnn, transformer_pair
from deepen.nn.shapes import TextShape
from deepen.prepare.encoded import Batch

V = 41
SHAPE = TextShape(V, longest=11, characters=13)
ONE = (Side("ids", "mask", "text"),)
TWO = (Side("a", "a_mask", "text_a"), Side("b", "b_mask", "text_b"))


def text_batch(ids, size=None):
    size = size or len(ids)
    tensor = torch.tensor([[*ids, *[0] * (size - len(ids))]])
    return Batch({"ids": tensor, "mask": torch.arange(size)[None] < len(ids)}, 1, np.array([3]))


def pair_batch(a, b):
    one, other = text_batch(a), text_batch(b)
    tensors = {"a": one["ids"], "a_mask": one["mask"], "b": other["ids"], "b_mask": other["mask"]}
    return Batch(tensors, 1, np.array([3]))


def zeroed(model, run, ids):
    """The output with the rows of these ids at zero in every table of words."""
    tables = [m for m in model.modules() if isinstance(m, nn.Embedding) and m.num_embeddings == V]
    kept = [table.weight.detach().clone() for table in tables]
    with torch.no_grad():
        for table in tables:
            table.weight[list(ids)] = 0
        out = run()
        for table, weight in zip(tables, kept, strict=True):
            table.weight.copy_(weight)
    return out


def check(model, batch, sides, run, ids):
    """Shutting gates is the same as zeroing the words' vectors, whichever are shut."""
    gates = find_gates(model, batch, sides, run)
    assert gates.num_tokens == len(ids) and gates.found.all()
    values = torch.ones(len(ids) + 1, len(ids))
    for t in range(len(ids)):
        values[t, t] = 0
    values[-1, ::2] = 0
    with torch.no_grad(), gates.set_to(values):
        found = run(repeated(batch, len(values)))
    for t, out in enumerate(found):
        shut = [word for word, value in zip(ids, values[t], strict=True) if value == 0]
        assert torch.allclose(out, zeroed(model, lambda: run(batch), shut)[0], atol=1e-5)
    with torch.no_grad():
        assert torch.equal(run(batch), run(batch)) and not torch.allclose(found[0], run(batch)[0], atol=1e-4)
    return gates


@pytest.mark.parametrize("multichannel", [False, True])
def test_one_text_also_where_two_tables_are_read(multichannel):
    torch.manual_seed(0)
    options = textcnn.Options(multichannel=multichannel)
    model = textcnn.build("textcnn", SHAPE, 3, options).eval()
    ids = [1, 7, 2, 40, 3]  # among them those that digits are written with
    gates = check(model, text_batch(ids, 9), ONE, lambda b: model(b["ids"], b["mask"]), ids)
    assert len(gates.places) == 1 + multichannel


def test_two_texts_that_are_joined():
    torch.manual_seed(1)
    model = transformer_pair.build("transformer-pair", SHAPE, 3, transformer_pair.Options(same_words=False)).eval()
    a, b = [5, 1, 9], [2, 8, 30, 4, 6]
    check(model, pair_batch(a, b), TWO, lambda x: model(x["a"], x["a_mask"], x["b"], x["b_mask"]), [*a, *b])


def test_what_a_network_cuts_off_has_no_gate():
    torch.manual_seed(2)
    model = transformer_pair.build("transformer-pair", TextShape(V, longest=3), 3).eval()
    batch = pair_batch([5, 1, 9, 7, 8], [2, 3])
    gates = find_gates(model, batch, TWO, lambda x: model(x["a"], x["a_mask"], x["b"], x["b_mask"]))
    assert gates.found.tolist() == [True] * 3 + [False] * 2 + [True] * 2


def test_characters_belong_to_their_word():
    torch.manual_seed(3)
    model = recurrent_tagger.build("bilstm-crf", SHAPE, 5).eval()
    side = Side("ids", "mask", "tokens", more=("characters",))
    batch = text_batch([7, 2, 11])
    characters = torch.tensor([[[3, 4, 0], [5, 0, 0], [1, 2, 6]]])
    batch = Batch({**batch.tensors, "characters": characters}, 3, batch.rows)

    def run(b):
        return model(b["ids"], b["mask"], b["characters"])

    gates = find_gates(model, batch, (side,), run)
    shapes = sorted(tuple(places.shape) for calls in gates.places.values() for places in calls)
    assert shapes == [(1, 3), (1, 3, 3)] and gates.found.all()
    spelled = next(calls[0] for layer, calls in gates.places.items() if calls[0].dim() == 3)
    assert spelled[0].tolist() == [[0] * 3, [1] * 3, [2] * 3]  # padding goes with its word; the network masks it
    with torch.no_grad(), gates.set_to(torch.tensor([[1.0, 0.0, 1.0]])):
        shut = run(batch)
    assert not torch.allclose(shut[0, 1], run(batch)[0, 1], atol=1e-4)


def test_buckets_of_ngrams_are_no_token():
    torch.manual_seed(4)
    model = fasttext.build("fasttext", SHAPE, 3).eval()
    nn.init.normal_(model.linear.weight)
    gates = find_gates(model, text_batch([5, 9, 2, 7]), ONE, lambda b: model(b["ids"], b["mask"]))
    assert list(gates.places) == [model.embedding] and gates.places[model.embedding][0].tolist() == [[0, 1, 2, 3]]


def test_a_layer_that_is_asked_twice_and_one_that_sees_no_token():
    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            self.embedding, self.places = nn.Embedding(V, 5), nn.Embedding(V, 5)

        def forward(self, ids):
            forwards, back = self.embedding(ids), self.embedding(ids.flip(1))
            where = self.places(torch.arange(1, ids.shape[1] + 1).expand_as(ids))
            return torch.cat([forwards, back * 3, where], 2).pow(2).sum((1, 2))[:, None]

    model = Twice()
    gates = find_gates(model, text_batch([4, 1, 2]), ONE, lambda b: model(b["ids"]))
    assert [places.tolist() for places in gates.places[model.embedding]] == [[[0, 1, 2]], [[2, 1, 0]]]
    assert model.places not in gates.places
