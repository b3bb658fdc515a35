"""Attention layers against PyTorch's, against themselves step by step, and under padding."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from deepen.core.errors import OptionError
from deepen.nn.attention import AdditiveAttention, MultiHeadAttention, WeightDropout
from deepen.nn.attention_record import record, recording
from deepen.nn.dropout import drawing_for
from deepen.nn.position import Rotary

B, HEADS, T, TK, D = 2, 3, 5, 7, 33


def drawn(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def torchs(ours: MultiHeadAttention) -> nn.MultiheadAttention:
    theirs = nn.MultiheadAttention(D, HEADS, batch_first=True)
    with torch.no_grad():
        theirs.in_proj_weight.copy_(torch.cat([ours.query.weight, ours.key.weight, ours.value.weight]))
        theirs.in_proj_bias.copy_(torch.cat([ours.query.bias, ours.key.bias, ours.value.bias]))
        theirs.out_proj.load_state_dict(ours.out.state_dict())
    return theirs


@pytest.mark.parametrize("is_causal", [False, True])
def test_many_heads_are_pytorchs_with_the_same_weights(is_causal):
    torch.manual_seed(1)
    ours = MultiHeadAttention(D, HEADS, is_causal=is_causal)
    for layer in (ours.query, ours.key, ours.value, ours.out):
        nn.init.normal_(layer.bias)
    theirs = torchs(ours)
    num_keys = T if is_causal else TK
    q, k, v = drawn(B, T, D), drawn(B, num_keys, D, seed=1), drawn(B, num_keys, D, seed=2)
    mask = torch.arange(num_keys) < torch.tensor([[num_keys], [num_keys - 2]])
    future = ~torch.ones(T, T).tril().bool() if is_causal else None
    expected, weights = theirs(q, k, v, ~mask, attn_mask=future, average_attn_weights=False)
    with recording(nn.ModuleDict({"layer": ours})) as found:
        written_out = ours(q, k, v, mask)
    assert torch.allclose(ours(q, k, v, mask), expected, atol=1e-6)
    assert torch.allclose(written_out, expected, atol=1e-6)
    assert [name for name, _ in found] == ["layer"] and torch.allclose(found[0][1], weights, atol=1e-6)


def test_step_by_step_is_the_whole_pass_and_the_front_of_the_cache_may_be_cut():
    for positions in (None, Rotary(D - 1)):
        torch.manual_seed(2)
        layer = MultiHeadAttention(D - 1, 1, is_causal=True, positions=positions)
        x = drawn(B, T, D - 1)
        whole, cache, steps = layer(x, x, x), None, []
        for part in (x[:, :2], x[:, 2:3], x[:, 3:]):
            answer, cache = layer.extend(part, cache)
            steps.append(answer)
        assert torch.allclose(torch.cat(steps, 1), whole, atol=1e-5)
        cut = tuple(each[:, :, 2:4] for each in layer.extend(x)[1])
        assert torch.allclose(layer.extend(x[:, 4:], cut)[0], layer(x[:, 2:], x[:, 2:], x[:, 2:])[:, -1:], atol=1e-5)


def test_a_memory_is_projected_once():
    layer = MultiHeadAttention(D, HEADS)
    x, memory, mask = drawn(B, T, D), drawn(B, TK, D, seed=1), torch.arange(TK) < torch.tensor([[3], [0]])
    answer = layer.look_up(x, layer.remember(memory), mask)
    assert torch.equal(answer, layer(x, memory, memory, mask))
    assert torch.allclose(answer[1], layer.out.bias.expand(T, D))  # nothing to see


def test_additive_attention_is_its_formula():
    torch.manual_seed(3)
    layer = AdditiveAttention(11, 13, 17)
    q, k, v = drawn(B, T, 11), drawn(B, TK, 13), drawn(B, TK, 19)
    mask = torch.arange(TK) < torch.tensor([[4], [TK]])
    with recording() as found:
        answer = layer(q, k, v, mask)
    for b, length in enumerate((4, TK)):
        hidden = torch.tanh((q[b] @ layer.query.weight.T)[:, None] + (k[b, :length] @ layer.key.weight.T)[None])
        weights = (hidden * layer.vector).sum(-1).exp()
        weights = weights / weights.sum(1, keepdim=True)
        assert torch.allclose(answer[b], weights @ v[b, :length], atol=1e-6)
        assert torch.allclose(found[0][1][b, 0, :, :length], weights, atol=1e-6)
    assert found[0][0] == "AdditiveAttention" and found[0][1].shape == (B, 1, T, TK)


def test_nothing_is_recorded_outside():
    layer = MultiHeadAttention(D, HEADS)
    with recording() as found:
        pass
    layer(drawn(B, T, D), drawn(B, T, D), drawn(B, T, D))
    record(layer, drawn(B, T, T))
    assert found == []


@pytest.mark.parametrize("make", [lambda: MultiHeadAttention(D, HEADS), lambda: AdditiveAttention(D, D, 13)])
def test_padding_changes_neither_answers_nor_gradients(make):
    torch.manual_seed(4)
    layer = make()
    draw = np.random.default_rng(5)
    for _ in range(7):
        length, more = int(draw.integers(1, T + 1)), int(draw.integers(1, 6))
        x = drawn(1, length, D, seed=length)
        wide = torch.cat([x, drawn(1, more, D, seed=99)], 1).requires_grad_()
        mask = (torch.arange(length + more) < length)[None]
        found = []
        for inputs, shown in ((x, None), (wide, mask)):
            layer.zero_grad()
            answer = layer(inputs, inputs, inputs, shown)[:, :length]
            answer.pow(2).sum().backward()
            found.append([answer.detach(), *(p.grad.clone() for p in layer.parameters())])
        for one, other in zip(*found, strict=True):
            assert torch.allclose(one, other, atol=1e-4)
        assert not wide.grad[:, length:].any()


def test_dropped_weights_are_those_of_the_row_whatever_the_batch_is_padded_to():
    layer = WeightDropout(0.37).train()

    def drops(rows, *shape):
        with drawing_for(3, 5, np.array(rows), torch.device("cpu")):
            return layer(torch.ones(len(rows), *shape))

    whole = drops([11, 4, 8], HEADS, T, TK)
    assert torch.equal(drops([8, 11], HEADS, T, TK), whole[[2, 0]])
    for queries, keys in ((3, 5), (5, 3), (T, T), (1, TK)):
        assert torch.equal(drops([11, 4, 8], HEADS, queries, keys), whole[:, :, :queries, :keys])
    assert not torch.equal(whole[0, 0], whole[0, 1]) and not torch.equal(whole[0], whole[1])
    many = drops(range(101), HEADS, 13, 13)
    assert float((many == 0).float().mean()) == pytest.approx(0.37, abs=0.01)
    assert float(many.max()) == pytest.approx(1 / 0.63)
    assert drops([1, 2], T, TK).shape == (2, T, TK)
    assert torch.equal(layer.eval()(whole), whole)


def test_without_rows_pytorchs_generator_draws():
    layer = WeightDropout(0.5).train()
    torch.manual_seed(6)
    first = layer(torch.ones(B, HEADS, T, TK))
    torch.manual_seed(6)
    assert torch.equal(layer(torch.ones(B, HEADS, T, TK)), first) and set(first.unique().tolist()) == {0.0, 2.0}


def test_dropout_changes_a_layer_in_training_only():
    layer = MultiHeadAttention(D, HEADS, 0.5)
    x = drawn(B, T, D)
    assert not torch.allclose(layer.train()(x, x, x), layer.eval()(x, x, x))


def test_heads_that_do_not_divide_the_width_are_refused():
    with pytest.raises(OptionError, match="width 33, but is 4"):
        MultiHeadAttention(D, 4)
