"""The neural n-gram against its formula, written out place by place."""

from __future__ import annotations

import pytest
import torch

from deepen.models.neural_ngram import Options, build
from deepen.nn.shapes import TextShape

V, D, B, T = 23, 11, 5, 13


def built(**options):
    torch.manual_seed(2)
    return build("neural-ngram", TextShape(V), D, Options(**options)).eval()


def ids():
    return torch.randint(V, (B, T), generator=torch.Generator().manual_seed(4))


@pytest.mark.parametrize("order", [2, 3, 5])
@pytest.mark.parametrize("direct", [False, True])
def test_it_is_its_formula(order, direct):
    model = built(order=order, embedding_size=3, hidden_size=7, direct=direct)
    found, _ = model(ids(), None)
    for row in range(B):
        for t in range(T):
            words = [int(ids()[row, u]) if u >= 0 else None for u in range(t - order + 2, t + 1)]
            x = torch.cat([torch.zeros(3) if w is None else model.embedding.weight[w] for w in words])
            h = torch.tanh(model.hidden.weight @ x + model.hidden.bias)
            expected = model.projection.weight @ h + model.projection.bias
            if model.direct is not None:
                expected = expected + model.direct.weight @ x
            assert torch.allclose(found[row, t], expected, atol=1e-5)


def test_only_the_last_words_count():
    model, other = built(order=4), ids().clone()
    other[:, 5] = (other[:, 5] + 1) % V
    same = (model(ids(), None)[0] == model(other, None)[0]).all(2)
    assert same[:, [*range(5), *range(8, T)]].all() and not same[:, 5:8].any()


def test_a_text_in_parts_is_the_text_even_from_a_state_of_floats():
    model = built(order=4)
    whole, _ = model(ids(), None)
    parts, state = [], tuple(each.float() for each in model.initial_state(B, torch.device("cpu")))
    for begin, end in ((0, 1), (1, 3), (3, T)):
        hidden, state = model(ids()[:, begin:end], tuple(each.float() for each in state))
        parts.append(hidden)
    assert torch.equal(torch.cat(parts, 1), whole)
