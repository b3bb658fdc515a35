"""The body of a request, read under its limits and under one for all bodies together."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass

from deepen.core.units import size
from deepen.serve.gate import Receive
from deepen.serve.limits import MIB, ServeOptions
from deepen.serve.problems import Left, Problem, busy

BODIES_AT_ONCE = 8  # how many of the largest may be in memory together


@dataclass
class Bodies:
    """All bodies that are in memory."""

    options: ServeOptions
    num_bytes: int = 0

    def expected(self, headers: Mapping[bytes, bytes]) -> int:
        """The length that the head announces, 0 where it does not. Raises Problem where it is too much."""
        coding = headers.get(b"content-encoding", b"identity").strip().lower()
        if coding not in (b"", b"identity"):
            raise Problem(415, "compressed bodies are not read; send it as it is.", closes=True)
        length = headers.get(b"content-length", b"0")
        if not length.isdigit():
            raise Problem(400, "Content-Length: expected a number.", closes=True)
        self._check(int(length) if len(length) < 20 else 1 << 63)
        return int(length)

    async def read(self, headers: Mapping[bytes, bytes], receive: Receive) -> bytes:
        """The whole body. Raises Problem, or Left."""
        self.expected(headers)
        most = BODIES_AT_ONCE * max(self.options.max_body_bytes, MIB)
        parts: list[bytes] = []
        count = 0
        try:
            async with asyncio.timeout(self.options.body_seconds):
                while True:
                    message = await receive()
                    if message["type"] == "http.disconnect":
                        raise Left
                    part = message.get("body", b"")
                    count += len(part)
                    self.num_bytes += len(part)
                    self._check(count)
                    if self.num_bytes > most:
                        raise busy(1.0, "too much is being sent at once; try again later.")
                    parts.append(part)
                    if not message.get("more_body"):
                        return b"".join(parts)
        except TimeoutError:
            message = f"the body did not arrive within {self.options.body_seconds:g} seconds; send it faster."
            raise Problem(408, message, closes=True) from None
        finally:
            self.num_bytes -= count

    def _check(self, count: int) -> None:
        most = self.options.max_body_bytes
        if count > most:
            raise Problem(413, f"the body: more than {size(most)}; send fewer rows, or smaller ones.", closes=True)
