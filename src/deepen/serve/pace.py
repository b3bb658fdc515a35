"""How long a worker takes, learned from its answers, and so when it will be free.

A batch that is sent ahead too early is small, since whoever comes later is not in it; one that is sent too late leaves
the worker with nothing to do while it is being prepared. The best moment is the time of preparing before the end of the
batch that is being computed. Where the same clients ask again and again, that needs two batches that take turns.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

SMOOTHING = 0.2
LEAST_HALVED = 4  # rows
MOST_GAP_SECONDS = 0.1  # of a worker without work, where it counts as waiting for the next batch
MARGIN_SECONDS = 0.002  # for the way to the worker, and for a batch that is faster than the one before


@dataclass
class Pace:
    """What is known of one worker. Times are by the loop's clock, in seconds.

    rate  rows a second where nothing is known yet
    """

    rate: float
    _computing: dict[int, float] = field(default_factory=dict)
    _preparing_row: float = 0.0
    _held: deque[int] = field(default_factory=deque)
    _free_at: float = 0.0
    _answered_at: float | None = None
    _gap: float = 0.0

    def sent(self, count: int, now: float) -> None:
        """A batch of so many rows is on its way."""
        if not self._held and self._answered_at is not None:
            self._gap += SMOOTHING * (min(now - self._answered_at, MOST_GAP_SECONDS) - self._gap)
        self._answered_at = None
        self._held.append(count)
        self._free_at = max(self._free_at, now + self.preparing(count)) + self.computing(count)

    def answered(self, now: float, preparing: float, computing: float) -> None:
        """The oldest batch is answered; its own seconds of preparing and of computing."""
        count = self._held.popleft()
        self._preparing_row += SMOOTHING * (preparing / count - self._preparing_row)
        before = self._computing.get(count, computing)
        self._computing[count] = before + SMOOTHING * (computing - before)
        self._free_at = now + sum(self.computing(each) for each in self._held)
        self._answered_at = now

    def wants_halves(self, count: int) -> bool:
        """Whether so many rows are sooner answered as two halves, of which one is prepared while the other is computed.

        As one batch they are computed faster, but the worker waits for them before: for those who were answered to ask
        again, and until their rows are prepared.
        """
        if count < LEAST_HALVED:
            return False
        whole = self.computing(count) + self.preparing(count) + self._gap
        return self.computing((count + 1) // 2) + self.computing(count // 2) < whole

    def seconds_left(self, count: int, now: float) -> float:
        """How long so many rows may still wait, to be prepared just when the worker is free; negative if too late."""
        return self._free_at - self.preparing(count) - MARGIN_SECONDS - now

    def preparing(self, count: int) -> float:
        """Seconds to prepare so many rows."""
        return count * self._preparing_row

    def computing(self, count: int) -> float:
        """Seconds to compute so many rows: in proportion to the nearest number of rows that was seen."""
        if not self._computing:
            return count / max(self.rate, 1e-6)
        nearest = min(self._computing, key=lambda size: abs(size - count))
        return self._computing[nearest] * count / nearest
