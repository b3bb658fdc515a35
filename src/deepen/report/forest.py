"""A forest plot: a line per estimate, a dot with its interval, and a mark where there is no effect."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from deepen.report import svg
from deepen.report.wording import interval, number, short, visible

ROW = 26
LEFT = 112  # room for names
NAME_WIDTH = 16

_CHART = Markup('<svg viewBox="0 0 {} {}" role="img" aria-label="{}" class="chart">{}</svg>')
_UPRIGHT = Markup('<line x1="{0:.1f}" y1="{1:.1f}" x2="{0:.1f}" y2="{2:.1f}" class="{3}"/>')
_TEXT = Markup('<text x="{:.1f}" y="{:.1f}" class="{}">{}</text>')
_WHISKER = Markup('<line x1="{:.1f}" y1="{:.1f}" x2="{:.1f}" y2="{:.1f}" class="line s0"/>')
_DOT = Markup('<circle cx="{:.1f}" cy="{:.1f}" r="4" class="dot s0"><title>{}</title></circle>')


@dataclass(frozen=True)
class Estimate:
    """A value and the ends of its interval, the value itself twice where there is none."""

    name: str
    value: float
    ends: tuple[float, float]

    def words(self) -> str:
        """The same for who cannot see the chart."""
        return f"{visible(self.name)}: {number(self.value)}, {interval(self.ends)}"


def draw(title: str, estimates: Sequence[Estimate]) -> Markup:
    """The chart, with a dashed line at zero."""
    bottom = svg.TOP + ROW * len(estimates)
    numbers = [0.0, *(number for each in estimates for number in (each.value, *each.ends))]
    x = svg.axis(numbers, LEFT, svg.WIDTH - svg.RIGHT, num_steps=3)
    parts = []
    for tick in x.ticks():
        parts += [_UPRIGHT.format(x.at(tick), svg.TOP, bottom, "grid")]
        parts += [_TEXT.format(x.at(tick), bottom + 15, "middle", x.label(tick))]
    parts.append(_UPRIGHT.format(x.at(0.0), svg.TOP, bottom, "diagonal"))
    for row, each in enumerate(estimates):
        y = svg.TOP + ROW * (row + 0.5)
        parts.append(_TEXT.format(LEFT - 8, y + 4, "end", short(each.name, NAME_WIDTH)))
        parts.append(_WHISKER.format(x.at(each.ends[0]), y, x.at(each.ends[1]), y))
        parts.append(_DOT.format(x.at(each.value), y, each.words()))
    said = "; ".join(each.words() for each in estimates)
    return _CHART.format(svg.WIDTH, bottom + 20, f"{visible(title)}: {said}", Markup("").join(parts))
