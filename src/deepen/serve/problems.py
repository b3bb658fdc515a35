"""What a client is told when there is no answer: a status, one sentence, and headers. Never a path or a traceback."""

from __future__ import annotations

from collections.abc import Mapping


class Problem(Exception):
    """A request that gets no answer.

    closes  the connection ends with it, because what is still to come of the request is not wanted
    """

    def __init__(
        self, status: int, message: str, headers: Mapping[str, str] | None = None, *, closes: bool = False
    ) -> None:
        super().__init__(message)
        self.status, self.message, self.headers, self.closes = status, message, dict(headers or {}), closes


def busy(seconds: float, message: str = "too many requests wait already; try again later.") -> Problem:
    """429 with the time after which to come again, in whole seconds."""
    return Problem(429, message, {"retry-after": str(max(1, round(seconds + 0.5)))})


class Left(Exception):
    """The client went away; nobody is told anything."""
