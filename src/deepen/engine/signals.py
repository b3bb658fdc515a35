"""Ctrl-C and SIGTERM as a wish to stop after the step, not as an exception in the middle of one."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class StopWish:
    """Holds the first signal that asked to stop, or None."""

    def __init__(self) -> None:
        self.signal: int | None = None


class Interrupted(BaseException):
    """Training stopped by a signal after saving its state; not an Exception, so that nothing swallows it.

    signal  the signal's number
    """

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.signal = number


@contextmanager
def listening() -> Iterator[StopWish]:
    """Within it, the first SIGINT or SIGTERM only sets the wish; a second one acts at once.

    Outside the main thread signals cannot be caught, and nothing is.
    """
    wish = StopWish()
    if threading.current_thread() is not threading.main_thread():
        yield wish
        return
    caught = (signal.SIGINT, signal.SIGTERM)
    before = {number: signal.getsignal(number) for number in caught}

    def on_signal(number: int, _frame: FrameType | None) -> None:
        wish.signal = number
        for each in caught:
            signal.signal(each, signal.SIG_DFL if each == signal.SIGTERM else signal.default_int_handler)

    for number in caught:
        signal.signal(number, on_signal)
    try:
        yield wish
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
