"""A server on this machine that misbehaves as told."""

from __future__ import annotations

import http.server
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

Handler = http.server.BaseHTTPRequestHandler
CERTIFICATE = Path(__file__).with_name("remote.pem")  # for 127.0.0.1, signed by itself, with its key, for tests alone


@dataclass
class Server:
    """What it serves under every path, and how each request is answered, the last way for all that follow.

    requests  (path, Range, If-Range) of each request
    """

    content: bytes
    ways: list[Callable[[Handler, Server], None]] = field(default_factory=list)
    requests: list[tuple[str, str, str]] = field(default_factory=list)
    etag: str = '"first"'
    address: str = ""


@contextmanager
def serving(server: Server, *, secure: bool = False) -> Iterator[Server]:
    """The server at `server.address` while the block runs; where it is `secure`, over TLS with CERTIFICATE."""

    class Answer(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            number = len(server.requests)
            server.requests.append((self.path, self.headers.get("Range", ""), self.headers.get("If-Range", "")))
            way = server.ways[min(number, len(server.ways) - 1)] if server.ways else whole
            self.close_connection = True
            try:
                way(self, server)
            except (BrokenPipeError, ConnectionResetError):
                return

        def log_message(self, *_: object) -> None:
            return

    listening = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answer)
    listening.daemon_threads = True
    if secure:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(CERTIFICATE)
        listening.socket = context.wrap_socket(listening.socket, server_side=True)
    threading.Thread(target=listening.serve_forever, args=(0.01,), daemon=True).start()
    server.address = f"{'https' if secure else 'http'}://127.0.0.1:{listening.server_address[1]}/"
    try:
        yield server
    finally:
        listening.shutdown()
        listening.server_close()


def whole(handler: Handler, server: Server) -> None:
    """As a good server does, with ranges."""
    send(handler, server)


def cut_at(num_bytes: int) -> Callable[[Handler, Server], None]:
    """Promises everything, and hangs up after so many bytes."""
    return lambda handler, server: send(handler, server, most_bytes=num_bytes)


def holding(num_bytes: int) -> Callable[[Handler, Server], None]:
    """Sends so many bytes and then nothing more, without hanging up."""
    return lambda handler, server: send(handler, server, most_bytes=num_bytes, hold_seconds=9)


def without_ranges(handler: Handler, server: Server) -> None:
    """Sends the file from its start whatever is asked."""
    send(handler, server, has_ranges=False)


def refuses(code: int, **headers: str) -> Callable[[Handler, Server], None]:
    """Answers with a status and nothing else."""

    def way(handler: Handler, server: Server) -> None:
        handler.send_response(code)
        for name, value in headers.items():
            handler.send_header(name.replace("_", "-"), value)
        handler.send_header("Content-Length", "0")
        handler.end_headers()

    return way


def silent(handler: Handler, server: Server) -> None:
    """Promises everything and sends nothing."""
    send(handler, server, most_bytes=0, hold_seconds=60)


def trickling(handler: Handler, server: Server) -> None:
    """A byte now and then."""
    headers(handler, server, len(server.content))
    for index in range(600):
        handler.wfile.write(server.content[index : index + 1])
        handler.wfile.flush()
        time.sleep(0.1)


def send(
    handler: Handler, server: Server, *, most_bytes: int | None = None, has_ranges: bool = True, hold_seconds: float = 0
) -> None:
    start, asked, unless = 0, handler.headers.get("Range", ""), handler.headers.get("If-Range")
    if has_ranges and asked and unless in (None, server.etag):
        start = int(asked.removeprefix("bytes=").rstrip("-"))
    headers(handler, server, len(server.content) - start, start)
    handler.wfile.write(server.content[start:][:most_bytes])
    handler.wfile.flush()
    time.sleep(hold_seconds)


def headers(handler: Handler, server: Server, length: int, start: int = 0) -> None:
    handler.send_response(206 if start else 200)
    if start:
        handler.send_header("Content-Range", f"bytes {start}-{len(server.content) - 1}/{len(server.content)}")
    handler.send_header("Content-Length", str(length))
    handler.send_header("ETag", server.etag)
    handler.end_headers()
