"""JSON read with suspicion and written without surprises: no NaN, no duplicate keys, no depth without end."""

from __future__ import annotations

import json
import math

from deepen.core.errors import DeepenError, FileError


class _RefusedError(Exception):
    """What the hooks of the parser refuse."""


def json_text(value: object, *, indent: int | None = None) -> str:
    """The value as JSON in the order of its keys, readable letters kept. A NaN or infinity is our own fault.

    >>> json_text({"b": 1, "a": ["é"]})
    '{"b": 1, "a": ["é"]}'
    """
    text = json.dumps(value, indent=indent, allow_nan=False, ensure_ascii=False)
    try:
        text.encode()
    except UnicodeEncodeError:  # half of a surrogate pair, from a file name that is not UTF-8
        text = json.dumps(value, indent=indent, allow_nan=False)
    return text


def finite(value: object) -> object:
    """The value with every NaN and infinity in it replaced by None, which JSON can hold."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [finite(item) for item in value]
    return value


def parse_json(content: bytes, *, place: str, max_depth: int = 64, error: type[DeepenError] = FileError) -> object:
    """The value of JSON in UTF-8. Raises `error`, `place` first, for anything doubtful.

    Refused: nesting over `max_depth`, duplicate keys, NaN, infinities and numbers too large for a float.
    """
    try:
        text = content.decode("utf-8-sig")
        value = json.loads(text, object_pairs_hook=_without_duplicates, parse_constant=_no_constant)
    except UnicodeDecodeError as fault:
        raise error(f"{place}: not UTF-8 text (byte {fault.start:,}); expected JSON.") from None
    except json.JSONDecodeError as fault:
        raise error(f"{place}, line {fault.lineno}, column {fault.colno}: not JSON: {fault.msg.lower()}.") from None
    except RecursionError:
        raise error(f"{place}: JSON nested deeper than {max_depth} levels.") from None
    except _RefusedError as fault:
        raise error(f"{place}: {fault}.") from None
    except ValueError:  # Python's own limit on the digits of a whole number
        raise error(f"{place}: a number is too large to be held.") from None
    _check(value, place, max_depth, error)
    return value


def _without_duplicates(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for index, name in enumerate(names) if name in names[:index])
        raise _RefusedError(f"the key {twice[:80]!r} stands twice in one object")
    return found


def _no_constant(name: str) -> object:
    raise _RefusedError(f"{name} is not a number in JSON")


def _check(value: object, place: str, max_depth: int, error: type[DeepenError]) -> None:
    level: list[object] = [value]
    for depth in range(max_depth + 1):
        if depth == max_depth and any(isinstance(item, dict | list) for item in level):
            raise error(f"{place}: JSON nested deeper than {max_depth} levels.")
        if any(isinstance(item, float) and math.isinf(item) for item in level):
            raise error(f"{place}: a number is too large to be held.")
        level = [inner for item in level for inner in _inside(item)]


def _inside(item: object) -> list[object]:
    if isinstance(item, dict):
        return list(item.values())
    return item if isinstance(item, list) else []
