"""A figure of core.figures as HTML: tables as tables, curves as SVG, every name escaped by Markup.format."""

from __future__ import annotations

import base64
import math
from collections.abc import Sequence
from typing import Literal

from markupsafe import Markup

from deepen.core.figures import Bars, Curves, Figure, Gallery, MarkedText, Matrix, Points, Rows, Sample
from deepen.report import svg
from deepen.report.wording import MISSING, number, visible, visible_lines

PNG = b"\x89PNG\r\n\x1a\n"
TABLE_CLASSES = 20  # a matrix up to this size is a table with its counts, beyond it a heat map
LONG_TABLE = 20
SHORT_NAME = 3  # columns with names up to this length are not turned on their side
CELL_LENGTH = 120
MARK_LEVELS = 5  # strengths of colour behind a part of a text
PIXEL_ART = 64  # pictures up to this size are enlarged without smoothing

_BDI = Markup("<bdi>{}</bdi>")
_NONE = Markup("")

Kind = Literal["text", "number", "whole"]
_NUMERIC: dict[Kind, Markup] = {
    "text": _NONE,
    "number": Markup(' class="number"'),
    "whole": Markup(' class="number"'),
}


def draw(figure: Figure, *, mark: tuple[float, float] | None = None, from_zero: bool = False) -> Markup:
    """The figure with its heading and note; of curves, `mark` rings a point and `from_zero` shows where zero is."""
    body = _body(figure, mark, from_zero)
    note = Markup("<p>{}</p>").format(visible_lines(figure.note)) if figure.note else _NONE
    text = Markup('<figure class="{} {}"><figcaption><h3>{}</h3>{}</figcaption>{}</figure>')
    return text.format(_width(figure), type(figure).__name__.lower(), visible(figure.title), note, body)


def _body(figure: Figure, mark: tuple[float, float] | None, from_zero: bool) -> Markup:
    if isinstance(figure, Curves):
        return svg.curves(figure, mark=mark, from_zero=from_zero) + _legend(figure)
    if isinstance(figure, Points):
        return svg.points(figure) + _group_legend(figure)
    if isinstance(figure, Matrix):
        small = max(len(figure.row_names), len(figure.column_names)) <= TABLE_CLASSES
        return _scrolled(matrix(figure) if small else svg.heat_map(figure), figure.title, long=False)
    if isinstance(figure, Bars):
        return bars(figure)
    if isinstance(figure, Rows):
        return _scrolled(table(figure), figure.title, long=len(figure.rows) > LONG_TABLE)
    if isinstance(figure, MarkedText):
        return marked(figure)
    return gallery(figure)


def table(figure: Rows) -> Markup:
    """Rows as a table: the first column names the row, numbers stand under each other."""
    kinds: list[Kind] = [_kind([row[index] for row in figure.rows]) for index in range(len(figure.columns))]
    head = _NONE.join(
        Markup('<th scope="col"{}>{}</th>').format(_NUMERIC[kind], _BDI.format(visible(name)))
        for name, kind in zip(figure.columns, kinds, strict=True)
    )
    body = _NONE.join(Markup("<tr>{}</tr>").format(_row(row, kinds)) for row in figure.rows)
    text = Markup("<table><caption>{}</caption><thead><tr>{}</tr></thead><tbody>{}</tbody></table>")
    return text.format(visible(figure.title), head, body)


def matrix(figure: Matrix) -> Markup:
    """A small matrix as a table whose cells are coloured by their share of the row."""
    corner = Markup('<td class="corner">{} ↓ {} →</td>').format(visible(figure.row_label), visible(figure.column_label))
    column = Markup('<th scope="col" title="{0}"><span><bdi>{0}</bdi></span></th>')
    head = corner + _NONE.join(column.format(visible(name)) for name in figure.column_names)
    body = []
    for index, name in enumerate(figure.row_names):
        styles = svg.cell_styles(figure, index)
        cells = _NONE.join(
            Markup('<td class="{}">{}</td>').format(style or "zero", _count(value))
            for style, value in zip(styles, figure.values[index], strict=True)
        )
        row = Markup('<tr><th scope="row" title="{0}"><span><bdi>{0}</bdi></span></th>{1}</tr>')
        body.append(row.format(visible(name), cells))
    upright = all(len(visible(name)) <= SHORT_NAME for name in figure.column_names)
    text = Markup('<table class="matrix{}"><caption>{}</caption><thead><tr>{}</tr></thead><tbody>{}</tbody></table>')
    return text.format(" upright" if upright else "", visible(figure.title), head, _NONE.join(body))


def bars(figure: Bars) -> Markup:
    """One bar per name, in a table whose last column is the number."""
    ends = [end for pair in figure.spread for end in pair]
    low, high = min([0.0, *figure.values, *ends]), max([0.0, *figure.values, *ends])
    scale = 100 / ((high - low) or 1)
    rows = []
    for index, (name, value) in enumerate(zip(figure.names, figure.values, strict=True)):
        start, end = sorted(((0 - low) * scale, (value - low) * scale))
        bar = Markup('<rect x="{:.2f}%" width="{:.2f}%" y="15%" height="70%" class="bar"/>').format(start, end - start)
        if index < len(figure.spread):
            a, b = ((edge - low) * scale for edge in figure.spread[index])
            bar += Markup('<line x1="{:.2f}%" x2="{:.2f}%" y1="50%" y2="50%" class="spread"/>').format(a, b)
        head = Markup('<th scope="row" title="{0}"><bdi>{0}</bdi></th>').format(visible(name))
        row = Markup('<tr>{}<td><svg aria-hidden="true">{}</svg></td><td>{}</td></tr>')
        rows.append(row.format(head, bar, _count(value)))
    text = Markup(
        '<table class="bars"><caption>{}</caption><thead><tr><th scope="col"></th><th scope="col"></th>'
        '<th scope="col">{}</th></tr></thead><tbody>{}</tbody></table>'
    )
    return text.format(visible(figure.title), visible(figure.label), _NONE.join(rows))


