"""Scoring and going on: equal to reading one token at a time, whatever the cutting."""

from __future__ import annotations

import math

import pytest
import torch

from deepen.models import neural_ngram, recurrent_language_model, transformer_language_model
from deepen.nn import next_token, output_layers
from deepen.nn.next_token import Continuation, surprise
from deepen.nn.shapes import TextShape

V, D, WINDOW = 23, 11, 13
NETWORKS = {
    "rnn": lambda: recurrent_language_model.build(
        "rnn", TextShape(V), D, recurrent_language_model.Options(hidden_size=7)
    ),
    "lstm": lambda: recurrent_language_model.build(
        "lstm", TextShape(V), D, recurrent_language_model.Options(hidden_size=D, layers=2)
    ),
    "neural-ngram": lambda: neural_ngram.build("neural-ngram", TextShape(V), D, neural_ngram.Options(order=3)),
    "transformer": lambda: transformer_language_model.build(
        "transformer-decoder",
        TextShape(V, longest=WINDOW),
        D,
        transformer_language_model.Options(hidden_size=12, heads=3, layers=2),
    ),
}
STATEFUL = ["rnn", "lstm", "neural-ngram"]


def network(name):
    torch.manual_seed(5)
    built = NETWORKS[name]()
    with torch.no_grad():
        for parameter in built.parameters():
            parameter.mul_(3)  # so that answers differ
    built.output_layer = output_layers.build("full", D, [1] * V)
    return built.eval()


def text(length, seed=0):
    return torch.randint(V, (length,), generator=torch.Generator().manual_seed(seed))


@torch.no_grad()
def naive(model, ids):
    """-ln p of ids[1:], each after all before it (of a window: each window anew), one token at a time."""
    state, found = None, []
    for index in ids[:-1].tolist():
        hidden, state = model(torch.tensor([[index]]), state)
        log_p = model.output_layer.log_probabilities(hidden[:, 0])[0]
        found.append(-float(log_p[ids[len(found) + 1]]))
    return torch.tensor(found)


def scored(model, texts, first=None, context=5):
    lengths = torch.tensor([len(each) - 1 for each in texts])
    most = int(lengths.max())
    ids, targets = torch.zeros(len(texts), most, dtype=torch.int64), torch.zeros(len(texts), most, dtype=torch.int64)
    for row, each in enumerate(texts):
        ids[row, : len(each) - 1], targets[row, : len(each) - 1] = each[:-1], each[1:]
    first = torch.zeros(len(texts), dtype=torch.int64) if first is None else torch.tensor(first)
    with torch.inference_mode():
        return surprise(model, ids, targets, first, lengths, context=context)


@pytest.mark.parametrize("name", STATEFUL)
@pytest.mark.parametrize("at_once", [3, 29, 4096])
def test_a_state_in_parts_is_one_token_at_a_time(name, at_once, monkeypatch):
    monkeypatch.setattr(next_token, "POSITIONS_AT_ONCE", at_once)
    model, texts = network(name), [text(31), text(17, 1), text(2, 2)]
    found = scored(model, texts)
    assert found.shape == (3, 30)
    for row, each in zip(found, texts, strict=True):
        assert torch.allclose(row[: len(each) - 1], naive(model, each), atol=1e-5)
        assert row[len(each) - 1 :].isnan().all()


