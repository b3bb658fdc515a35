"""What a layer costs is counted as by hand, also by the operations that PyTorch's counter leaves out on CPUs."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F

from deepen.nn.sketch import sketched
from deepen.nn.summary import layers


class Attention(nn.Module):
    def forward(self, query, key, value):
        return F.scaled_dot_product_attention(query, key, value)


def counted(module: nn.Module, *inputs: torch.Tensor) -> int:
    return sum(row.multiply_adds for row in layers(module, inputs))


def test_attention() -> None:
    """Each of 2 heads: 5 queries of 3 numbers against 7 keys, and 5 mixtures of 7 values of 3 numbers."""
    query, pairs = torch.randn(1, 2, 5, 3), torch.randn(1, 2, 7, 3)
    by_hand = 2 * (5 * 3 * 7 + 5 * 7 * 3)
    assert counted(Attention(), query, pairs, pairs) == by_hand
    assert counted(Attention(), *(tensor.to("meta") for tensor in (query, pairs, pairs))) == by_hand


def test_a_recurrent_layer() -> None:
    """11 steps of 4 gates of 5 numbers from 3 inputs and 5 states."""
    by_hand = 11 * 4 * 5 * (3 + 5)
    assert counted(nn.LSTM(3, 5, batch_first=True), torch.randn(1, 11, 3)) == by_hand
    with sketched():
        assert counted(nn.LSTM(3, 5, batch_first=True), torch.randn(1, 11, 3)) == by_hand
