"""Recurrent layers against PyTorch's, packed and stacked, and under padding."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from deepen.core.errors import ShapeError
from deepen.nn import recurrent
from deepen.nn.dropout import drawing_for
from deepen.nn.recurrent import (
    FEW_STEPS,
    Recurrent,
    VariationalDropout,
    _held,
    _packed,
    places_before,
    reversed_within,
    set_forget_bias,
    stepped,
)

B, T, D, H, L = 5, 11, 3, 7, 2
KINDS = ("rnn", "gru", "lstm")
CPU = torch.device("cpu")


def theirs_of(ours: Recurrent, kind: str) -> nn.RNNBase:
    kinds = {"rnn": nn.RNN, "gru": nn.GRU, "lstm": nn.LSTM}
    theirs = kinds[kind](D, H, len(ours.ahead), batch_first=True, bidirectional=ours.bidirectional)
    with torch.no_grad():
        for suffix, layers in (("", ours.ahead), ("_reverse", ours.back)):
            for index, layer in enumerate(layers):
                for name, parameter in layer.named_parameters():
                    getattr(theirs, name.replace("_l0", f"_l{index}{suffix}")).copy_(parameter)
    return theirs


@pytest.mark.parametrize("places", [1, FEW_STEPS, FEW_STEPS + 1])
def test_few_places_of_an_lstm_are_read_step_by_step_with_the_same_answer(places, monkeypatch):
    torch.manual_seed(0)
    ours, x = Recurrent("lstm", D, H, L, bidirectional=True), torch.randn(B, places, D)
    state = tuple(torch.randn(B, 2 * L, H) for _ in range(2))
    expected, ends = ours(x, None, state)
    taken = []
    monkeypatch.setattr(recurrent, "stepped", lambda *given: taken.append(1) or stepped(*given))
    with torch.no_grad():
        found, own = ours(x, None, state)
    assert len(taken) == (2 * L if places <= FEW_STEPS else 0)
    assert torch.allclose(found, expected, atol=1e-6)
    assert all(torch.allclose(a, b, atol=1e-6) for a, b in zip(own, ends, strict=True))


@pytest.mark.parametrize("has_lengths", [False, True])
@pytest.mark.parametrize("bidirectional", [False, True])
def test_where_the_processor_has_no_lstm_in_bfloat16_it_is_the_one_in_float32(monkeypatch, bidirectional, has_lengths):
    torch.manual_seed(0)
    ours, x = Recurrent("lstm", D, H, L, bidirectional=bidirectional), torch.randn(B, T, D)
    lengths = torch.tensor([7, 11, 1, 0, 5]) if has_lengths else None
    expected, ends = ours(x, lengths)
    monkeypatch.setattr(recurrent, "_has_lstm_kernel", lambda dtype: False)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found, own = ours(x.bfloat16().requires_grad_(), lengths)
        found.sum().backward()
    assert found.dtype == torch.float32
    # it reads numbers of eight bits, and computes with those of the weights as they are
    exact, its = ours(x.bfloat16().float(), lengths)
    assert torch.allclose(found, exact, atol=1e-6) and not torch.equal(found, expected)
    assert all(torch.allclose(a, b, atol=1e-6) for a, b in zip(own, its, strict=True)) and len(own) == len(ends)
    assert all(p.grad is not None and p.grad.isfinite().all() for p in ours.parameters())


def test_the_lstm_of_bfloat16_is_tried_without_a_draw_and_float32_always_has_one():
    state = torch.random.get_rng_state()
    recurrent._has_lstm_kernel.cache_clear()
    recurrent._has_lstm_kernel(torch.bfloat16)
    assert torch.equal(torch.random.get_rng_state(), state)
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=False):
        assert recurrent._autocasts_lstm()


@pytest.mark.parametrize("has_lengths", [False, True])
@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_it_is_pytorchs_stack_over_packed_rows_with_equal_gradients(kind, bidirectional, has_lengths):
    torch.manual_seed(0)
    ours = Recurrent(kind, D, H, L, bidirectional)
    theirs = theirs_of(ours, kind)
    num_states = L * (2 if bidirectional else 1)
    state = tuple(torch.randn(B, num_states, H) for _ in range(ours.num_states))
    lengths = torch.tensor([4, T, 1, 7, 2]) if has_lengths else None
    found = []
    for network in (ours, theirs):
        x = torch.randn(B, T, D, generator=torch.Generator().manual_seed(1)).requires_grad_()
        if network is ours:
            out, end = ours(x, lengths, state)
        else:
            given = tuple(each.transpose(0, 1).contiguous() for each in state)
            packed = x if lengths is None else pack_padded_sequence(x, lengths, True, False)
            out, end = theirs(packed, given if kind == "lstm" else given[0])
            out = out if lengths is None else pad_packed_sequence(out, True)[0]
            end = tuple(each.transpose(0, 1) for each in (end if kind == "lstm" else (end,)))
        (out.pow(2).sum() + sum(each.pow(3).sum() for each in end)).backward()
        found.append((out, *end, x.grad))
    for one, other in zip(*found, strict=True):
        assert torch.allclose(one, other, atol=1e-5)
    for suffix, layers in (("", ours.ahead), ("_reverse", ours.back)):
        for index, layer in enumerate(layers):
            for name, parameter in layer.named_parameters():
                other = getattr(theirs, name.replace("_l0", f"_l{index}{suffix}")).grad
                assert torch.allclose(parameter.grad, other, atol=1e-4)


@pytest.mark.parametrize("kind", KINDS)
def test_the_three_ways_through_a_layer_say_the_same(kind):
    """Held, packed, and step by step from the formulas; a row without a place keeps its state."""
    torch.manual_seed(1)
    layer = Recurrent(kind, D, H).ahead[0]
    x, valid = torch.randn(B, T, D), places_before(torch.tensor([4, T, 0, 7, 2]), T)
    state = tuple(torch.randn(B, H) for _ in range(2 if kind == "lstm" else 1))
    expected, expected_end = stepped(layer, kind, x, valid, state)
    for way in (_held, _packed):
        out, end = way(layer, kind, x, valid, state)
        assert torch.allclose(out[valid], expected[valid], atol=1e-6)
        for one, other, begin in zip(end, expected_end, state, strict=True):
            assert torch.allclose(one, other, atol=1e-6) and torch.equal(one[2], begin[2])


@pytest.mark.parametrize("kind", KINDS)
def test_a_sequence_in_two_parts_is_the_whole(kind):
    torch.manual_seed(2)
    layer, x = Recurrent(kind, D, H, L), torch.randn(B, T, D)
    whole, end = layer(x)
    first, state = layer(x[:, :4], None, layer.initial_state(B))
    second, last = layer(x[:, 4:], None, state)
    assert torch.allclose(torch.cat([first, second], 1), whole, atol=1e-6)
    assert all(torch.allclose(one, other, atol=1e-6) for one, other in zip(last, end, strict=True))


@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_padding_changes_neither_answers_nor_gradients(kind, bidirectional):
    torch.manual_seed(3)
    layer = Recurrent(kind, D, H, L, bidirectional, recurrent_dropout=0.0)
    draw = np.random.default_rng(4)
    for _ in range(5):
        length, more = int(draw.integers(1, T)), int(draw.integers(1, 6))
        x = torch.randn(1, length, D)
        wide = torch.cat([x, 50 * torch.randn(1, more, D)], 1).requires_grad_()
        found = []
        for inputs, lengths in ((x, None), (wide, torch.tensor([length]))):
            layer.zero_grad()
            out, end = layer(inputs, lengths)
            assert not out[:, length:].any()
            (out.pow(2).sum() + sum(each.sum() for each in end)).backward()
            found.append([out[:, :length], *end, *(p.grad.clone() for p in layer.parameters())])
        for one, other in zip(*found, strict=True):
            assert torch.allclose(one, other, atol=1e-4)
        assert not wide.grad[:, length:].any()


@pytest.mark.parametrize("kind", KINDS)
def test_recurrent_dropout_is_one_mask_for_all_steps(kind):
    torch.manual_seed(5)
    layer, x = Recurrent(kind, D, H, recurrent_dropout=0.4).train(), torch.randn(B, T, D)
    rows = np.array([8, 3, 19, 4, 7])
    with drawing_for(1, 2, rows, CPU):
        out, _ = layer(x)
    with drawing_for(1, 2, rows, CPU):
        mask = VariationalDropout(0.4)(torch.ones(B, 1, H))[:, 0]
    assert torch.allclose(out, stepped(layer.ahead[0], kind, x, None, tuple(s[:, 0] for s in layer.initial_state(B)),
                                       mask)[0])  # fmt: skip
    assert mask.unique().tolist() == pytest.approx([0, 1 / 0.6])
    assert not torch.allclose(out, layer.eval()(x)[0])


@pytest.mark.parametrize("variational", [False, True])
def test_what_a_row_suffers_depends_on_neither_neighbours_nor_padding(variational):
    torch.manual_seed(6)
    layer = Recurrent("gru", D, H, L, True, 0.5, variational).train()
    x, lengths, rows = torch.randn(B, T, D), torch.tensor([4, T, 1, 7, 2]), np.array([8, 3, 19, 4, 7])
    with drawing_for(1, 2, rows, CPU):
        whole, _ = layer(x, lengths)
    some = [3, 0, 4]
    with drawing_for(1, 2, rows[some], CPU):
        part, _ = layer(x[some, :7], lengths[some])
    assert torch.allclose(part, whole[some, :7], atol=1e-6)
    if variational:
        with drawing_for(1, 2, rows, CPU):
            mask = layer.dropout(torch.ones(B, T, 2 * H))
        assert torch.equal(mask, mask[:, :1].expand_as(mask)) and not torch.equal(mask[0], mask[1])


def test_turning_a_row_around_is_its_own_inverse():
    x = torch.arange(2 * 5.0).view(2, 5, 1)
    assert reversed_within(x, torch.tensor([3, 0]))[..., 0].tolist() == [[2, 1, 0, 3, 4], [5, 6, 7, 8, 9]]
    assert torch.equal(reversed_within(reversed_within(x, torch.tensor([3, 4])), torch.tensor([3, 4])), x)
    assert torch.equal(reversed_within(x, None), x.flip(1))


def test_starts():
    torch.manual_seed(7)
    layer = Recurrent("lstm", D, H, L, True, start="orthogonal", forget_bias=2.0)
    for each in (*layer.ahead, *layer.back):
        assert torch.allclose(each.weight_hh_l0[:H] @ each.weight_hh_l0[:H].T, torch.eye(H), atol=1e-5)
        bias = each.bias_ih_l0 + each.bias_hh_l0
        assert bias[H : 2 * H].tolist() == [2.0] * H and not bias[:H].any()
    plain = nn.LSTM(D, H)
    set_forget_bias(plain, -1.0)
    assert (plain.bias_ih_l0 + plain.bias_hh_l0)[H : 2 * H].tolist() == [-1.0] * H and plain.bias_hh_l0[:H].all()


def test_what_does_not_fit_is_refused():
    layer, x = Recurrent("lstm", D, H, L), torch.randn(B, T, D)
    with pytest.raises(ShapeError, match=r"lengths has shape \(4,\)"):
        layer(x, torch.ones(4, dtype=torch.int64))
    with pytest.raises(ShapeError, match=r"\[\(5, 2, 7\)\] instead of 2 times \(5, 2, 7\)"):
        layer(x, None, (torch.zeros(B, L, H),))
