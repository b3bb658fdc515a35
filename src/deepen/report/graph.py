"""A network's graph as a picture: SVG of our own, or a page with it, in light and dark, without scripts.

The picture is laid out block by block. Within a block, boxes stand in rows, each below what it reads (the longest way
counts); a connection that passes a row gets a lane there, one for all that read the same. Rows are ordered by where
their connections come from, and put in place by least squares with the boxes kept apart, so that a chain is straight.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

from markupsafe import Markup

from deepen.core.errors import OptionError
from deepen.core.files import write_text
from deepen.nn.graph import BEFORE, INPUT, OUTPUT, Box, Graph, folded
from deepen.report.wording import visible

BEHIND = -2  # the lower end of a block, where BEFORE is its upper one

SUFFIXES = (".svg", ".html")
POLICY = "default-src 'none'; base-uri 'none'; form-action 'none'; "

ROW_GAP, COLUMN_GAP, LANE_WIDTH = 18.0, 16.0, 10.0
SIDE, HEAD, FOOT = 12.0, 20.0, 2.0  # between a block's border and what is in it
TALL, LOW, STRIP = 36.0, 22.0, 17.0  # heights of boxes with two lines, with one, and of what is attached below a box
LETTER, SMALL_LETTER = 6.3, 5.5  # widths, on the wide side, of 11 and 9.5 pixel letters
LEAST_WIDTH = 64.0
SWEEPS = 8

STYLE = """
:root { --page: #fcfcfa; --panel: #ffffff; --text: #1b2026; --quiet: #5a636d; --rule: #d5d8d3; --faint: #f4f4f0;
  --edge: #7d8791; --skip: #c2500f; --weights: #dfeafa; --norm: #ecebf6; --act: #e3f2e8; --pool: #fbeeda;
  --join: #f9e3d8; --end: #e9eaec; }
@media (prefers-color-scheme: dark) { :root { --page: #14171a; --panel: #1b1f23; --text: #e7e9ea; --quiet: #9da6af;
  --rule: #3a4148; --faint: #191d21; --edge: #7f8a95; --skip: #ff9f66; --weights: #1f3350; --norm: #2c2a44;
  --act: #1e3a2a; --pool: #40321b; --join: #472b1e; --end: #2a2f35; } }
svg.graph { background: var(--page); font-family: system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans",
  "DejaVu Sans", sans-serif; }
svg.graph text { fill: var(--text); font-size: 11px; }
svg.graph .name { font-size: 15px; font-weight: 650; }
svg.graph .small { fill: var(--quiet); font-size: 9.5px; font-variant-numeric: tabular-nums; }
svg.graph .end { text-anchor: end; } svg.graph .middle { text-anchor: middle; }
svg.graph .times { font-weight: 650; text-anchor: end; }
svg.graph rect { stroke: var(--rule); stroke-width: 1; }
svg.graph .block { fill: var(--faint); } svg.graph .block.odd { fill: var(--panel); }
svg.graph .weights { fill: var(--weights); } svg.graph .norm { fill: var(--norm); } svg.graph .act { fill: var(--act); }
svg.graph .pool { fill: var(--pool); } svg.graph .join { fill: var(--join); } svg.graph .plain { fill: var(--panel); }
svg.graph .ends { fill: var(--end); }
svg.graph path { fill: none; stroke: var(--edge); stroke-width: 1.3; }
svg.graph path.skip { stroke: var(--skip); }
svg.graph path.tip { fill: var(--edge); stroke: none; } svg.graph path.tip.skip { fill: var(--skip); }
"""
PAGE_STYLE = """
body { margin: 0; padding: 24px; background: var(--page); color: var(--text);
  font: 16px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", "DejaVu Sans", sans-serif; }
h1 { font-size: 1.5rem; margin: 0 0 4px; } p { margin: 0 0 20px; color: var(--quiet); max-width: 72ch; }
.scroll { overflow-x: auto; }
"""

LEGEND = "in a box: output shape of one sample; parameters · multiply-adds"

_NONE = Markup("")
_TEXT = Markup('<text x="{:.1f}" y="{:.1f}" class="{}">{}</text>')
_RECT = Markup('<rect x="{:.1f}" y="{:.1f}" width="{:.1f}" height="{:.1f}" rx="{}" class="{}"/>')
_PATH = Markup('<path d="{}" class="{}"/>')
_MOVED = Markup('<g transform="translate({:.1f} {:.1f})">{}</g>')

_NORMS = ("norm",)
_ACTIVATIONS = ("relu", "gelu", "tanh", "sigmoid", "silu", "swish", "elu", "softmax", "softplus", "dropout", "depth")
_POOLS = ("pool", "mean", "amax", "max")
_JOINS = ("add", "cat", "mul", "sub", "stack", "div", "matmul", "bmm", "where", "einsum", "concat")


def require_picture(path: Path | str) -> None:
    """Raises OptionError unless the name ends in .svg or .html."""
    if Path(path).suffix.lower() not in SUFFIXES:
        raise OptionError(f"--graph {path}: expected a file name that ends in .svg or .html; name the picture so.")


def write(path: Path | str, graph: Graph, *, title: str, note: str = "") -> Path:
    """Writes the picture, as a page where the name ends in .html. Raises OptionError for another name, FileError."""
    require_picture(path)
    text = page(graph, title=title, note=note) if Path(path).suffix.lower() == ".html" else svg(graph, title=title)
    write_text(path, text)
    return Path(path)


def page(graph: Graph, *, title: str, note: str = "") -> str:
    """A page that holds the picture, and allows itself nothing but its own style sheet."""
    style = STYLE + PAGE_STYLE
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    text = Markup(
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta http-equiv="Content-Security-Policy" content="{}style-src \'sha256-{}\'">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="color-scheme" content="light dark">\n<title>{}</title>\n<style>{}</style>\n</head>\n'
        '<body>\n<h1>{}</h1>\n<p>{}</p>\n<p>{}</p>\n<div class="scroll">{}</div>\n</body>\n</html>\n'
    )
    name = visible(title)
    root = folded(graph)
    said = f"{root.parameters:,} parameters, {root.multiply_adds:,} multiply-adds; {LEGEND}."
    picture = _svg(graph, title, is_alone=False)
    return text.format(POLICY, digest, name, Markup(style), name, visible(note), said, picture)


def svg(graph: Graph, *, title: str) -> str:
    """The picture as a file of its own. Equal graphs give equal text."""
    return _svg(graph, title, is_alone=True)


def _svg(graph: Graph, title: str, *, is_alone: bool) -> Markup:
    root = folded(graph)
    drawn = _inside(root, depth=0)
    head = 62.0 if is_alone else 0.0
    width, height = max(drawn.width + 24, 340.0), drawn.height + head + 24
    parts = [_MOVED.format((width - drawn.width) / 2, head + 12, drawn.markup)]
    sums = f"{root.parameters:,} parameters, {_short(root.multiply_adds)} multiply-adds"
    if is_alone:
        parts += [_TEXT.format(12, 24, "name", visible(title)), _TEXT.format(12, 42, "small", sums)]
        parts.append(_TEXT.format(12, 56, "small", LEGEND))
        parts.insert(0, Markup("<style>{}</style>").format(Markup(STYLE)))
    text = Markup(
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {0:.0f} {1:.0f}" width="{0:.0f}" height="{1:.0f}" '
        'role="img" aria-label="{2}" class="graph">{3}</svg>'
    )
    said = f"{visible(title)} as a graph of {len(graph.nodes)} nodes, {sums}"
    return text.format(width, height, said, _NONE.join(parts)) + Markup("\n" if is_alone else "")


@dataclass
class _Drawn:
    """Something drawn with its corner at (0, 0); what it reads comes in at the top, what it gives leaves below.

    enters, leaves  where, from the left
    """

    width: float
    height: float
    enters: float
    leaves: float
    markup: Markup


@dataclass
class _Place:
    """A place in a row: a box, one of a block's two ends, or a lane.

    item  the box's number; None for a lane
    x     the middle
    """

    width: float
    height: float
    enters: float
    leaves: float
    item: int | None
    rank: int
    x: float = 0.0
    top: float = 0.0


def _any(box: Box, depth: int) -> _Drawn:
    return _block(box, depth) if box.children else _stack([box])


def _block(box: Box, depth: int) -> _Drawn:
    """A block with its title and what is in it; as a pile where it stands for several."""
    inner = _inside(box, depth + 1)
    title = " ".join(part for part in (visible(box.name), visible(box.kind)) if part)
    pile = 3.0 if box.times > 1 else 0.0
    badge = {"": "", "chain": f"× {box.times}", "dense": f"× {box.times}, each reads all before it"}[box.form]
    width = max(inner.width + 2 * SIDE, (len(title) + len(badge)) * SMALL_LETTER + 40)
    height = inner.height + HEAD + FOOT
    left = (width - inner.width) / 2
    enters, leaves = left + inner.enters, left + inner.leaves
    style = f"block {'odd' if depth % 2 else ''}".strip()
    parts = [_RECT.format(k * pile, (2 - k) * pile, width, height, 7, style) for k in (2, 1) if pile]
    body = [_RECT.format(0, 0, width, height, 7, style), _TEXT.format(9, 15, "small", title)]
    if badge:
        body.append(_TEXT.format(width - 9, 15, "times small", badge))
    is_free = 9 + len(title) * SMALL_LETTER < enters < width - 9 - len(badge) * SMALL_LETTER
    body.append(_PATH.format(f"M{enters:.1f} {0 if is_free else HEAD - 2:.0f}V{HEAD:.0f}", ""))
    body.append(_PATH.format(f"M{leaves:.1f} {HEAD + inner.height:.1f}V{height:.1f}", ""))
    body.append(_MOVED.format(left, HEAD, inner.markup))
    said = Markup("<title>{}</title>").format(_said(box))
    markup = Markup("<g>{}{}{}</g>").format(said, _NONE.join(parts), _MOVED.format(0, 2 * pile, _NONE.join(body)))
    return _Drawn(width + 2 * pile, height + 2 * pile, enters, leaves, markup)


def _stack(boxes: Sequence[Box]) -> _Drawn:
    """A node, and the strips attached to it."""
    first, rest = boxes[0], boxes[1:]
    heading = " ".join(part for part in (first.kind, visible(first.detail)) if part)
    if first.kind == INPUT:
        heading = visible(first.name or INPUT)
    if first.times > 1:
        heading += f"  × {first.times}"
    shape = _shape(boxes[-1].output)
    strips = [" ".join(part for part in (box.kind, box.detail) if part) for box in rest]
    sizes = " · ".join(_short(count) for count in (first.parameters, first.multiply_adds) if count)
    name = visible(first.name) if sizes else ""
    upper = (len(heading) + 2) * LETTER + len(name if sizes else shape) * SMALL_LETTER
    lower = (len(shape) + len(sizes) + 3) * SMALL_LETTER
    width = max([LEAST_WIDTH, upper + 16, lower + 16, *(len(strip) * SMALL_LETTER + 60 for strip in strips)])
    height = TALL if sizes else LOW
    body = [Markup("<title>{}</title>").format(_said(first)), _RECT.format(0, 0, width, height, 4, _style(first))]
    body.append(_TEXT.format(8, 15, "", heading))
    body.append(_TEXT.format(width - 8, 15, "small end", name if sizes else shape))
    if sizes:
        body += [_TEXT.format(8, 29, "small", shape), _TEXT.format(width - 8, 29, "small end", sizes)]
    parts = [Markup("<g>{}</g>").format(_NONE.join(body))]
    for box, strip in zip(rest, strips, strict=True):
        body = [Markup("<title>{}</title>").format(_said(box)), _RECT.format(0, height, width, STRIP, 3, _style(box))]
        body.append(_TEXT.format(8, height + 12, "small", strip))
        if box.parameters:
            body.append(_TEXT.format(width - 8, height + 12, "small end", _short(box.parameters)))
        parts.append(Markup("<g>{}</g>").format(_NONE.join(body)))
        height += STRIP
    return _Drawn(width, height, width / 2, width / 2, _NONE.join(parts))


def _inside(box: Box, depth: int) -> _Drawn:
    """The boxes of a block with their connections."""
    stacks, edges = _stacked(box)
    drawn = [_any(stack[0], depth) if stack[0].children else _stack(stack) for stack in stacks]
    rows, segments = _rows(drawn, edges)
    _order(rows, segments)
    _put(rows, segments)
    places = [place for row in rows for place in row]
    left = min(place.x - place.width / 2 for place in places)
    right = max(place.x + place.width / 2 for place in places)
    top = 0.0
    for row in rows:
        for place in row:
            place.x -= left
            place.top = top
        height = max(place.height for place in row)
        for place in row:
            if place.item is None:
                place.height = height
        top += height + ROW_GAP
    parts = [_connection(a, b) for a, b in segments]
    parts += [
        _MOVED.format(place.x - place.width / 2, place.top, drawn[place.item].markup)
        for place in places
        if place.item is not None and place.item >= 0
    ]
    first, last = rows[0][0], rows[-1][0]
    enters = first.x if first.item == BEFORE else (right - left) / 2
    leaves = last.x if last.item == BEHIND else (right - left) / 2
    return _Drawn(right - left, top - ROW_GAP, enters, leaves, _NONE.join(parts))


def _stacked(box: Box) -> tuple[list[list[Box]], set[tuple[int, int]]]:
    """A block's boxes, with what only changes the values of the one before attached to that, and the edges left."""
    edges = set(box.edges)
    stacks: list[list[Box]] = []
    stack_of: dict[int, int] = {BEFORE: BEFORE}
    for place, child in enumerate(box.children):
        own = _alone(child)
        sources = [source for source, target in edges if target == place]
        before = stack_of[sources[0]] if len(sources) == 1 else BEFORE
        is_attached = (
            before != BEFORE
            and all(map(_is_strip, own))
            and not stacks[before][0].children
            and stacks[before][0].kind != INPUT
            and sum(source == sources[0] for source, _ in edges) == 1
        )
        if is_attached:
            stacks[before] += own
        else:
            stacks.append(own)
        stack_of[place] = before if is_attached else len(stacks) - 1
    stack_of[len(box.children)] = len(stacks)
    moved = {(stack_of[source], stack_of[target]) for source, target in edges}
    return stacks, {(source, target) for source, target in moved if source != target}


def _alone(box: Box) -> list[Box]:
    """The box; of a block that holds one stack and nothing else, that stack under the block's name."""
    if not box.children or box.times > 1:
        return [box]
    stacks, _ = _stacked(box)
    if len(stacks) > 1 or stacks[0][0].children:
        return [box]
    return [replace(each, name=f"{box.name}.{each.name}".strip(".")) for each in stacks[0]]


def _rows(
    drawn: Sequence[_Drawn], edges: set[tuple[int, int]]
) -> tuple[list[list[_Place]], list[tuple[_Place, _Place]]]:
    """The rows of a block with their lanes, and the connections from each row to the next."""
    count = len(drawn)
    rank = {BEFORE: 0}
    for place in range(count):
        rank[place] = 1 + max((rank[source] for source, target in edges if target == place), default=0)
    ends = any(target == count for _, target in edges)
    rank[count] = 1 + max(rank.values())
    rows: list[list[_Place]] = [[] for _ in range(rank[count] + 1)]
    places: dict[int, _Place] = {}
    for item, each in enumerate(drawn):
        middle = each.width / 2
        places[item] = _Place(each.width, each.height, each.enters - middle, each.leaves - middle, item, rank[item])
        rows[rank[item]].append(places[item])
    if any(source == BEFORE for source, _ in edges):
        places[BEFORE] = _Place(0, 0, 0, 0, BEFORE, 0)
        rows[0].append(places[BEFORE])
    if ends:
        places[count] = _Place(0, 0, 0, 0, BEHIND, rank[count])
        rows[rank[count]].append(places[count])
    lanes: dict[tuple[int, int], _Place] = {}
    segments: dict[tuple[int, int], tuple[_Place, _Place]] = {}
    for source, target in sorted(edges):
        way = [places[source]]
        for row in range(rank[source] + 1, rank[target]):
            if (source, row) not in lanes:
                lanes[source, row] = _Place(LANE_WIDTH, 0, 0, 0, None, row)
                rows[row].append(lanes[source, row])
            way.append(lanes[source, row])
        for a, b in pairwise([*way, places[target]]):
            segments[id(a), id(b)] = (a, b)
    return [row for row in rows if row], list(segments.values())


def _order(rows: Sequence[list[_Place]], segments: Sequence[tuple[_Place, _Place]]) -> None:
    """Sorts each row by the mean place of what it is connected to, down and up in turns; ties keep their order."""
    above, below = _neighbours(segments)
    at = {id(place): float(index) for row in rows for index, place in enumerate(row)}
    for sweep in range(SWEEPS):
        near = above if sweep % 2 == 0 else below
        for row in rows if sweep % 2 == 0 else reversed(rows):
            mean = {
                id(place): sum(at[id(other)] for other in near[id(place)]) / len(near[id(place)])
                if near.get(id(place))
                else at[id(place)]
                for place in row
            }
            row.sort(key=lambda place: (mean[id(place)], place.item is None))
            for index, place in enumerate(row):
                at[id(place)] = index - (len(row) - 1) / 2


def _put(rows: Sequence[list[_Place]], segments: Sequence[tuple[_Place, _Place]]) -> None:
    """Gives each place its x: in the middle of what it is connected to, and apart from its neighbours."""
    above, below = _neighbours(segments)
    for row in rows:
        _set_apart(row, [0.0 for _ in row])
    for sweep in range(SWEEPS + 1):
        is_down = sweep % 2 == 0
        for row in rows if is_down else reversed(rows):
            wanted = []
            for place in row:
                others = (above if is_down else below).get(id(place), [])
                ends = [other.x + (other.leaves if is_down else other.enters) for other in others]
                own = place.enters if is_down else place.leaves
                wanted.append(sum(ends) / len(ends) - own if ends else place.x)
            _set_apart(row, wanted)


def _set_apart(row: Sequence[_Place], wanted: Sequence[float]) -> None:
    """The x nearest to what is wanted, by squares, that keep the order and the distances of a row.

    Shifted by the distances before them the places only have to be in order, and that is isotonic regression, solved by
    pooling neighbours that are out of order (Ayer et al. 1955).
    """
    offsets = [0.0]
    for a, b in pairwise(row):
        gap = COLUMN_GAP if a.item is not None and b.item is not None else COLUMN_GAP / 2
        offsets.append(offsets[-1] + (a.width + b.width) / 2 + gap)
    pools: list[tuple[float, int]] = []  # mean, how many
    for want, offset in zip(wanted, offsets, strict=True):
        mean, count = want - offset, 1
        while pools and pools[-1][0] > mean:
            other, others = pools.pop()
            mean, count = (mean * count + other * others) / (count + others), count + others
        pools.append((mean, count))
    means = [mean for mean, count in pools for _ in range(count)]
    for place, mean, offset in zip(row, means, offsets, strict=True):
        place.x = mean + offset


def _neighbours(segments: Iterable[tuple[_Place, _Place]]) -> tuple[dict[int, list[_Place]], dict[int, list[_Place]]]:
    above: dict[int, list[_Place]] = {}
    below: dict[int, list[_Place]] = {}
    for a, b in segments:
        above.setdefault(id(b), []).append(a)
        below.setdefault(id(a), []).append(b)
    return above, below


def _connection(a: _Place, b: _Place) -> Markup:
    """From the lower end of one place to the upper end of one in the next row, with a tip where that is a box."""
    is_skip = a.item is None or b.item is None
    style = "skip" if is_skip else ""
    x, y = a.x + a.leaves, a.top + a.height
    to_x, to_y = b.x + b.enters, b.top
    start = y if a.item is not None else a.top
    bend = to_y - ROW_GAP  # the lower edge of the upper row, which a box need not reach
    way = f"M{x:.1f} {start:.1f}V{max(bend, y):.1f}"
    if abs(x - to_x) < 0.5:
        way += f"V{to_y:.1f}"
    else:
        middle = (max(bend, y) + to_y) / 2
        way += f"C{x:.1f} {middle:.1f} {to_x:.1f} {middle:.1f} {to_x:.1f} {to_y:.1f}"
    path = _PATH.format(way, style)
    if b.item is not None and b.item >= 0:
        tip = f"M{to_x:.1f} {to_y:.1f}l-3.5 -6h7z"
        path += _PATH.format(tip, f"tip {style}".strip())
    return path


def _is_strip(box: Box) -> bool:
    return not box.children and box.times == 1 and not box.multiply_adds and _style(box) in ("norm", "act")


def _style(box: Box) -> str:
    kind = box.kind.lower()
    if kind in (INPUT, OUTPUT):
        return "ends"
    for words, style in ((_NORMS, "norm"), (_ACTIVATIONS, "act"), (_POOLS, "pool")):
        if any(word in kind for word in words):
            return style
    if kind in _JOINS:
        return "join"
    return "weights" if box.parameters or box.multiply_adds else "plain"


def _said(box: Box) -> str:
    counts = f"{box.parameters:,} parameters, {box.multiply_adds:,} multiply-adds"
    name = f"{visible(box.name)}: " if box.name else ""
    many = f", × {box.times}" if box.times > 1 else ""
    return f"{name}{box.kind} {visible(box.detail)}".strip() + f"{many}; {_shape(box.output)}; {counts}"


def _shape(shape: Sequence[int]) -> str:
    return "x".join(map(str, shape)) or "1"


def _short(count: int) -> str:
    """A count with three digits and its unit.

    >>> _short(999), _short(118013952), _short(4089184256)
    ('999', '118 M', '4.09 G')
    """
    for size, unit in ((1_000_000_000, "G"), (1_000_000, "M"), (1_000, "k")):
        if count >= size:
            return f"{count / size:.3g} {unit}"
    return str(count)
