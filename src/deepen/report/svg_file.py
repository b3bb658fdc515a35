"""Charts as an SVG file that stands alone: side by side, each with its title and legend, in light and dark."""

from __future__ import annotations

import math
from collections.abc import Sequence

from markupsafe import Markup

from deepen.core.figures import Curves
from deepen.report import svg
from deepen.report.wording import short, visible

GAP, TITLE, ROW = 16, 22, 15
LEGEND_LEFT, LEGEND_NAME = 8, 27  # where a legend begins, and a name after its line
LEGEND_LETTERS = {3: 13, 2: 22, 1: 49}  # the most letters of a name, by the columns of names

_STYLE = Markup(
    "<style>"
    ":root{--ground:#fcfcfa;--text:#1b2026;--quiet:#5a636d;--rule:#e3e4df;"
    "--s0:#1f5fbf;--s1:#c2500f;--s2:#2b7d4f;--s3:#8548ad;--s4:#9a6b00;--s5:#55606c}"
    "@media(prefers-color-scheme:dark){:root{--ground:#14171a;--text:#e7e9ea;--quiet:#9da6af;--rule:#30363c;"
    "--s0:#82b4ff;--s1:#ff9f66;--s2:#6fcf97;--s3:#cf9df2;--s4:#e5c158;--s5:#a9b3bd}}"
    "text{fill:var(--quiet);font:11px system-ui,sans-serif}.title{fill:var(--text);font-size:13px;font-weight:600}"
    ".middle{text-anchor:middle}.end{text-anchor:end}.ground{fill:var(--ground)}.grid{stroke:var(--rule)}"
    ".diagonal,.contour{stroke:var(--quiet);fill:none;opacity:.45}.ring{fill:none;stroke:var(--text);stroke-width:2}"
    ".line{fill:none;stroke-width:2;stroke-linejoin:round}.dot{stroke:none}"
    ".s0{stroke:var(--s0)}.s1{stroke:var(--s1);stroke-dasharray:7 4}.s2{stroke:var(--s2);stroke-dasharray:2 4}"
    ".s3{stroke:var(--s3);stroke-dasharray:9 3 2 3}.s4{stroke:var(--s4);stroke-dasharray:12 4}"
    ".s5{stroke:var(--s5);stroke-dasharray:4 3}.dot.s0{fill:var(--s0)}.dot.s1{fill:var(--s1)}.dot.s2{fill:var(--s2)}"
    ".dot.s3{fill:var(--s3)}.dot.s4{fill:var(--s4)}.dot.s5{fill:var(--s5)}"
    "</style>"
)


def document(figures: Sequence[Curves], *, columns: int = 2, from_zero: bool = False) -> str:
    """An SVG file with a chart for each figure."""
    legend = max(_legend_height(figure) for figure in figures)
    panels = [
        Markup('<svg width="{}" height="{}" ').format(svg.WIDTH, svg.HEIGHT)
        + Markup(str(svg.curves(figure, from_zero=from_zero)).removeprefix("<svg "))
        + _legend(figure)
        for figure in figures
    ]
    return sheet([figure.title for figure in figures], panels, svg.WIDTH, svg.HEIGHT + legend, columns=columns)


def sheet(titles: Sequence[str], panels: Sequence[Markup], width: int, height: int, *, columns: int = 2) -> str:
    """An SVG file with panels of one size in rows, each under its title.

    panels  drawn from (0, 0) to (width, height), in the classes of a report's style sheet
    """
    columns = min(columns, len(panels))
    rows = math.ceil(len(panels) / columns)
    whole = (GAP + columns * (width + GAP), GAP + rows * (height + TITLE + GAP))
    parts = []
    for index, (title, panel) in enumerate(zip(titles, panels, strict=True)):
        row, column = divmod(index, columns)
        at = (GAP + column * (width + GAP), GAP + row * (height + TITLE + GAP))
        head = Markup('<text x="4" y="12" class="title">{}</text>').format(visible(title))
        body = Markup('<g transform="translate(0 {})">{}</g>').format(TITLE, panel)
        parts.append(Markup('<g transform="translate({} {})">{}{}</g>').format(*at, head, body))
    said = visible("; ".join(titles))
    frame = Markup(
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {0} {1}" width="{0}" height="{1}" role="img" '
        'aria-label="{2}">{3}<rect width="{0}" height="{1}" class="ground"/>{4}</svg>\n'
    )
    return str(frame.format(*whole, said, _STYLE, Markup("\n").join(parts)))


def _legend_columns(figure: Curves) -> int:
    """As many as leave room for the longest name."""
    longest = max(len(name) for name in figure.lines)
    return next((columns for columns, letters in LEGEND_LETTERS.items() if longest <= letters), 1)


def _legend_height(figure: Curves) -> int:
    return 4 + ROW * math.ceil(len(figure.lines) / _legend_columns(figure)) if len(figure.lines) > 1 else 0


def _legend(figure: Curves) -> Markup:
    if len(figure.lines) < 2:
        return Markup("")
    entry = Markup(
        '<g transform="translate({:.0f} {})"><line x1="0" y1="0" x2="22" y2="0" class="line s{}"/>'
        '<text x="{}" y="4">{}</text></g>'
    )
    columns = _legend_columns(figure)
    step = (svg.WIDTH - LEGEND_LEFT) / columns
    items = []
    for index, name in enumerate(figure.lines):
        row, column = divmod(index, columns)
        at = (LEGEND_LEFT + column * step, svg.HEIGHT + ROW * row + 8)
        items.append(entry.format(*at, index % svg.NUM_STROKES, LEGEND_NAME, short(name, LEGEND_LETTERS[columns])))
    return Markup("").join(items)
