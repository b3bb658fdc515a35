"""Charts as SVG: written through Markup.format, which escapes every name, and coloured by the page's style sheet alone.

Sizes are in pixels of a chart WIDTH wide, which is what a telephone shows; letters then keep their size everywhere.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from deepen.core.class_names import in_order
from deepen.core.figures import Curves, Matrix, Points
from deepen.core.units import round_step
from deepen.report.wording import number, short, visible

WIDTH, HEIGHT = 360, 236
LEFT, RIGHT, TOP, BOTTOM = 50, 14, 22, 36
MOST_POINTS = 400
MOST_DOTS = 24
MOST_LETTERS, LETTER = 16, 5.4  # of a point's name, and the width of one
NUM_STROKES = 6  # the style sheet's lines s0 to s5

_SVG = Markup('<svg viewBox="0 0 {} {}" role="img" aria-label="{}" class="chart">{}</svg>')
_TEXT = Markup('<text x="{:.1f}" y="{:.1f}" class="{}">{}</text>')
_LINE = Markup('<line x1="{:.1f}" y1="{:.1f}" x2="{:.1f}" y2="{:.1f}" class="{}"/>')

Pairs = Sequence[tuple[float, float]]


@dataclass(frozen=True)
class Axis:
    """Values from low to high along pixels from start to end, with a mark at every round step."""

    low: float
    high: float
    start: float
    end: float
    step: float

    def at(self, value: float) -> float:
        """The pixel of a value."""
        return self.start + (value - self.low) / (self.high - self.low) * (self.end - self.start)

    def ticks(self) -> list[float]:
        """The round values from low to high."""
        first, last = math.ceil(self.low / self.step - 1e-9), math.floor(self.high / self.step + 1e-9)
        return [index * self.step for index in range(first, last + 1)]

    def label(self, value: float) -> str:
        """A tick's text with as many decimals as the step has."""
        if max(abs(self.low), abs(self.high)) >= 1e6 or self.step < 1e-4:
            return f"{value:.3g}".replace("e+0", "e").replace("e-0", "e-")
        return f"{value:,.{max(0, -math.floor(math.log10(self.step) + 1e-9))}f}"


def axis(values: Iterable[float], start: float, end: float, *, num_steps: int, widen: bool = True) -> Axis:
    """The axis that holds the finite values, its ends at round values where `widen`."""
    finite = [value for value in values if math.isfinite(value) and abs(value) < 1e300] or [0.0, 1.0]
    low, high = min(finite), max(finite)
    if high - low <= 1e-12 * max(abs(low), abs(high)):
        margin = abs(low) / 2 or 0.5
        low, high = low - margin, high + margin
    step = round_step((high - low) / num_steps)
    if widen:
        low, high = math.floor(low / step + 1e-9) * step, math.ceil(high / step - 1e-9) * step
    return Axis(low, high, start, end, step)


def curves(figure: Curves, *, mark: tuple[float, float] | None = None, from_zero: bool = False) -> Markup:
    """Lines over a common axis; `mark` rings one point of them, such as the weights that were kept."""
    points = [point for line in (*figure.lines.values(), *figure.behind) for point in line if _is_finite(point)]
    x, y = _axes(points, square=figure.diagonal, zero=from_zero)
    parts = _frame(x, y, figure.x_label, figure.y_label)
    if figure.diagonal:
        parts.append(_diagonal(x, y))
    for line in figure.behind:
        path = " ".join(f"{x.at(a):.1f},{y.at(b):.1f}" for a, b in line if _is_finite((a, b)))
        parts.append(Markup('<polyline points="{}" class="behind"/>').format(path))
    for index, (name, line) in enumerate(figure.lines.items()):
        parts += _line(name, line, x, y, f"s{index % NUM_STROKES}")
    if mark is not None and _is_finite(mark):
        ring = Markup('<circle cx="{:.1f}" cy="{:.1f}" r="5" class="ring"><title>{}</title></circle>')
        parts.append(ring.format(x.at(mark[0]), y.at(mark[1]), f"kept: {number(mark[1])}"))
    return _SVG.format(WIDTH, HEIGHT, _said(figure), Markup("").join(parts))


