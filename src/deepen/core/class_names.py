"""When two labels are the same class, and the order in which classes stand."""

from __future__ import annotations

import re
from collections.abc import Iterable

NUMBER = re.compile(r"^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$")
WHOLE_FLOAT = re.compile(r"^([+-]?\d+)\.0*$")


def merged(labels: Iterable[str]) -> dict[str, str]:
    """The class name of each label: where all are numbers, 1, +1 and 1.0 are the class "1"; else each is its own.

    >>> merged(["0", "1.0", "1"])
    {'0': '0', '1.0': '1', '1': '1'}
    """
    labels = list(labels)
    if not all(NUMBER.match(label) for label in labels):
        return {label: label for label in labels}
    return {label: (match[1] if (match := WHOLE_FLOAT.match(label)) else label).lstrip("+") for label in labels}


def in_order(names: Iterable[str]) -> list[str]:
    """The names in natural order: numbers by value, numbers within names too.

    >>> in_order(["a10", "a2", "b"]), in_order(["10", "9", "-1"])
    (['a2', 'a10', 'b'], ['-1', '9', '10'])
    """
    names = list(names)
    if all(NUMBER.match(name) for name in names):
        return sorted(names, key=lambda name: (float(name), name))
    return sorted(names, key=_natural)


def _natural(name: str) -> tuple[list[tuple[int, int, str]], str]:
    parts = re.findall(r"[0-9]+|[^0-9]+", name)
    return [(0, int(part[:18]), "") if part[0] in "0123456789" else (1, 0, part.casefold()) for part in parts], name
