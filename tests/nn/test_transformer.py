"""Blocks against PyTorch's, step by step against the whole, and under padding."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from deepen.nn.attention_record import recording
from deepen.nn.dropout import drawing_for, row_uniform
from deepen.nn.position import Rotary
from deepen.nn.transformer import DecoderBlock, EncoderBlock, norm_after

B, T, S, D, HEADS, F = 2, 5, 7, 33, 3, 17


def attention_into(ours, theirs):
    with torch.no_grad():
        theirs.in_proj_weight.copy_(torch.cat([ours.query.weight, ours.key.weight, ours.value.weight]))
        theirs.in_proj_bias.copy_(torch.cat([ours.query.bias, ours.key.bias, ours.value.bias]))
    theirs.out_proj.load_state_dict(ours.out.state_dict())


def stirred(block):
    """No bias at 0 and no scale at 1, which would hide that one is passed over."""
    for parameter in block.parameters():
        nn.init.normal_(parameter, std=0.3)
    return block


@pytest.mark.parametrize("is_causal", [False, True])
@pytest.mark.parametrize("activation", ["relu", "gelu"])
@pytest.mark.parametrize("norm", ["post", "pre"])
def test_an_encoder_block_is_pytorchs_with_the_same_weights(norm, activation, is_causal):
    torch.manual_seed(0)
    ours = stirred(EncoderBlock(D, HEADS, F, activation=activation, norm=norm, is_causal=is_causal))
    theirs = nn.TransformerEncoderLayer(D, HEADS, F, 0.0, activation, batch_first=True, norm_first=norm == "pre")
    attention_into(ours.attention, theirs.self_attn)
    for name, layer in {"linear1": ours.feed_forward.hidden, "linear2": ours.feed_forward.out}.items():
        getattr(theirs, name).load_state_dict(layer.state_dict())
    theirs.norm1.load_state_dict(ours.attention_norm.state_dict())
    theirs.norm2.load_state_dict(ours.feed_forward_norm.state_dict())
    x, mask = torch.randn(B, T, D), torch.arange(T) < torch.tensor([[T], [3]])
    future = ~torch.ones(T, T).tril().bool() if is_causal else None
    expected = theirs(x, src_mask=future, src_key_padding_mask=~mask)
    assert torch.allclose(ours(x, mask)[mask], expected[mask], atol=1e-5)


@pytest.mark.parametrize("norm", ["post", "pre"])
def test_a_decoder_block_is_pytorchs_with_the_same_weights(norm):
    torch.manual_seed(1)
    ours = stirred(DecoderBlock(D, HEADS, F, norm=norm))
    theirs = nn.TransformerDecoderLayer(D, HEADS, F, 0.0, batch_first=True, norm_first=norm == "pre")
    attention_into(ours.attention, theirs.self_attn)
    attention_into(ours.memory_attention, theirs.multihead_attn)
    for name, layer in {
        "linear1": ours.feed_forward.hidden, "linear2": ours.feed_forward.out, "norm1": ours.attention_norm,
        "norm2": ours.memory_norm, "norm3": ours.feed_forward_norm,
    }.items():  # fmt: skip
        getattr(theirs, name).load_state_dict(layer.state_dict())
    x, memory, memory_mask = torch.randn(B, T, D), torch.randn(B, S, D), torch.arange(S) < torch.tensor([[S], [2]])
    future = ~torch.ones(T, T).tril().bool()
    expected = theirs(x, memory, tgt_mask=future, memory_key_padding_mask=~memory_mask)
    assert torch.allclose(ours(x, memory, None, memory_mask), expected, atol=1e-5)


@pytest.mark.parametrize("norm", ["post", "pre"])
def test_step_by_step_is_the_whole_pass(norm):
    torch.manual_seed(2)
    x, memory, memory_mask = (
        torch.randn(B, T, D + 3),
        torch.randn(B, S, D + 3),
        torch.arange(S) < torch.tensor([[S], [2]]),
    )
    encoder = EncoderBlock(D + 3, HEADS, F, norm=norm, is_causal=True, positions=Rotary(12))
    decoder = DecoderBlock(D + 3, HEADS, F, norm=norm, positions=Rotary(12))
    kept, caches, steps = decoder.remember(memory), [None, None], ([], [])
    for part in x.split([2, 1, 2], 1):
        one, caches[0] = encoder.extend(part, caches[0])
        two, caches[1] = decoder.extend(part, kept, caches[1], memory_mask)
        steps[0].append(one)
        steps[1].append(two)
    assert torch.allclose(torch.cat(steps[0], 1), encoder(x), atol=1e-5)
    assert torch.allclose(torch.cat(steps[1], 1), decoder(x, memory, None, memory_mask), atol=1e-5)


@pytest.mark.parametrize("norm", ["post", "pre"])
def test_padding_changes_neither_answers_nor_gradients(norm):
    torch.manual_seed(3)
    block = EncoderBlock(D, HEADS, F, activation="gelu", norm=norm)
    draw = np.random.default_rng(4)
    for _ in range(5):
        length, more = int(draw.integers(1, T + 1)), int(draw.integers(1, 6))
        x = torch.randn(1, length, D)
        wide = torch.cat([x, torch.randn(1, more, D)], 1).requires_grad_()
        mask = (torch.arange(length + more) < length)[None]
        found = []
        for inputs, shown in ((x, None), (wide, mask)):
            block.zero_grad()
            answer = block(inputs, shown)[:, :length]
            answer.pow(3).sum().backward()
            found.append([answer.detach(), *(p.grad.clone() for p in block.parameters())])
        for one, other in zip(*found, strict=True):
            assert torch.allclose(one, other, atol=2e-4)
        assert not wide.grad[:, length:].any()


def test_an_empty_row_is_finite_and_so_is_every_gradient():
    block = EncoderBlock(D, HEADS, F)
    out = block(torch.zeros(B, T, D), torch.arange(T) < torch.tensor([[T], [0]]))
    out.sum().backward()
    assert torch.isfinite(out).all() and all(torch.isfinite(p.grad).all() for p in block.parameters())


def test_what_a_row_suffers_depends_on_neither_neighbours_nor_padding():
    torch.manual_seed(5)
    blocks = nn.ModuleList(EncoderBlock(D, HEADS, F, 0.3, norm="pre") for _ in range(2)).train()
    x, lengths, rows = torch.randn(3, T, D), torch.tensor([[3], [T], [2]]), np.array([5, 9, 2])

    def run(some, size):
        with drawing_for(1, 2, rows[some], torch.device("cpu")):
            h, mask = x[some, :size], torch.arange(size) < lengths[some]
            for block in blocks:
                h = block(h, mask)
        return h

    whole, part = run([0, 1, 2], T), run([2, 0], 3)
    assert torch.allclose(part[1], whole[0, :3], atol=1e-5) and torch.allclose(part[0, :2], whole[2, :2], atol=1e-5)


@pytest.mark.parametrize("kind", [EncoderBlock, DecoderBlock])
@pytest.mark.parametrize("norm", ["post", "pre"])
def test_a_row_passes_by_all_branches_of_a_block_or_none(kind, norm):
    """The kept rows by hand, each branch 1 / (1 - 0.375) times as large; a skipped row meets the norms at most."""
    torch.manual_seed(6)
    block, p = stirred(kind(D, HEADS, F, norm=norm, skip=0.375)).train(), 0.375
    x, memory, rows, cpu = torch.randn(11, T, D), torch.randn(11, S, D), np.arange(20, 31), torch.device("cpu")
    more = (memory,) if kind is DecoderBlock else ()
    branches = [(block.attention_norm, lambda h: block.attention(h, h, h))]
    if more:
        branches.append((block.memory_norm, lambda h: block.memory_attention(h, memory, memory)))
    branches.append((block.feed_forward_norm, block.feed_forward))
    with drawing_for(1, 2, rows, cpu):
        kept = row_uniform(11, 1, cpu)[:, :, None] >= p
    assert 0 < kept.sum() < 11
    whole, skipped = x, x
    for layer_norm, branch in branches:
        if norm == "pre":
            whole = whole + branch(layer_norm(whole)) / (1 - p)
        else:
            whole, skipped = layer_norm(whole + branch(whole) / (1 - p)), layer_norm(skipped)
    with drawing_for(1, 2, rows, cpu):
        found = block(x, *more)
    with drawing_for(1, 2, rows[[7, 2]], cpu):
        part = block(x[[7, 2]], *(each[[7, 2]] for each in more))
    gone = ~kept.flatten()
    assert torch.equal(found[gone], skipped[gone])
    assert torch.allclose(found[~gone], whole[~gone], atol=1e-5)
    assert torch.allclose(part, found[[7, 2]], atol=1e-5)
    answers = block.eval()(x, *more)
    block.skip.p = 0.0
    assert torch.equal(answers, block.train()(x, *more))


def test_each_attention_is_recorded_under_its_own_name():
    model = nn.ModuleDict({"encoder": EncoderBlock(D, HEADS, F), "decoder": DecoderBlock(D, HEADS, F)}).eval()
    x = torch.randn(B, T, D)
    with recording(model) as found:
        model["decoder"](x, model["encoder"](torch.randn(B, S, D)))
    assert {name: tuple(weights.shape) for name, weights in found} == {
        "encoder.attention": (B, HEADS, S, S),
        "decoder.attention": (B, HEADS, T, T),
        "decoder.memory_attention": (B, HEADS, T, S),
    }
    assert not found[1][1].triu(1).any()


def test_only_pre_norm_needs_a_norm_behind_the_last_block():
    assert isinstance(norm_after("pre", D), nn.LayerNorm) and isinstance(norm_after("post", D), nn.Identity)