def marked(figure: MarkedText) -> Markup:
    """The parts of a text on grounds whose strength is the weight, which is also said; orange is for, blue against."""
    parts = []
    for part, weight in zip(figure.parts, figure.weights, strict=True):
        level = math.ceil(min(1.0, abs(weight)) * MARK_LEVELS - 0.5) if math.isfinite(weight) else 0
        style = f"{'m' if weight > 0 else 'h'}{level}" if level else "none"
        words = visible(part, limit=CELL_LENGTH) or "\N{NO-BREAK SPACE}"
        span = Markup('<span class="{}" title="{}"><bdi>{}</bdi></span>')
        parts.append(span.format(style, number(float(weight)), words))
    return Markup('<p class="parts" dir="auto">{}</p>').format(Markup(figure.joiner and " ").join(parts))


def gallery(figure: Gallery) -> Markup:
    """Samples side by side with their captions."""
    items = _NONE.join(Markup("<li>{}</li>").format(_sample(sample)) for sample in figure.samples)
    return Markup('<ul class="samples">{}</ul>').format(items)


def _sample(sample: Sample) -> Markup:
    lines = [visible(line, limit=CELL_LENGTH) for line in sample.caption]
    caption = _NONE.join(Markup('<p dir="auto">{}</p>').format(line) for line in lines)
    shown = _NONE
    if sample.png.startswith(PNG):
        image = Markup('<img src="data:image/png;base64,{}" alt="{}"{}>')
        is_tiny = int.from_bytes(sample.png[16:20], "big") <= PIXEL_ART
        style = Markup(' class="pixels"') if is_tiny else _NONE
        shown += image.format(base64.b64encode(sample.png).decode(), ", ".join(lines), style)
    if sample.text:
        quote = Markup('<blockquote dir="auto" tabindex="0">{}</blockquote>')
        shown += quote.format(visible_lines(sample.text))
    return shown + caption


def _legend(figure: Curves) -> Markup:
    if len(figure.lines) < 2:
        return _NONE
    item = Markup("<li>{} <bdi>{}</bdi></li>")
    items = _NONE.join(item.format(svg.swatch(index), visible(name)) for index, name in enumerate(figure.lines))
    return Markup('<ul class="legend">{}</ul>').format(items)


def _group_legend(figure: Points) -> Markup:
    item = Markup("<li>{} <bdi>{}</bdi></li>")
    items = _NONE.join(
        item.format(svg.group_swatch(index), visible(name, limit=CELL_LENGTH))
        for index, name in enumerate(svg.group_names(figure))
    )
    return Markup('<ul class="legend">{}</ul>').format(items) if items else _NONE


def _kind(column: Sequence[str | float | int]) -> Kind:
    """Whether a column holds whole numbers, numbers or anything else; numbers may be missing."""
    numbers = [value for value in column if not isinstance(value, str)]
    if not numbers or any(isinstance(value, str) and value != MISSING for value in column):
        return "text"
    return "whole" if all(float(value).is_integer() for value in numbers) else "number"


def _row(row: Sequence[object], kinds: Sequence[Kind]) -> Markup:
    cells = []
    for index, (value, kind) in enumerate(zip(row, kinds, strict=True)):
        words = _BDI.format(visible(value, limit=CELL_LENGTH)) if isinstance(value, str) else number(value)
        if kind == "whole" and isinstance(value, float):
            words = number(int(value))
        cell = Markup('<th scope="row"{}>{}</th>') if index == 0 else Markup("<td{}>{}</td>")
        cells.append(cell.format(_NUMERIC[kind], words))
    return _NONE.join(cells)


def _count(value: float) -> str:
    return number(int(value)) if float(value).is_integer() else number(float(value))


def _scrolled(body: Markup, title: str, *, long: bool) -> Markup:
    """In a region of its own that scrolls, by keyboard too, where it is larger than the page."""
    text = Markup('<div class="scroll{}" role="region" tabindex="0" aria-label="{}">{}</div>')
    return text.format(" long" if long else "", visible(title), body)


def _width(figure: Figure) -> str:
    """How many of the page's three columns: one (narrow), two (half) or all (wide)."""
    if isinstance(figure, Matrix):
        size = max(len(figure.row_names), len(figure.column_names))
        return "narrow" if size <= 4 else "half" if size <= 12 else "wide"
    if isinstance(figure, Rows):
        longest = max((len(str(row[0])) for row in figure.rows), default=0)
        return "wide" if len(figure.columns) > 5 else "half" if len(figure.columns) * 6 + longest > 48 else "narrow"
    return "wide" if isinstance(figure, (Gallery, MarkedText)) else "narrow"
