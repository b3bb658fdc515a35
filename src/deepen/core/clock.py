"""Time that only moves forward: budgets must not break when someone sets the wall clock."""

from __future__ import annotations

import time


class Stopwatch:
    """Seconds since it was made, plus those of earlier sittings of the same run."""

    def __init__(self, earlier_seconds: float = 0.0) -> None:
        self._start = time.monotonic() - earlier_seconds

    def seconds(self) -> float:
        """Seconds so far, by the monotonic clock."""
        return time.monotonic() - self._start