@torch.no_grad()
@pytest.mark.parametrize("context", [1, 5, 12, 40])
def test_windows_overlap_by_their_context(context):
    model, ids = network("transformer"), text(53)
    (found,) = scored(model, [ids], context=context)
    overlap = min(context, WINDOW - 1)
    for place in range(52):  # target place + 1 was read after the last `seen` ids
        windows = [0] if place < WINDOW else [(place - WINDOW) // (WINDOW - overlap) + 1]
        begin = windows[0] * (WINDOW - overlap)
        assert place - begin >= min(overlap, place)
        hidden, _ = model(ids[None, begin : place + 1], None)
        expected = -model.output_layer.log_probabilities(hidden[:, -1])[0, ids[place + 1]]
        assert float(found[place]) == pytest.approx(float(expected), abs=1e-5)


@pytest.mark.parametrize("name", NETWORKS)
def test_warming_up_scores_nothing_and_changes_no_neighbour(name):
    model, texts = network(name), [text(31), text(19, 1)]
    whole, warm = scored(model, texts), scored(model, texts, first=[4, 11])
    assert warm.shape == (2, 26)
    assert torch.allclose(warm[0], whole[0, 4:30], atol=1e-5)
    assert torch.allclose(warm[1, :7], whole[1, 11:18], atol=1e-5)
    assert warm[1, 7:].isnan().all()


@pytest.mark.parametrize("name", NETWORKS)
def test_going_on_costs_one_step_and_says_what_reading_anew_says(name):
    model, ids = network(name), text(WINDOW)
    with torch.inference_mode():
        going = Continuation(model, ids[None, :4])
        for place in range(4, WINDOW):
            going.step(ids[None, place])
            hidden, _ = model(ids[None, : place + 1], None)
            anew = model.output_layer.log_probabilities(hidden[:, -1])
            assert torch.allclose(going.log_p, anew, atol=1e-5)


def test_a_window_that_is_full_goes_on_from_its_second_half():
    model, ids = network("transformer"), text(40)
    reads = []
    model.register_forward_pre_hook(lambda _, given: reads.append(given[0].shape[1]))
    with torch.inference_mode():
        going = Continuation(model, ids[None, :WINDOW])
        for place in range(WINDOW, 40):
            going.step(ids[None, place])
            begin = place + 1 - going.ids.shape[1]
            hidden, _ = transformer_language_model.TransformerDecoder.forward(model, ids[None, begin : place + 1], None)
            assert torch.allclose(going.log_p, model.output_layer.log_probabilities(hidden[:, -1]), atol=1e-5)
            assert going.ids.shape[1] >= WINDOW // 2
    assert sum(reads) <= WINDOW + 2 * (40 - WINDOW) and reads.count(1) > 20


@pytest.mark.parametrize("name", NETWORKS)
def test_selected_texts_go_on_by_themselves(name):
    model, texts = network(name), torch.stack([text(5, seed) for seed in range(3)])
    with torch.inference_mode():
        both = Continuation(model, texts).select(torch.tensor([2, 0, 2]))
        both.step(torch.tensor([1, 2, 3]))
        for row, (origin, choice) in enumerate([(2, 1), (0, 2), (2, 3)]):
            alone = Continuation(model, texts[origin : origin + 1])
            alone.step(torch.tensor([choice]))
            assert torch.allclose(both.log_p[row], alone.log_p[0], atol=1e-5)


def test_nothing_scored_is_one_place_of_nan():
    found = scored(network("rnn"), [text(5)], first=[4])
    assert found.shape == (1, 1) and math.isnan(float(found[0, 0]))


@pytest.mark.parametrize("name", list(NETWORKS))
@torch.no_grad()
def test_the_mean_of_hidden_states_is_over_the_scored_places_alone(name, monkeypatch):
    """Of texts within a window, whatever stands behind them and however they are cut."""
    monkeypatch.setattr(next_token, "POSITIONS_AT_ONCE", 5)
    model, texts = network(name), [text(WINDOW), text(7, 1), text(1, 2)]
    ids = torch.zeros(3, WINDOW, dtype=torch.int64)
    for row, each in enumerate(texts):
        ids[row, : len(each)] = each
    first, length = torch.tensor([2, 0, 1]), torch.tensor([WINDOW, 7, 1])
    found = next_token.mean_hidden(model, ids, first, length, context=5)
    for row, each in enumerate(texts[:2]):
        hidden, _ = model(each[None], None)
        assert torch.allclose(found[row], hidden[0, int(first[row]) :].mean(0), atol=1e-5)
    assert not found[2].any()
