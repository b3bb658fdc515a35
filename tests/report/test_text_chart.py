"""Charts of signs, looked at cell by cell."""

from __future__ import annotations

import math

from deepen.core.figures import Curves
from deepen.report.text_chart import SIGNS, chart


def test_corners_and_the_middle_by_hand():
    found = chart(Curves("Two", "x", "y", {"up": [(0, 0), (4, 2)], "flat": [(2, 1)]}), width=9, height=5)
    assert found.splitlines() == [
        "Two",
        "y",
        "2 |        *",
        "  |",
        "  |    o",
        "  |",
        "0 |*",
        "  +---------",
        "   0       4  x",
        "  * up",
        "  o flat",
    ]


def test_what_is_not_finite_is_left_out_and_a_constant_lies_in_the_middle():
    found = chart(Curves("C", "x", "y", {"a": [(0, 3.0), (1, math.nan), (2, math.inf), (4, 3.0)]}), width=5, height=3)
    assert found.splitlines()[2:5] == ["4.5 |", "    |*   *", "1.5 |"]


def test_nothing_at_all_is_drawn_too():
    assert "+-----" in chart(Curves("None", "x", "y", {"a": []}), width=5, height=3)


def test_more_lines_than_signs_begin_anew_and_names_cannot_move_the_cursor():
    lines = {f"line {i}\x1b[2J": [(float(i), 0.0)] for i in range(len(SIGNS) + 1)}
    found = chart(Curves("Many", "x", "y", lines))
    assert "\x1b" not in found and f"  {SIGNS[0]} line {len(SIGNS)}" in found
