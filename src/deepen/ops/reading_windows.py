"""In which pieces a long text is read so that each of its places is scored exactly once. Without torch."""

from __future__ import annotations


def parts(batch_size: int, length: int, most: int) -> list[tuple[int, int, int]]:
    """(begin, begin, end) of parts one behind the other, of which each row's state goes from one into the next.

    most  places of all rows together in a part; a part has one of each row at least

    >>> parts(2, 7, 6)
    [(0, 0, 3), (3, 3, 6), (6, 6, 7)]
    """
    size = max(1, most // batch_size)
    return [(begin, begin, min(begin + size, length)) for begin in range(0, length, size)]


def windows(length: int, window: int, context: int) -> list[tuple[int, int, int]]:
    """(begin, first that is scored, end) of windows that overlap by `context`, the first one scored in whole.

    >>> windows(7, 4, 2)
    [(0, 0, 4), (2, 4, 6), (4, 6, 7)]
    """
    context = min(context, window - 1)
    found = [(0, 0, min(window, length))]
    while found[-1][2] < length:
        fresh = found[-1][2]
        end = min(fresh + window - context, length)
        found.append((fresh - context, fresh, end))
    return found