def points(figure: Points) -> Markup:
    """A scatter plot."""
    finite = [point for point in figure.points if _is_finite(point)]
    x, y = _axes(finite)
    if figure.diagonal:
        both = [value for point in finite for value in point]
        x = axis(both, LEFT, WIDTH - RIGHT, num_steps=5)
        y = axis(both, WIDTH - BOTTOM - 20, TOP, num_steps=5)
    parts = _frame(x, y, figure.x_label, figure.y_label)
    if figure.diagonal:
        parts.append(_diagonal(x, y))
    if figure.groups:
        parts += _grouped(figure, x, y)
    else:
        dot = Markup('<circle cx="{:.1f}" cy="{:.1f}" r="2.2"/>')
        dots = Markup("").join(dot.format(x.at(a), y.at(b)) for a, b in finite)
        parts.append(Markup('<g class="dots">{}</g>').format(dots))
    parts += _named(figure, x, y) if figure.names else []
    axes = f"{visible(figure.y_label)} against {visible(figure.x_label)}"
    among = f" in {len(set(figure.groups))} groups" if figure.groups else ""
    said = f"{visible(figure.title)}: {len(finite):,} points of {axes}{among}"
    return _SVG.format(WIDTH, round(max(y.start, y.end) + BOTTOM), said, Markup("").join(parts))


def group_names(figure: Points) -> list[str]:
    """The groups of a scatter in the order of their names, which is that of their colours and of the legend."""
    return in_order(set(figure.groups))


def group_swatch(index: int) -> Markup:
    """The mark of a group's points, for a legend."""
    svg = Markup('<svg viewBox="0 0 8 8" class="mark" aria-hidden="true">{}</svg>')
    return svg.format(_marks(index, [(4.0, 4.0)]))


def heat_map(figure: Matrix) -> Markup:
    """A large matrix as coloured cells; only those that are not empty are drawn, each with its words as a tooltip."""
    rows, columns = len(figure.row_names), len(figure.column_names)
    cell = max(8.0, min(18.0, 900 / max(rows, columns)))
    left, top = 120.0, 120.0
    width, height = left + columns * cell + 10, top + rows * cell + 10
    square = Markup('<rect x="{:.1f}" y="{:.1f}" width="{:.1f}" height="{:.1f}" class="{}"><title>{}</title></rect>')
    parts = [Markup('<rect x="{}" y="{}" width="{:.1f}" height="{:.1f}" class="ground"/>').format(
        left, top, columns * cell, rows * cell
    )]  # fmt: skip
    for i, name in enumerate(figure.row_names):
        parts.append(_TEXT.format(left - 5, top + (i + 0.5) * cell + 3, "small end", short(name, 18)))
        for j, (value, style) in enumerate(zip(figure.values[i], cell_styles(figure, i), strict=True)):
            if value:
                words = f"{name} → {figure.column_names[j]}: {number(value)}"
                parts.append(square.format(left + j * cell, top + i * cell, cell, cell, style, visible(words)))
    turned = Markup('<text transform="translate({:.1f} {:.1f}) rotate(-90)" class="small">{}</text>')
    for j, name in enumerate(figure.column_names):
        parts.append(turned.format(left + (j + 0.5) * cell + 3, top - 5, short(name, 18)))
    axes = f"{visible(figure.row_label)} and {visible(figure.column_label)}"
    said = f"{visible(figure.title)}: {rows} by {columns} {'values' if figure.signed else 'counts'} of {axes}"
    svg = Markup('<svg viewBox="0 0 {:.0f} {:.0f}" width="{:.0f}" role="img" aria-label="{}" class="heat">{}</svg>')
    return svg.format(width, height, width, said, Markup("").join(parts))


def cell_styles(figure: Matrix, row: int) -> list[str]:
    """A class of the style sheet for each cell of a row: h1..h8 on the diagonal of like names, m1..m8 elsewhere.

    The colour follows the square root of the cell's share of its row, so that rare mistakes can be seen at all. Of
    signed values it is m above 0 and h below, and follows the cell's share of the largest of all.
    """
    values = figure.values[row]
    if figure.signed:
        largest = max((abs(value) for line in figure.values for value in line), default=0.0) or 1.0
        shares = [round(8 * abs(value) / largest) for value in values]
        pairs = zip(values, shares, strict=True)
        return [f"{'m' if value > 0 else 'h'}{share}" if share else "" for value, share in pairs]
    total = sum(abs(value) for value in values) or 1.0
    levels = [math.ceil(8 * math.sqrt(abs(value) / total)) for value in values]
    same = figure.row_names == figure.column_names
    return [f"{'h' if same and column == row else 'm'}{level}" if level else "" for column, level in enumerate(levels)]


def swatch(index: int) -> Markup:
    """A short piece of the line of this index, for a legend."""
    svg = Markup('<svg viewBox="0 0 24 8" class="swatch" aria-hidden="true">{}</svg>')
    return svg.format(_LINE.format(0, 4, 24, 4, f"line s{index % NUM_STROKES}"))


def _grouped(figure: Points, x: Axis, y: Axis) -> list[Markup]:
    """The points of each group in its own mark."""
    drawn = []
    for index, name in enumerate(group_names(figure)):
        own = [point for point, group in zip(figure.points, figure.groups, strict=True) if group == name]
        drawn.append(_marks(index, [(x.at(a), y.at(b)) for a, b in own if _is_finite((a, b))]))
    return drawn


