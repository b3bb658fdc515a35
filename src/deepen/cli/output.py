"""Results on stdout: tables, JSON and lines, with every failure of stdout in one place.

A reader that went away (`| head`) is no fault. A full disk behind stdout is one, said on stderr, without a traceback.
"""

from __future__ import annotations

import json
import os
import sys
import unicodedata
from collections.abc import Sequence
from typing import Any

from deepen.core.faults import printable


class OutputError(Exception):
    """Stdout could not be written; the text says why."""


def write(text: str, *, end: str = "\n") -> None:
    """One or more lines on stdout, flushed. Raises OutputError if they cannot be written. Only rank zero writes."""
    if not is_first_rank():
        return
    try:
        print(text, end=end, flush=True)
    except BrokenPipeError:
        discard(sys.stdout)
    except (OSError, ValueError) as error:
        discard(sys.stdout)
        reason = error.strerror if isinstance(error, OSError) else "it is closed"
        raise OutputError(f"standard output: cannot be written: {reason}.") from None


def write_json(value: Any) -> None:
    """One JSON object on one line. Refuses NaN, which is no JSON: a figure that is not a number is null."""
    write(json.dumps(_jsonable(value), ensure_ascii=not _is_unicode(), allow_nan=False))


def say(text: str) -> None:
    """A message on stderr, each line printable; never raises, for a full disk there must not end a training."""
    if sys.stderr is None or not text:
        return
    try:
        print("\n".join(printable(line) for line in text.split("\n")), file=sys.stderr, flush=True)
    except (OSError, ValueError):
        discard(sys.stderr)


def discard(stream: Any) -> None:
    """Sends what the stream still holds, and all that follows, nowhere, so that leaving Python raises nothing."""
    try:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)
    except (OSError, ValueError, AttributeError):
        return


def is_first_rank() -> bool:
    """False on all ranks but one of a training on many."""
    return os.environ.get("RANK", "0") == "0"


def table(columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """Rows under their column names, aligned: numbers to the right, text to the left, wide characters counted as two.

    >>> print(table(["name", "count"], [["cat", 3], ["mouse", 12]]))
    name   count
    cat        3
    mouse     12
    """
    cells = [[cell(value) for value in row] for row in rows]
    numeric = [bool(rows) and all(_is_number(row[c]) for row in rows) for c in range(len(columns))]
    widths = [max(map(width, [columns[c], *(row[c] for row in cells)])) for c in range(len(columns))]
    lines = []
    for row in [list(columns), *cells]:
        padded = [
            " " * (widths[c] - width(text)) + text if numeric[c] else text + " " * (widths[c] - width(text))
            for c, text in enumerate(row)
        ]
        lines.append("  ".join(padded).rstrip())
    return "\n".join(lines)


def cell(value: Any) -> str:
    """A value as a table shows it: figures to four places, nothing that could move the cursor."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.4f}" if 1e-3 <= abs(value) < 1e6 or value == 0 else f"{value:.4g}"
    if isinstance(value, int):
        return f"{value:,}"
    return printable(str(value))


def width(text: str) -> int:
    """How many columns of a terminal the text takes.

    >>> width("cat"), width("猫")
    (3, 2)
    """
    if text.isascii():
        return len(text)
    return sum(
        0 if unicodedata.combining(character) else 2 if unicodedata.east_asian_width(character) in "WF" else 1
        for character in text
    )


def _is_number(value: Any) -> bool:
    return value is None or (isinstance(value, (int, float)) and not isinstance(value, bool))


def _is_unicode() -> bool:
    return (getattr(sys.stdout, "encoding", None) or "").lower().replace("-", "") == "utf8"


def _jsonable(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _jsonable(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [_jsonable(inner) for inner in value]
    if isinstance(value, float) and (value != value or value in (float("inf"), float("-inf"))):
        return None
    if value is None or isinstance(value, (str, int, float)):
        return value
    return value.item() if hasattr(value, "item") else str(value)
