"""The Transformer decoder: it sees nothing behind it, a cache changes nothing, and positions are told apart."""

from __future__ import annotations

import pytest
import torch

from deepen.core.errors import OptionError, ShapeError
from deepen.models.transformer_language_model import Options, build
from deepen.nn.shapes import TextShape

V, D, B, T, WINDOW = 23, 11, 5, 13, 17
KINDS = ["learned", "sinusoidal", "rotary"]


def built(**options):
    torch.manual_seed(2)
    sizes = {"hidden_size": 12, "heads": 3, "layers": 2, "feed_forward_size": 19}
    return build("transformer-decoder", TextShape(V, longest=WINDOW), D, Options(**{**sizes, **options})).eval()


def ids():
    return torch.randint(V, (B, T), generator=torch.Generator().manual_seed(4))


@pytest.mark.parametrize("positions", KINDS)
def test_no_place_sees_one_behind_it(positions):
    model, other = built(positions=positions), ids().clone()
    other[:, 7] = (other[:, 7] + 1) % V
    same = (model(ids())[0] - model(other)[0]).abs().amax(2) < 1e-6
    assert same[:, :7].all() and not same[:, 7:].any()


@pytest.mark.parametrize("positions", KINDS)
def test_going_on_with_a_cache_is_reading_anew(positions):
    model = built(positions=positions)
    whole, none = model(ids())
    assert none == ()
    state, parts = model.initial_state(B, torch.device("cpu")), []
    for begin, end in ((0, 3), (3, 4), (4, T)):
        hidden, state = model(ids()[:, begin:end], state)
        parts.append(hidden)
    assert torch.allclose(torch.cat(parts, 1), whole, atol=1e-5)
    assert [tuple(each.shape) for each in state] == [(B, 3, T, 4)] * 4


@pytest.mark.parametrize("positions", KINDS)
def test_the_order_of_what_came_before_counts(positions):
    model, swapped = built(positions=positions), ids().clone()
    swapped[:, [2, 3]] = swapped[:, [3, 2]]
    assert (swapped[:, 2] != swapped[:, 3]).any()
    assert not torch.allclose(model(ids())[0][:, -1], model(swapped)[0][:, -1], atol=1e-6)


def test_a_width_that_is_that_of_the_output_layer_needs_no_maps():
    model = built(hidden_size=D, heads=1)
    assert model.widen is None and model.projection is None
    assert built().widen is not None and built().projection is not None


def test_more_than_the_window_is_refused():
    with pytest.raises(ShapeError, match="18 tokens are given, but the window is 17"):
        built(positions="rotary")(torch.zeros(1, 18, dtype=torch.int64))
    model = built()
    _, state = model(torch.zeros(1, 17, dtype=torch.int64), model.initial_state(1, torch.device("cpu")))
    with pytest.raises(ShapeError, match="window is 17"):
        model(torch.zeros(1, 1, dtype=torch.int64), state)


def test_heads_that_do_not_divide_the_width_are_refused():
    with pytest.raises(OptionError, match=r"--network\.heads 5: must divide the width 12"):
        built(heads=5)