def _named(figure: Points, x: Axis, y: Axis) -> list[Markup]:
    """The names of points beside them, each where no earlier name stands and none would be cut off."""
    drawn, taken = [], []
    for (a, b), name in zip(figure.points, figure.names, strict=True):
        said = short(name, MOST_LETTERS)
        if not said or not _is_finite((a, b)):
            continue
        left, middle = x.at(a) + 4, y.at(b)
        right, top, bottom = left + LETTER * len(said), middle - 5, middle + 5
        if right <= WIDTH and all(right < a1 or a2 < left or bottom < b1 or b2 < top for a1, a2, b1, b2 in taken):
            taken.append((left, right, top, bottom))
            drawn.append(_TEXT.format(left, middle + 3, "small", said))
    return drawn


def _marks(index: int, places: Pairs) -> Markup:
    """Dots, then squares, then rings, each in the six colours of the style sheet; then from the start again."""
    shape = index // NUM_STROKES % 3
    if shape == 1:
        one = Markup('<rect x="{:.1f}" y="{:.1f}" width="4.4" height="4.4"/>')
        places = [(a - 2.2, b - 2.2) for a, b in places]
    else:
        one = Markup('<circle cx="{:.1f}" cy="{:.1f}" r="2.4"/>')
    body = Markup("").join(one.format(a, b) for a, b in places)
    hollow = " hollow" if shape == 2 else ""
    return Markup('<g class="group g{}{}">{}</g>').format(index % NUM_STROKES, hollow, body)


def _axes(found: Pairs, *, square: bool = False, zero: bool = False) -> tuple[Axis, Axis]:
    corners = [(0.0, 0.0), (1.0, 1.0)] if square and all(0 <= v <= 1 for point in found for v in point) else []
    x = axis([p[0] for p in [*found, *corners]], LEFT, WIDTH - RIGHT, num_steps=5, widen=False)
    heights = [p[1] for p in [*found, *corners]] + [0.0] * zero
    return x, axis(heights, HEIGHT - BOTTOM, TOP, num_steps=4)


def _diagonal(x: Axis, y: Axis) -> Markup:
    """The line y = x where both axes show it."""
    low, high = max(x.low, y.low), min(x.high, y.high)
    return _LINE.format(x.at(low), y.at(low), x.at(high), y.at(high), "diagonal") if low < high else Markup("")


def _frame(x: Axis, y: Axis, x_label: str, y_label: str) -> list[Markup]:
    parts = [_TEXT.format(4, 11, "label", short(y_label, 48))]
    for value in y.ticks():
        at = y.at(value)
        parts += [
            _LINE.format(x.start, at, x.end, at, "grid"),
            _TEXT.format(x.start - 6, at + 4, "end", y.label(value)),
        ]
    bottom = max(y.start, y.end)
    parts += [_TEXT.format(x.at(value), bottom + 15, "middle", x.label(value)) for value in x.ticks()]
    parts.append(_TEXT.format((x.start + x.end) / 2, bottom + 31, "label middle", short(x_label, 40)))
    return parts


def _line(name: str, line: Pairs, x: Axis, y: Axis, style: str) -> list[Markup]:
    pieces: list[list[tuple[float, float]]] = [[]]
    for point in line[:: math.ceil(len(line) / MOST_POINTS) or 1]:
        if _is_finite(point):
            pieces[-1].append(point)
        elif pieces[-1]:
            pieces.append([])
    drawn = []
    for piece in pieces:
        path = " ".join(f"{x.at(a):.1f},{y.at(b):.1f}" for a, b in piece)
        drawn.append(Markup('<polyline points="{}" class="line {}"/>').format(path, style))
    if len(line) <= MOST_DOTS:
        dot = Markup('<circle cx="{:.1f}" cy="{:.1f}" r="2.5" class="dot {}"><title>{}</title></circle>')
        for a, b in (point for piece in pieces for point in piece):
            drawn.append(dot.format(x.at(a), y.at(b), style, f"{visible(name)}: {number(b)} at {number(a)}"))
    return drawn


def _said(figure: Curves) -> str:
    """The chart in words: where each line starts and ends, and between what it stays."""
    told = []
    for name, line in figure.lines.items():
        finite = [y for x, y in line if _is_finite((x, y))]
        if finite:
            told.append(
                f"{visible(name)} goes from {number(finite[0])} to {number(finite[-1])}, "
                f"lowest {number(min(finite))}, highest {number(max(finite))}"
            )
    lines = "; ".join(told) or "no points"
    return f"{visible(figure.title)}, {visible(figure.y_label)} over {visible(figure.x_label)}: {lines}"


def _is_finite(point: tuple[float, float]) -> bool:
    return all(math.isfinite(value) and abs(value) < 1e300 for value in point)
