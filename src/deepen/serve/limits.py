"""Where a server listens, and the limits it keeps whatever comes in."""

from __future__ import annotations

import ipaddress
import os
import resource
import secrets
from dataclasses import dataclass, field

from deepen.core.errors import OptionError

MIB = 1 << 20
DESCRIPTORS_KEPT = 48  # for workers, files and the listening socket
MOST_HEAD_BYTES = 32 << 10
MOST_HEADERS = 100
LONGEST_TEXT = 200_000
LONGEST_BOUNDARY = 70  # RFC 2046
SHOWN = 100  # characters of a value in a message


@dataclass(frozen=True)
class ServeOptions:
    """Serving"""

    host: str = field(default="127.0.0.1", metadata={"help": "the address to listen on; beyond this machine, a token"})
    port: int = field(default=8000, metadata={"help": "the port; 0 takes a free one", "least": 0, "most": 65535})
    token: str = field(default="", metadata={"help": "what clients must send; or in the variable DEEPEN_TOKEN"})
    allowed_hosts: tuple[str, ...] = field(
        default=(), metadata={"help": "further names under which clients may ask for this server"}
    )
    batch_size: int = field(
        default=0, metadata={"help": "rows computed together; 0: found by measuring", "least": 0, "most": 4096}
    )
    batch_delay_ms: float = field(
        default=5.0, metadata={"help": "the longest wait for more rows, in milliseconds", "least": 0.0}
    )
    queue: int = field(
        default=0, metadata={"help": "rows that may wait; 0: what is computed in half a second", "least": 0}
    )
    deadline_seconds: float = field(default=10.0, metadata={"help": "an older request is answered 504", "above": 0.0})
    max_rows: int = field(default=256, metadata={"help": "rows in one request", "least": 1})
    max_body_mb: float = field(default=16.0, metadata={"help": "MiB in one request", "above": 0.0})
    max_megapixels: float = field(default=24.0, metadata={"help": "larger pictures are refused", "above": 0.0})
    max_connections: int = field(default=1000, metadata={"help": "open connections", "least": 1})
    per_client: int = field(default=0, metadata={"help": "requests of one address at a time; 0: no limit", "least": 0})
    header_seconds: float = field(default=10.0, metadata={"help": "for the head of a request", "above": 0.0})
    body_seconds: float = field(default=30.0, metadata={"help": "for its body, and for reading the answer", "above": 0})
    idle_seconds: float = field(default=15.0, metadata={"help": "for a connection between requests", "above": 0.0})
    drain_seconds: float = field(default=30.0, metadata={"help": "to end what was begun, after SIGTERM", "least": 0.0})
    reload_seconds: float = field(
        default=1.0, metadata={"help": "between looks whether a run was replaced; 0: never", "least": 0.0}
    )
    threads: int = field(
        default=0, metadata={"help": "threads of each model; 0: all cores but one, shared by the runs", "least": 0}
    )
    explain: bool = field(default=True, metadata={"help": "whether answers may be explained, which takes seconds"})

    @property
    def max_body_bytes(self) -> int:
        """MiB as bytes."""
        return int(self.max_body_mb * MIB)


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches the address.

    >>> is_loopback("127.0.0.1"), is_loopback("localhost"), is_loopback("::1"), is_loopback("0.0.0.0")
    (True, True, True, False)
    """
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def token_of(options: ServeOptions) -> tuple[str, bool]:
    """The token that clients must send, "" for none, and whether it was made up here.

    Raises OptionError for one that can be guessed, or that no header can carry.
    """
    given = options.token or os.environ.get("DEEPEN_TOKEN", "")
    if given:
        if len(given) < 16 or not given.isascii() or not given.isprintable() or " " in given:
            raise OptionError("--token: expected at least 16 visible ASCII characters without blanks; make it longer.")
        return given, False
    return ("", False) if is_loopback(options.host) else (secrets.token_urlsafe(24), True)


def allowed_hosts(options: ServeOptions) -> frozenset[str]:
    """The names that a Host header may hold, without port."""
    own = options.host if options.host not in ("0.0.0.0", "::", "") else ""
    named = {"localhost", "127.0.0.1", "::1", own, *options.allowed_hosts} - {""}
    return frozenset(name.casefold().rstrip(".") for name in named)


def host_of(header: str) -> str:
    """The name in a Host header, without port; "" for one that is none.

    >>> host_of("localhost:8000"), host_of("[::1]:8000"), host_of("Evil.example")
    ('localhost', '::1', 'evil.example')
    """
    text = header.strip().casefold()
    if text.startswith("["):
        name, bracket, rest = text[1:].partition("]")
        return name if bracket and (not rest or _is_port(rest)) else ""
    name, colon, port = text.partition(":")
    return name.rstrip(".") if not colon or _is_port(f":{port}") else ""


def connections_possible(wanted: int) -> int:
    """As many connections as the process may have descriptors for, after asking for more of them."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = wanted + DESCRIPTORS_KEPT
    if soft != resource.RLIM_INFINITY and soft < needed:
        try:
            most = needed if hard == resource.RLIM_INFINITY else min(needed, hard)
            resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
            soft = most
        except (ValueError, OSError):
            pass  # the system keeps it; then there are fewer connections
        return max(1, min(wanted, soft - DESCRIPTORS_KEPT))
    return wanted


def shortened(value: object) -> str:
    """A value as a message shows it: at most 100 characters, nothing that could move a cursor."""
    text = repr(value)
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}..."


def _is_port(text: str) -> bool:
    return text.startswith(":") and text[1:].isascii() and (text[1:].isdigit() or text == ":")
