"""Connections that keep to deadlines: the head of a request, its body, the reading of answers, and idle time.

uvicorn's own protocol waits for ever for a head that never ends. This one counts bytes and seconds:
    head      `header_seconds` from the first moment of a connection, or from the first byte of a later request
    body      `body_seconds` until its last byte; the application answers 408, and a second later all is cut off
    answer    `body_seconds` in which the client must take more of it
    idle      `idle_seconds` between requests; the longest idle goes first where there are too many connections
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from typing import Any

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from deepen.core.jsontext import json_text
from deepen.serve.limits import MOST_HEAD_BYTES, MOST_HEADERS, ServeOptions

REASONS = {
    400: "Bad Request",
    408: "Request Timeout",
    431: "Request Header Fields Too Large",
    503: "Service Unavailable",
}
GRACE_SECONDS = 1.0


class Doorkeeper:
    """All connections there are, the idle ones in the order in which they became idle."""

    def __init__(self, options: ServeOptions, most: int) -> None:
        self.options, self.most = options, most
        self.open: set[GuardedProtocol] = set()
        self.idle: OrderedDict[GuardedProtocol, None] = OrderedDict()
        self.num_refused = 0
        self.num_cut = 0

    def protocol(self, **given: Any) -> GuardedProtocol:
        """What uvicorn makes for each connection."""
        return GuardedProtocol(self, **given)

    def joins(self, connection: GuardedProtocol) -> bool:
        """Whether there is room; an idle connection makes it."""
        if len(self.open) >= self.most:
            if not self.idle:
                self.num_refused += 1
                return False
            oldest, _ = self.idle.popitem(last=False)
            self.open.discard(oldest)
            oldest.transport.abort()
        self.open.add(connection)
        return True

    def leaves(self, connection: GuardedProtocol) -> None:
        """It is closed."""
        self.open.discard(connection)
        self.idle.pop(connection, None)


class GuardedProtocol(HttpToolsProtocol):
    """One connection."""

    def __init__(self, keeper: Doorkeeper, **given: Any) -> None:
        super().__init__(**given)
        self._keeper, self._options = keeper, keeper.options
        self._timer: asyncio.TimerHandle | None = None
        self._write_timer: asyncio.TimerHandle | None = None
        self._in_head, self._head_bytes, self._num_headers = True, 0, 0
        self._refused = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Takes the connection or turns it away."""
        super().connection_made(transport)
        if not self._keeper.joins(self):
            self._refuse(503)
            return
        self._set_timer(self._options.header_seconds, 408)

    def connection_lost(self, exc: Exception | None) -> None:
        """Forgets it."""
        self._clear_timer()
        if self._write_timer is not None:
            self._write_timer.cancel()
        self._keeper.leaves(self)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Feeds the parser, and counts what belongs to a head."""
        if self._refused or self.parser is None:
            return
        self._keeper.idle.pop(self, None)
        self._unset_keepalive_if_required()
        if self._in_head:
            self._head_bytes += len(data)
            if self._timer is None:
                self._set_timer(self._options.header_seconds, 408)
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            pass  # there is nothing to upgrade to; the request is answered as it stands
        except httptools.HttpParserError:
            if not self._refused:
                self._refuse(400)
            return
        if self._in_head and self._head_bytes > MOST_HEAD_BYTES:
            self._refuse(431)

    def on_message_begin(self) -> None:
        """A head begins."""
        super().on_message_begin()
        self._in_head, self._num_headers = True, 0

    def on_url(self, url: bytes) -> None:
        """Part of the path."""
        super().on_url(url)
        self._check(len(self.url) > MOST_HEAD_BYTES)

    def on_header(self, name: bytes, value: bytes) -> None:
        """One header."""
        super().on_header(name, value)
        self._num_headers += 1
        self._check(self._num_headers > MOST_HEADERS or len(name) + len(value) > MOST_HEAD_BYTES)

    def on_headers_complete(self) -> None:
        """The head is whole: the body's time begins. Two lengths of one body, or two hosts, are no request."""
        names = [name for name, _ in self.headers]
        lengths = names.count(b"content-length") + names.count(b"transfer-encoding")
        if lengths > 1 or names.count(b"host") > 1 or names.count(b"content-type") > 1:
            self._refuse(400)
            raise ValueError("two of what there may be one of")
        self._in_head, self._head_bytes = False, 0
        self._set_timer(self._options.body_seconds + GRACE_SECONDS, 0)
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        """The body is whole."""
        super().on_message_complete()
        self._clear_timer()
        self._in_head = True

    def on_response_complete(self) -> None:
        """The answer is given: idle from here on."""
        super().on_response_complete()
        if not self.pipeline and not self.transport.is_closing():
            self._keeper.idle[self] = None

    def pause_writing(self) -> None:
        """The client does not take its answer: it has some time to."""
        super().pause_writing()
        if self._write_timer is None:
            self._write_timer = self.loop.call_later(self._options.body_seconds, self._cut)

    def resume_writing(self) -> None:
        """It took some."""
        super().resume_writing()
        if self._write_timer is not None:
            self._write_timer.cancel()
            self._write_timer = None

    def _check(self, is_too_much: bool) -> None:
        if is_too_much:
            self._refuse(431)
            raise ValueError("too much of a head")

    def _set_timer(self, seconds: float, status: int) -> None:
        self._clear_timer()
        self._timer = self.loop.call_later(seconds, self._late, status)

    def _clear_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _late(self, status: int) -> None:
        self._timer = None
        self._keeper.num_cut += 1
        if status and (self.cycle is None or self.cycle.response_complete):
            self._refuse(status)
        else:
            self._cut()

    def _cut(self) -> None:
        if not self.transport.is_closing():
            self.transport.abort()

    def _refuse(self, status: int) -> None:
        """A last answer without the application; none where one of its own is under way."""
        if self._refused:
            return
        self._refused = status
        if self.transport.is_closing():
            return
        if self.cycle is None or self.cycle.response_complete:
            body = json_text({"error": REASONS[status].lower()})
            retry = b"retry-after: 1\r\n" if status == 503 else b""
            head = b"HTTP/1.1 %d %s\r\ncontent-type: application/json\r\n" % (status, REASONS[status].encode())
            length = b"content-length: %d\r\nconnection: close\r\n\r\n" % len(body)
            self.transport.write(head + retry + length + body.encode())
        self.transport.close()
