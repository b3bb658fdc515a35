"""multipart/form-data (RFC 7578) taken apart in memory, with limits on everything that can be many or long.

File names are not looked at: no name from a request becomes a path, a type or a line of a log.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from deepen.serve.limits import LONGEST_BOUNDARY
from deepen.serve.problems import Problem

MOST_PART_HEADERS = 8
LONGEST_PART_HEADER = 2_048
LONGEST_NAME = 200
MOST_BEFORE = 4_096  # bytes before the first boundary
NOT_MULTIPART = "the body is not what multipart/form-data says: {}."


@dataclass(frozen=True)
class Part:
    """One part: the name of its field, and its bytes."""

    name: str
    content: bytes


@dataclass
class _Reading:
    """What the parser has met so far."""

    most: int
    parts: list[Part] = field(default_factory=list)
    content: list[bytes] = field(default_factory=list)
    header: bytes = b""
    value: bytes = b""
    name: str | None = None
    is_over: bool = False

    def begin(self) -> None:
        if len(self.parts) >= self.most:
            raise Problem(413, f"more than {self.most:,} parts in one request; send them in turns.", closes=True)
        self.content, self.header, self.value, self.name = [], b"", b"", None

    def header_field(self, data: bytes, start: int, end: int) -> None:
        self.header += data[start:end]

    def header_value(self, data: bytes, start: int, end: int) -> None:
        self.value += data[start:end]

    def header_end(self) -> None:
        if self.header.lower() == b"content-disposition":
            kind, options = parse_options_header(self.value.decode("latin-1"))
            if kind != b"form-data" or b"name" not in options:
                raise Problem(400, NOT_MULTIPART.format("a part has no name"))
            self.name = options[b"name"].decode("latin-1").encode("latin-1").decode("utf-8", "replace")
            if len(self.name) > LONGEST_NAME:
                raise Problem(400, NOT_MULTIPART.format("a part's name is too long"))
        self.header = self.value = b""

    def data(self, data: bytes, start: int, end: int) -> None:
        self.content.append(data[start:end])

    def part_end(self) -> None:
        if self.name is None:
            raise Problem(400, NOT_MULTIPART.format("a part has no name"))
        self.parts.append(Part(self.name, b"".join(self.content)))

    def end(self) -> None:
        self.is_over = True


def boundary_of(header: str) -> bytes:
    """The boundary in a Content-Type header. Raises Problem 400 where there is none, or a longer one than RFC 2046."""
    _, options = parse_options_header(header)
    boundary = options.get(b"boundary", b"")
    if not 0 < len(boundary) <= LONGEST_BOUNDARY:
        raise Problem(400, f"multipart/form-data needs a boundary of 1 to {LONGEST_BOUNDARY} characters.")
    return boundary


def parts_of(body: bytes, boundary: bytes, *, most: int) -> list[Part]:
    """The parts of a body, in order. Raises Problem 400 for what is none, 413 for more than `most`."""
    if body.find(b"--" + boundary, 0, MOST_BEFORE + len(boundary)) < 0:
        raise Problem(400, NOT_MULTIPART.format("it does not begin with its boundary"))
    reading = _Reading(most)
    callbacks: Any = {
        "on_part_begin": reading.begin,
        "on_header_field": reading.header_field,
        "on_header_value": reading.header_value,
        "on_header_end": reading.header_end,
        "on_part_data": reading.data,
        "on_part_end": reading.part_end,
        "on_end": reading.end,
    }
    try:
        parser = MultipartParser(
            boundary, callbacks, max_header_count=MOST_PART_HEADERS, max_header_size=LONGEST_PART_HEADER
        )
        parser.write(body)
    except FormParserError:
        raise Problem(400, NOT_MULTIPART.format("a part or its head is malformed")) from None
    if not reading.is_over:
        raise Problem(400, NOT_MULTIPART.format("it ends before its last boundary"))
    return reading.parts
