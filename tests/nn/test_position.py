"""Positions: by hand, by their property, and where they end."""

from __future__ import annotations

import math

import pytest
import torch

from deepen.core.errors import OptionError, ShapeError
from deepen.nn.position import LearnedPositions, Rotary, SinusoidalPositions, sinusoids

B, T, D = 2, 7, 6


def test_sinusoids_by_hand():
    table = sinusoids(5, D)
    for t in (0, 1, 4):
        expected = []
        for i in range(D // 2):
            angle = t / 10000 ** (2 * i / D)
            expected += [math.sin(angle), math.cos(angle)]
        assert table[t].tolist() == pytest.approx(expected, abs=1e-7)
    assert torch.equal(sinusoids(5, 5), torch.stack([*_odd()], 1))


def _odd():
    for i in range(5):
        angles = torch.arange(5, dtype=torch.float64) / 10000 ** (2 * (i // 2) / 5)
        yield (angles.cos() if i % 2 else angles.sin()).float()


def test_a_step_is_a_fixed_turn_of_the_sinusoids():
    """The reason they were chosen: p[t + s] is a linear function of p[t] that depends on s alone."""
    table = sinusoids(50, D).double()
    turn = torch.linalg.lstsq(table[:-3], table[3:]).solution
    assert torch.allclose(table[:-3] @ turn, table[3:], atol=1e-5)


@pytest.mark.parametrize("make", [lambda: LearnedPositions(11, D), lambda: SinusoidalPositions(D)])
def test_an_offset_goes_on_where_the_first_part_ended(make):
    layer, x = make(), torch.randn(B, T, D)
    assert torch.allclose(torch.cat([layer(x[:, :3]), layer(x[:, 3:], 3)], 1), layer(x), atol=1e-6)
    assert not torch.allclose(layer(x[:, :1]) - x[:, :1], layer(x[:, :1], 1) - x[:, :1])


def test_learned_positions_are_the_table_and_end():
    layer, x = LearnedPositions(11, D), torch.randn(B, T, D)
    assert torch.equal(layer(x, 4), x + layer.table[4:])
    with pytest.raises(ShapeError, match="12 places are asked for, but this network learned 11"):
        layer(x, 5)


def test_turned_queries_and_keys_know_their_distance_alone():
    q, k = torch.randn(D, dtype=torch.float64), torch.randn(D, dtype=torch.float64)
    layer = Rotary(D)
    queries, keys = layer(q.expand(1, 1, 40, D)), layer(k.expand(1, 1, 40, D))
    products = (queries @ keys.mT)[0, 0]
    for distance in (-11, -1, 0, 5, 23):
        line = products.diagonal(distance)
        assert torch.allclose(line, line[0].expand_as(line), atol=1e-12)
    assert abs(float(products[0, 5] - products[5, 0])) > 1e-3  # left and right differ
    assert torch.allclose(queries.norm(dim=-1), q.norm().expand(1, 1, 40))


def test_turning_is_multiplying_complex_numbers():
    x, layer = torch.randn(B, 3, T, D, dtype=torch.float64), Rotary(D)
    z = torch.complex(x[..., : D // 2], x[..., D // 2 :])
    angle = torch.arange(2, 2 + T)[:, None] / 10000 ** (torch.arange(D // 2, dtype=torch.float64) * 2 / D)
    z = z * torch.polar(torch.ones_like(angle), angle)
    assert torch.allclose(layer(x, 2), torch.cat([z.real, z.imag], -1), atol=1e-12)


def test_an_odd_head_cannot_be_turned():
    with pytest.raises(OptionError, match="but is 5"):
        Rotary(5)
