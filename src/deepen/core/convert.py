"""An option's value in its type, from a string of the command line or a value of JSON or Python; or a sentence why not.

    --batch-size: expected a whole number of at least 1, but is '1.5'.

Nothing is rounded, cut or guessed: 1.5 is no whole number, NaN and infinity are no numbers, true is no 1.
Converting what was converted before gives the same value.
"""

from __future__ import annotations

import math
import numbers
import operator
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NoReturn

from deepen.core.errors import OptionError
from deepen.core.names import nearest

_WHOLE = re.compile(r"[+-]?[0-9]+")
_NUMBER = re.compile(r"[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]+)?")
_LARGEST = 2**63 - 1
_SHOWN = 80  # characters of a wrong value that a message repeats
TRUE = ("true", "yes", "on", "1")
FALSE = ("false", "no", "off", "0")


@dataclass(frozen=True)
class Kind:
    """The type of an option's value.

    base     bool, int, float or str: of the value, or of each element where `many`
    many     a tuple of any length
    optional None is a value too, written "none"
    choices  the only values there are, or ()
    least, most, above, below   the limits of a number, or None; `above` and `below` are exclusive
    """

    base: type
    many: bool = False
    optional: bool = False
    choices: tuple[Any, ...] = ()
    least: float | None = None
    most: float | None = None
    above: float | None = None
    below: float | None = None

    def words(self) -> str:
        """What is expected, in words: "a whole number of at least 1", "one of sgd, adamw"."""
        words = _many_words(self) if self.many else _one_words(self)
        return f"{words}, or none" if self.optional else words

    def limits(self) -> str:
        """The limits of a number in words, "" where it has none: "at least 0 and below 1"."""
        return _limit_words(self).strip().replace("of at", "at")


def converted(kind: Kind, value: Any, place: str) -> Any:
    """The value in its type. Raises OptionError, beginning with `place`, where it is not of that kind."""
    if value is None or (isinstance(value, str) and value.strip().lower() == "none"):
        if kind.optional:
            return None
        if value is None:
            _refuse(kind, value, place)
    if not kind.many:
        return _one(kind, value, place, value)
    if isinstance(value, str):
        elements = [part.strip() for part in value.split(",")] if value.strip() else []
        if "" in elements:
            _refuse(kind, value, place)
    elif isinstance(value, (list, tuple)):
        elements = list(value)
    else:
        elements = [value]
    return tuple(_one(kind, element, place, value) for element in elements)


def _one(kind: Kind, value: Any, place: str, whole: Any) -> Any:
    found = _READ[kind.base](value)
    if found is None or not _allowed(kind, found):
        _refuse(kind, whole, place, value)
    return found


def _allowed(kind: Kind, value: Any) -> bool:
    if kind.choices:
        return value in kind.choices
    if kind.base in (bool, str):
        return True
    return (
        (kind.least is None or value >= kind.least)
        and (kind.most is None or value <= kind.most)
        and (kind.above is None or value > kind.above)
        and (kind.below is None or value < kind.below)
    )


def _read_bool(value: Any) -> bool | None:
    if isinstance(value, str):
        word = value.strip().lower()
        return True if word in TRUE else False if word in FALSE else None
    return value if isinstance(value, bool) else None


def _read_int(value: Any) -> int | None:
    if isinstance(value, str):
        text = value.strip()
        found = int(text) if _WHOLE.fullmatch(text) and len(text) < 25 else None
    elif isinstance(value, bool) or not hasattr(type(value), "__index__"):
        return None
    else:
        found = operator.index(value)
    return found if found is not None and abs(found) <= _LARGEST else None


def _read_float(value: Any) -> float | None:
    if isinstance(value, str):
        text = value.strip()
        found = float(text) if _NUMBER.fullmatch(text) else math.nan
    elif isinstance(value, numbers.Real) and not isinstance(value, bool):
        try:
            found = float(value)
        except OverflowError:  # a whole number of more than 308 digits
            return None
    else:
        return None
    return found if math.isfinite(found) else None


def _read_str(value: Any) -> str | None:
    if isinstance(value, os.PathLike):
        value = os.fspath(value)
    return str(value) if isinstance(value, str) and "\0" not in value else None


_READ = {bool: _read_bool, int: _read_int, float: _read_float, str: _read_str}


def _refuse(kind: Kind, value: Any, place: str, element: Any = None) -> NoReturn:
    shown = "a mapping" if isinstance(value, Mapping) else repr(value)
    if len(shown) > _SHOWN:
        shown = f"{shown[:_SHOWN]}... ({len(shown):,} characters)"
    near = nearest(element, map(str, kind.choices)) if isinstance(element, str) else None
    raise OptionError(f"{place}: expected {kind.words()}, but is {shown}{f'; did you mean {near}?' if near else '.'}")


_ONE = {bool: "true or false", int: "a whole number", float: "a number", str: "text"}
_MANY = {bool: "true or false", int: "whole numbers", float: "numbers", str: "text"}


def _one_words(kind: Kind) -> str:
    if kind.choices:
        return f"one of {', '.join(map(str, kind.choices))}"
    return _ONE[kind.base] + _limit_words(kind)


def _many_words(kind: Kind) -> str:
    if kind.choices:
        return f"some of {', '.join(map(str, kind.choices))}, separated by commas"
    return f"{_MANY[kind.base]}{_limit_words(kind)}, separated by commas"


def _limit_words(kind: Kind) -> str:
    if kind.least is not None and kind.most is not None:
        return f" from {kind.least:g} to {kind.most:g}"
    limits = [("of at least", kind.least), ("above", kind.above), ("of at most", kind.most), ("below", kind.below)]
    return " and".join(f" {words} {limit:g}" for words, limit in limits if limit is not None)
