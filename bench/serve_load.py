"""A client that puts load on a server: raw HTTP over many connections, in one process of its own.

    python -m bench.serve_load 127.0.0.1 8000 /v1/predict request.bin --clients 32 --seconds 5
    python -m bench.serve_load ... --retries        clients that come again at once when they are refused

`request.bin` holds the body, and beside it `request.type` its Content-Type. What is printed is one line of JSON: good
and refused answers, and the seconds of the good ones at some quantiles.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path

import uvloop

WARM_SECONDS = 0.5
QUANTILES = {"p50": 0.5, "p90": 0.9, "p99": 0.99}


@dataclass
class Seen:
    """What the clients saw after warming up."""

    good: int = 0
    refused: int = 0
    other: int = 0
    seconds: list[float] = field(default_factory=list)


async def load(host: str, port: int, message: bytes, clients: int, seconds: float, retries: bool) -> Seen:
    """Clients that each ask, wait for the answer and ask again, for some seconds."""
    seen, start = Seen(), time.monotonic() + WARM_SECONDS
    await asyncio.gather(*(_client(host, port, message, start, start + seconds, retries, seen) for _ in range(clients)))
    return seen


async def _client(host: str, port: int, message: bytes, start: float, end: float, retries: bool, seen: Seen) -> None:
    reader, writer = await asyncio.open_connection(host, port)
    while (began := time.monotonic()) < end:
        try:
            writer.write(message)
            status = await _answer(reader)
        except (OSError, asyncio.IncompleteReadError):
            writer.close()
            seen.other += 1
            await asyncio.sleep(0.05)
            reader, writer = await asyncio.open_connection(host, port)
            continue
        now = time.monotonic()
        if began >= start and now <= end:
            seen.good += status == 200
            seen.refused += status in (429, 503)
            seen.other += status not in (200, 429, 503)
            if status == 200:
                seen.seconds.append(now - began)
        if status == 429 and not retries:
            await asyncio.sleep(1)
    writer.close()


async def _answer(reader: asyncio.StreamReader) -> int:
    head = await reader.readuntil(b"\r\n\r\n")
    place = head.lower().find(b"content-length:")
    length = int(head[place + 15 : head.find(b"\r", place)])
    await reader.readexactly(length)
    return int(head[9:12])


def message(host: str, path: str, body: Path) -> bytes:
    """A whole request."""
    content = body.read_bytes()
    kind = body.with_suffix(".type").read_text()
    head = f"POST {path} HTTP/1.1\r\nhost: {host}\r\ncontent-type: {kind}\r\ncontent-length: {len(content)}\r\n\r\n"
    return head.encode() + content


def main() -> int:
    """Puts the load on, prints what came of it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("host")
    parser.add_argument("port", type=int)
    parser.add_argument("path")
    parser.add_argument("body", type=Path)
    parser.add_argument("--clients", type=int, default=32)
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--retries", action="store_true")
    given = parser.parse_args()
    asked = message(given.host, given.path, given.body)
    seen = uvloop.run(load(given.host, given.port, asked, given.clients, given.seconds, given.retries))
    times = sorted(seen.seconds)
    quantiles = {name: times[min(len(times) - 1, int(part * len(times)))] for name, part in QUANTILES.items() if times}
    counts = {name: value for name, value in asdict(seen).items() if name != "seconds"}
    print(json.dumps({"clients": given.clients, "per_second": seen.good / given.seconds, **counts, **quantiles}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
