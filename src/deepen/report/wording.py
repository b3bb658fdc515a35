"""Text and numbers as a reader should see them, whatever a file name or a class name holds."""

from __future__ import annotations

import math
import re
import unicodedata

from deepen.core.units import duration

NAME_LENGTH = 300
MISSING = "\N{EN DASH}"
# Control characters, what reverses the direction of the text after it, lone surrogates of undecodable file names.
_UNSAFE = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u200e\u200f\u061c\u202a-\u202e\u2066-\u2069\ufeff\ud800-\udfff]")
_UNSAFE_IN_LINES = re.compile(_UNSAFE.pattern.replace("\x00-\x1f", "\x00-\x09\x0b-\x1f"))


def visible(text: object, *, limit: int = NAME_LENGTH) -> str:
    """One line of text with escapes for what cannot or must not be shown, cut at `limit` characters."""
    return _cut(_UNSAFE.sub(_escape, str(text)), limit)


def visible_lines(text: str, *, limit: int = 4000) -> str:
    """Text of many lines likewise; tabs are spaces."""
    return _cut(_UNSAFE_IN_LINES.sub(_escape, text.replace("\r\n", "\n").replace("\t", "    ")), limit)


def number(value: object) -> str:
    """A number with four significant digits and its thousands set apart; other things as text.

    >>> number(0.5), number(1234567), number(31204.5), number(0.00012345), number(float("nan"))
    ('0.5000', '1,234,567', '31,204', '1.234e-04', 'not a number')
    """
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return visible(MISSING if value is None else value)
    if isinstance(value, int):
        return f"{value:,}"
    if not math.isfinite(value):
        return "not a number" if math.isnan(value) else "\N{INFINITY}" if value > 0 else "-\N{INFINITY}"
    if value != 0 and (abs(value) < 1e-3 or abs(value) >= 1e9):
        return f"{value:.3e}"
    before = len(str(int(abs(value)))) if abs(value) > 1 else 0
    return f"{value:,.{max(0, 4 - before)}f}"


def interval(ends: tuple[float, float]) -> str:
    """Both ends of an interval: `0.9012 to 0.9456`."""
    return f"{number(ends[0])} to {number(ends[1])}"


def words(name: str) -> str:
    """A figure's name as words: `macro_f1` is `macro f1`."""
    return visible(name.replace("_", " "))


def quantity(name: str, value: float) -> tuple[str, str]:
    """A measured quantity and what it is, from a name that holds its unit.

    >>> quantity("total_seconds", 125.0), quantity("samples_per_second", 1234.5)
    (('2 min 5 s', 'total time'), ('1,234/s', 'samples'))
    """
    if name.endswith("_seconds") and math.isfinite(value):
        return duration(value), f"{words(name.removesuffix('_seconds'))} time"
    if name.startswith("seconds_per_") and math.isfinite(value):
        return duration(value), f"time per {words(name.removeprefix('seconds_per_'))}"
    if name.endswith("_per_second"):
        return f"{number(round(value, 1) if value < 100 else round(value))}/s", words(name.removesuffix("_per_second"))
    return number(value), words(name)


def short(text: str, width: float) -> str:
    """The text cut to a width in units of an average Latin letter; Chinese characters are two wide."""
    text, used = visible(text), 0.0
    for index, character in enumerate(text):
        used += 2 if unicodedata.east_asian_width(character) in "WF" else 1
        if used > width:
            return text[: max(1, index - 1)] + "…"
    return text


def _cut(text: str, limit: int) -> str:
    return text if len(text) <= limit else f"{text[:limit]}… ({len(text):,} characters)"


def _escape(found: re.Match[str]) -> str:
    code = ord(found[0])
    known = {9: "\\t", 10: "\\n", 13: "\\r"}
    return known.get(code) or (f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}")
