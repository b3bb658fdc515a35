"""Pooling against the loop over rows, and of rows with nothing in them."""

from __future__ import annotations

import pytest
import torch

from deepen.nn.attention_record import recording
from deepen.nn.pooling import AttentionPooling, masked_last, masked_max, masked_mean

B, T, D = 3, 7, 5
MASK = torch.arange(T) < torch.tensor([[T], [0], [4]])
HOLES = torch.tensor([[False, True, True, False, True, False, False], [True] * T, [False] * T])


def pooled(name, x, mask):
    torch.manual_seed(0)
    ways = {"mean": masked_mean, "max": masked_max, "last": masked_last}
    return ways.get(name, AttentionPooling(D, 11, 2))(x, mask)


def by_rows(name, x, mask):
    torch.manual_seed(0)
    layer = AttentionPooling(D, 11, 2)
    found = []
    for row, shown in zip(x, mask, strict=True):
        part = row[shown]
        if not len(part):
            found.append(torch.zeros(D * (2 if name == "attention" else 1)))
        elif name == "attention":
            scores = torch.tanh(part @ layer.hidden.weight.T + layer.hidden.bias) @ layer.score.weight.T  # [t, 2]
            weights = scores.exp() / scores.exp().sum(0)
            found.append((weights.T @ part).flatten())
        else:
            found.append({"mean": part.mean(0), "max": part.amax(0), "last": part[-1]}[name])
    return torch.stack(found)


@pytest.mark.parametrize("mask", [MASK, HOLES])
@pytest.mark.parametrize("name", ["mean", "max", "last", "attention"])
def test_each_row_by_itself_with_equal_gradients(name, mask):
    x = torch.randn(B, T, D, generator=torch.Generator().manual_seed(1))
    found = []
    for way in (pooled, by_rows):
        inputs = x.clone().requires_grad_()
        out = way(name, inputs, mask)
        out.pow(2).sum().backward()
        found.append((out, inputs.grad))
    for one, other in zip(*found, strict=True):
        assert torch.allclose(one, other, atol=1e-6)
    assert not found[0][1][~mask].any() and torch.isfinite(found[0][1]).all()
    assert torch.equal(found[0][0][~mask.any(1)], torch.zeros(1, found[0][0].shape[1]))


def test_what_is_hidden_may_be_anything():
    x = torch.randn(B, T, D)
    for name in ("mean", "max", "last", "attention"):
        wild = x.masked_fill(~MASK[..., None], float("nan")) if name != "attention" else x + 1e6 * ~MASK[..., None]
        assert torch.allclose(pooled(name, wild, MASK), pooled(name, x, MASK), atol=1e-6)


def test_weights_are_recorded():
    with recording() as found:
        pooled("attention", torch.randn(B, T, D), MASK)
    assert found[0][0] == "AttentionPooling" and found[0][1].shape == (B, 1, 2, T)
    assert torch.allclose(found[0][1].sum(-1)[:, 0], MASK.any(1)[:, None].expand(B, 2).float())
