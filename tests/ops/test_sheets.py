"""Layers as pictures."""

from __future__ import annotations

import pytest
import torch

from deepen.ops.heat import AGAINST, FOR, NEUTRAL, WARM
from deepen.ops.sheets import MOST_FILTERS, MOST_INPUTS, MOST_MAPS, activation_sheet, filter_note, filter_sheet


def test_the_strongest_maps_are_shown_in_their_order_each_over_its_own_range():
    values = torch.zeros(19, 3, 5)
    for k in range(19):
        values[k, 0, 0], values[k, 1, 1] = k, -k
    sheet, said = activation_sheet(values)
    assert sheet.shape == (4 * 4 + 1, 4 * 6 + 1, 3) and said == f"{MOST_MAPS} strongest of 19 maps, 3x5"
    for place in range(MOST_MAPS):  # maps 3 to 18: the first is lightest at its largest, darkest at its least
        top, left = place // 4 * 4 + 1, place % 4 * 6 + 1
        assert sheet[top, left].tolist() == list(WARM[-1]) and sheet[top + 1, left + 1].tolist() == list(WARM[0])


@pytest.mark.parametrize(("shape", "size"), [((7,), (3, 3)), ((3, 5), (3, 5)), ((2, 3, 5, 1), (6, 5))])
def test_other_outputs_are_drawn_in_lines(shape, size):
    values = torch.arange(1.0, 1 + torch.Size(shape).numel()).view(shape)
    sheet, said = activation_sheet(values)
    assert sheet.shape == (*size, 3) and said == f"{values.numel()} values"
    flat = sheet.flatten(0, 1)
    assert flat[values.numel() - 1].tolist() == list(FOR)
    assert all(pixel.tolist() == list(NEUTRAL) for pixel in flat[values.numel() :])


def test_filters_over_three_channels_are_in_colour_and_grey_where_they_are_zero():
    filters = torch.zeros(5, 3, 2, 2)
    filters[1, 0, 0, 1] = -2.0  # against red
    sheet = filter_sheet(filters)
    assert sheet.shape == (3 * 3 + 1, 2 * 3 + 1, 3)  # two columns
    assert sheet[1, 1].tolist() == [128, 128, 128] and sheet[1, 5].tolist() == [0, 128, 128]
    assert "grey is zero" in filter_note(filters)


def test_other_filters_have_a_line_each_with_their_channels_in_one_scale():
    filters = torch.zeros(MOST_FILTERS + 3, MOST_INPUTS + 1, 1, 1)
    filters[0, 0], filters[0, 1] = -4.0, 2.0
    sheet = filter_sheet(filters)
    assert sheet.shape == (MOST_FILTERS * 2 + 1, MOST_INPUTS * 2 + 1, 3)
    assert sheet[1, 1].tolist() == list(AGAINST)
    half = [round((a + b) / 2) for a, b in zip(NEUTRAL, FOR, strict=True)]
    assert sheet[1, 3].tolist() == pytest.approx(half, abs=1) and "a line per filter" in filter_note(filters)
