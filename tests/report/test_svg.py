from __future__ import annotations

import math
import xml.etree.ElementTree as ElementTree

import pytest

from deepen.core.figures import Curves, Matrix, Points
from deepen.report.svg import axis, cell_styles, curves, group_names, group_swatch, heat_map, points, swatch
from tests.report.contents import HOSTILE

NAMES = [name for name in HOSTILE if name]


def test_axis_ends_at_round_values_and_marks_every_step():
    found = axis([0.13, 0.94], 0, 100, num_steps=5)
    assert (found.low, found.high) == pytest.approx((0.0, 1.0))
    assert [found.label(tick) for tick in found.ticks()] == ["0.0", "0.2", "0.4", "0.6", "0.8", "1.0"]
    assert found.at(0.5) == pytest.approx(50)


def test_axis_does_not_widen_when_told_not_to():
    found = axis([1, 19], 0, 90, num_steps=5, widen=False)
    assert (found.at(1), found.at(19)) == (0, 90)
    assert found.ticks() == [5, 10, 15]


@pytest.mark.parametrize(
    "values", [[], [3.0], [0.0, 0.0], [math.nan, math.inf], [1e308, -1e308], [1e-9, 2e-9], [5e9, 5e9]]
)
def test_axis_of_odd_values_is_finite(values: list[float]):
    found = axis(values, 0, 100, num_steps=4)
    assert found.low < found.high
    assert 1 <= len(found.ticks()) <= 20
    assert all(found.label(tick) for tick in found.ticks())


def test_charts_are_well_formed_whatever_the_names():
    line = [(0.0, 0.5), (1.0, math.nan), (2.0, math.inf), (3.0, 0.25)]
    for name in NAMES:
        for chart in (
            curves(Curves(name, name, name, {name: line}), mark=(0.0, 0.5)),
            points(Points(name, name, name, line, diagonal=True)),
            heat_map(Matrix(name, [name] * 3, [name] * 3, [[1.0, 2.0, 3.0]] * 3)),
        ):
            root = ElementTree.fromstring(chart)
            assert {element.tag for element in root.iter()} <= {
                "svg", "line", "text", "polyline", "circle", "title", "rect", "g"
            }  # fmt: skip
            assert root.get("aria-label")


def test_a_gap_splits_the_line():
    chart = curves(Curves("t", "x", "y", {"a": [(0, 1), (1, 2), (2, math.nan), (3, 1), (4, 2)]}))
    assert chart.count("<polyline") == 2


def test_no_points_is_an_empty_chart_that_says_so():
    assert "no points" in curves(Curves("t", "x", "y", {"a": []}))
    assert "0 points" in points(Points("t", "x", "y", []))


def test_cells_are_coloured_by_share_of_the_row_and_diagonal():
    matrix = Matrix("t", ["a", "b"], ["a", "b"], [[100, 0], [1, 63]])
    assert cell_styles(matrix, 0) == ["h8", ""]
    assert cell_styles(matrix, 1) == ["m1", "h8"]
    other = Matrix("t", ["a", "b"], ["c", "d"], [[1, 1], [0, 0]])
    assert cell_styles(other, 0) == ["m6", "m6"]
    assert cell_styles(other, 1) == ["", ""]


def test_a_heat_map_draws_only_what_is_there():
    size = 97
    values = [[float(i == j) for j in range(size)] for i in range(size)]
    names = [f"class {i}" for i in range(size)]
    assert heat_map(Matrix("t", names, names, values)).count("<rect") == size + 1


def test_long_lines_are_thinned():
    chart = curves(Curves("t", "x", "y", {"a": [(i, i % 7) for i in range(100_003)]}))
    assert len(chart) < 20_000


def test_swatches_repeat_after_the_last_stroke():
    assert swatch(0) == swatch(6) != swatch(1)


def test_groups_of_points_have_marks_of_their_own():
    """Eighteen marks that all differ: dots, squares and rings in six colours; in the natural order of the names."""
    names = [f"class {number}" for number in range(19)]
    figure = Points("t", "x", "y", [(float(i), float(i % 5)) for i in range(38)], groups=names[::-1] * 2)
    assert group_names(figure) == names
    drawn = ElementTree.fromstring(points(figure))
    groups = [child for child in drawn.iter("g") if str(child.get("class")).startswith("group")]
    assert [len(list(group)) for group in groups] == [2] * 19
    marks = [str(group_swatch(index)) for index in range(19)]
    assert len(set(marks)) == 18 and marks[18] == marks[0]
    assert "in 19 groups" in str(drawn.get("aria-label"))


def test_a_point_that_is_not_finite_leaves_its_group_whole():
    figure = Points("t", "x", "y", [(0.0, 1.0), (math.nan, 2.0), (3.0, 1.0)], groups=["b", "a", "a"])
    drawn = ElementTree.fromstring(points(figure))
    assert [len(list(g)) for g in drawn.iter("g") if str(g.get("class")).startswith("group")] == [1, 1]


def test_named_points_are_named_where_there_is_room_the_earlier_ones_first():
    places = [(0.0, 0.0), (0.0, 0.0), (5.0, 5.0), (math.nan, 1.0), (10.0, 0.0)]
    drawn = points(Points("t", "x", "y", places, names=["first", "hidden", "<b>", "nowhere", "at the very edge"]))
    assert ">first</text>" in drawn and "&lt;b&gt;</text>" in drawn
    assert not any(name in drawn for name in ("hidden", "nowhere", "<b>", "at the very"))
