"""Durations and sizes as people write them: "10m", "1h30m", "90s"; 31,204 bytes; 1.2 MB."""

from __future__ import annotations

import math
import re

from deepen.core.errors import OptionError

SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_PART = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)")


def seconds(text: str, *, name: str = "--time") -> float:
    """Seconds of a duration such as "90s", "10m" or "1h30m".

    Raises OptionError, naming the option, for anything else and for zero.

    >>> seconds("1h30m")
    5400.0
    """
    compact = text.strip().replace(" ", "")
    total = sum(float(number) * SECONDS[unit] for number, unit in _PART.findall(compact))
    if not compact or _PART.sub("", compact) or total <= 0:
        raise OptionError(f"{name}: expected a duration such as 90s, 10m or 1h30m, but is {text!r}.")
    return total


def duration(value: float) -> str:
    """A duration for people: "0.4 s", "12 s", "3 min 5 s", "1 h 12 min"."""
    if round(value, 1) < 10:
        return f"{value:.1f} s"
    whole = round(value)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def size(num_bytes: float) -> str:
    """A size for people in powers of ten: "812 bytes", "31.2 kB", "1.2 MB"."""
    if num_bytes < 1000:
        return plural(int(num_bytes), "byte")
    for unit in ("kB", "MB", "GB"):
        num_bytes /= 1000
        if round(num_bytes, 1) < 1000 or unit == "GB":
            break
    return f"{num_bytes:.1f} {unit}"


def plural(count: int, noun: str, many: str = "") -> str:
    """`1 image`, `3,204 images`, `2 classes`."""
    return f"{count:,} {noun if count == 1 else many or noun + 's'}"


def round_step(width: float) -> float:
    """The smallest of 1, 2 or 5 times a power of ten that is at least `width`, as axes and bars use; 1 for 0.

    >>> round_step(0.03)
    0.05
    """
    if not width > 0:
        return 1.0
    power = math.floor(math.log10(width))
    return next(step for step in (float(f"{factor}e{power}") for factor in (1, 2, 5, 10)) if step >= width * (1 - 1e-9))
