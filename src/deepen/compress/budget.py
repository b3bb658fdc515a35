"""A wish such as `latency<2ms` or `accuracy>-0.5%`, and which of many networks meets it best.

    latency<2ms    latency32<20ms    size<1MB    parameters<100000    multiply_adds<5000000      what it costs
    accuracy>0.95  accuracy>-0.5%    cross_entropy<+2%                                           how good it is

A percentage with a sign is of the value before compression. Of the networks that keep to a cost the best is taken, of
those that are good enough the one that is fastest.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from deepen.core.errors import OptionError

COSTS = ("latency", "latency32", "size", "parameters", "multiply_adds")
UNITS = {
    "": 1.0,
    "ms": 1.0,
    "us": 1e-3,
    "s": 1e3,
    "b": 1.0,
    "kb": 1e3,
    "mb": 1e6,
    "gb": 1e9,
    "k": 1e3,
    "m": 1e6,
    "g": 1e9,
}
_WISH = re.compile(r"\s*([A-Za-z_][\w.]*)\s*([<>])\s*([+-]?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?)\s*(%|[A-Za-z]*)\s*")


@dataclass(frozen=True)
class Wish:
    """One comparison. `is_relative`: the limit is a part to add to the value before."""

    name: str
    is_below: bool
    limit: float
    is_relative: bool

    def limit_for(self, before: Mapping[str, float]) -> float:
        """The limit as a value. Raises OptionError for a figure that there is not."""
        if self.name not in before:
            raise OptionError(f"--budget: no figure {self.name!r}; there are {', '.join(before)}.")
        base = before[self.name]
        return base + self.limit * abs(base) if self.is_relative else self.limit

    def is_met(self, figures: Mapping[str, float], before: Mapping[str, float]) -> bool:
        """Whether these figures keep to it."""
        limit, value = self.limit_for(before), figures[self.name]
        return value <= limit if self.is_below else value >= limit


def wish_of(text: str) -> Wish:
    """The wish in words. Raises OptionError for what is none.

    >>> wish_of("accuracy>-0.5%")
    Wish(name='accuracy', is_below=False, limit=-0.005, is_relative=True)
    """
    found = _WISH.fullmatch(text)
    if found is None:
        raise OptionError(f"--budget {text!r}: expected a comparison such as 'latency<2ms' or 'accuracy>-0.5%'.")
    name, sign, number, unit = found.groups()
    if unit == "%":
        return Wish(name, sign == "<", float(number) / 100, is_relative=True)
    if unit.lower() not in UNITS or (unit and name not in COSTS):
        raise OptionError(f"--budget {text!r}: {unit!r} is no unit of {name}; use ms, kB, MB, k, M, or none.")
    return Wish(name, sign == "<", float(number) * UNITS[unit.lower()], is_relative=False)


def front(points: Sequence[tuple[float, float]]) -> list[int]:
    """The numbers of those (cost, worth) to which none is better in both: less cost, more worth. By cost.

    >>> front([(1.0, 0.5), (2.0, 0.9), (3.0, 0.8)])
    [0, 1]
    """
    order = sorted(range(len(points)), key=lambda number: (points[number][0], -points[number][1]))
    found: list[int] = []
    for number in order:
        if not found or points[number][1] > points[found[-1]][1]:
            found.append(number)
    return found


def best(figures: Sequence[Mapping[str, float]], wish: Wish, *, objective: str, direction: str) -> int | None:
    """The number of the network that keeps to the wish and is best then; None if none does. The first is the run."""
    before = figures[0]
    fit = [number for number, each in enumerate(figures) if wish.is_met(each, before)]
    if not fit:
        return None
    if wish.name in COSTS:
        sign = -1 if direction == "max" else 1
        return min(fit, key=lambda number: (sign * figures[number][objective], figures[number]["latency"]))
    return min(fit, key=lambda number: (figures[number]["latency"], figures[number]["size"]))
