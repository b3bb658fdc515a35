"""Maps as colours."""

from __future__ import annotations

import pytest
import torch

from deepen.ops import heat


def test_warm_begins_and_ends_at_its_colours_and_grows_lighter():
    colours = heat.warm(torch.linspace(0, 1, 101))
    assert colours[0].tolist() == list(heat.WARM[0]) and colours[-1].tolist() == list(heat.WARM[-1])
    light = colours @ torch.tensor([0.2126, 0.7152, 0.0722])
    assert (light.diff() > 0).all()
    assert torch.equal(heat.warm(torch.tensor([-3.0, 7.0])), colours[[0, -1]])


def test_signed_is_blue_below_zero_and_orange_above():
    below, zero, above = heat.signed(torch.tensor([-1.0, 0.0, 1.0])).tolist()
    assert (tuple(below), tuple(zero), tuple(above)) == (heat.AGAINST, heat.NEUTRAL, heat.FOR)


def test_scaling_keeps_zero_and_sign_and_survives_nothing():
    values = torch.tensor([0.0, -2.0, 4.0])
    assert heat.scaled(values, 1.0).tolist() == [0.0, -0.5, 1.0]
    assert heat.scaled(torch.zeros(5, 7)).abs().sum() == 0
    one = torch.zeros(23, 29)
    one[3, 5] = -4.0  # a single value is beyond any quantile
    assert heat.scaled(one)[3, 5] == -1


def test_where_nothing_is_marked_the_picture_shows_in_grey():
    picture = torch.randint(0, 256, (5, 7, 3), generator=torch.Generator().manual_seed(0)).to(torch.uint8)
    values = torch.zeros(5, 7)
    values[2, 3] = 1.0
    for is_signed in (True, False):
        found = heat.over_picture(picture, values, is_signed=is_signed)
        assert found.shape == (5, 7, 3) and found.dtype == torch.uint8
        grey = (found.float().amax(2) - found.float().amin(2)) == 0
        assert not grey[2, 3] and int(grey.sum()) == 34


def test_sheets_hold_every_tile_in_order():
    tiles = torch.arange(1, 6).view(5, 1, 1, 1).expand(5, 2, 3, 3).to(torch.uint8)
    sheet = heat.tiled(tiles, columns=2, ground=99)
    assert sheet.shape == (3 * 3 + 1, 2 * 4 + 1, 3)
    assert sheet[1, 1, 0] == 1 and sheet[1, 5, 0] == 2 and sheet[4, 1, 0] == 3 and sheet[7, 1, 0] == 5
    assert (sheet[0] == 99).all() and (sheet[7:9, 5:8] == 99).all()


def test_pictures_grow_by_whole_pixels():
    picture = torch.arange(6).view(2, 3, 1).to(torch.uint8)
    assert heat.enlarged(picture, 10).shape == (8, 12, 1)
    assert torch.equal(heat.enlarged(picture, 10)[::4, ::4], picture)
    assert heat.enlarged(picture, 2).shape == picture.shape


@pytest.mark.parametrize("size", [(7, 5), (14, 10)])
def test_resizing_keeps_a_constant(size):
    assert torch.allclose(heat.resized(torch.full((2, 3, 4), 0.5), size), torch.full((2, *size), 0.5))
