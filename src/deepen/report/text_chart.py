"""Curves as plain text, for a terminal, a log or a mail: ASCII alone, one sign for each line."""

from __future__ import annotations

import math
from collections.abc import Sequence

from deepen.core.figures import Curves
from deepen.report.wording import visible

WIDTH, HEIGHT = 64, 14
SIGNS = "*o+x#@%&"


def chart(figure: Curves, *, width: int = WIDTH, height: int = HEIGHT) -> str:
    """The figure in `height` rows of `width` signs, with its title, the ends of both axes, and a legend of its lines.

    Points that are not finite are left out. Where lines meet, the later one is seen.

    >>> print(chart(Curves("Up", "x", "y", {"line": [(0, 0), (1, 1), (2, 2)]}), width=5, height=3))
    Up
    y
    2 |    *
      |  *
    0 |*
      +-----
       0   2  x
    """
    points = [p for line in figure.lines.values() for p in line if math.isfinite(p[0]) and math.isfinite(p[1])]
    (left, right), (low, high) = _ends([p[0] for p in points]), _ends([p[1] for p in points])
    grid = [[" "] * width for _ in range(height)]
    for sign, line in zip(SIGNS * (1 + len(figure.lines) // len(SIGNS)), figure.lines.values(), strict=False):
        for x, y in line:
            if math.isfinite(x) and math.isfinite(y):
                grid[_cell(high, low, y, height)][_cell(left, right, x, width)] = sign
    labels = [f"{high:.4g}", *[""] * (height - 2), f"{low:.4g}"]
    margin = max(map(len, labels))
    rows = [f"{label:>{margin}} |{''.join(row)}".rstrip() for label, row in zip(labels, grid, strict=True)]
    first, last = f"{left:.4g}", f"{right:.4g}"
    space = " " * max(1, width - len(first) - len(last))
    bottom = f"{'':{margin}}  {first}{space}{last}  {visible(figure.x_label)}"
    head = [visible(figure.title), visible(figure.y_label)]
    return "\n".join([*head, *rows, f"{'':{margin}} +{'-' * width}", bottom, *_legend(list(figure.lines))])


def _legend(names: Sequence[str]) -> list[str]:
    if len(names) < 2:
        return []
    return [f"  {SIGNS[index % len(SIGNS)]} {visible(name)}" for index, name in enumerate(names)]


def _ends(values: list[float]) -> tuple[float, float]:
    low, high = min(values, default=0.0), max(values, default=1.0)
    return (low, high) if high > low else (low - (abs(low) or 1.0) / 2, high + (abs(high) or 1.0) / 2)


def _cell(first: float, last: float, value: float, count: int) -> int:
    """The place of a value among `count` cells from first to last."""
    return min(count - 1, max(0, round((value - first) / (last - first) * (count - 1))))
